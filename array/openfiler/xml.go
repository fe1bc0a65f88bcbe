package openfiler

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// document is a file of the web pages: a list of elements in a container. It
// is edited as a text, so that all else in it stays to the byte.
type document struct {
	text  string
	latin bool // it is ISO 8859-1, whatever it says
	root  node
	list  *node // the container
}

// node is an element of a document.
type node struct {
	name  string
	attrs []xml.Attr
	kids  []*node
	// It begins at start and ends before end; what is in it is between in and
	// out. Of <a/> these two are the end.
	start, in, out, end int
}

func (n *node) attr(name string) string {
	for _, a := range n.attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// all gives the children of that name.
func (n *node) all(name string) (list []*node) {
	for _, k := range n.kids {
		if k.name == name {
			list = append(list, k)
		}
	}
	return list
}

// newDocument reads a file whose root has that name; the container is a child
// of the root's, or with an empty name the root itself.
func newDocument(text, root, container string) (*document, error) {
	d := &document{text: text}
	if !utf8.ValidString(text) {
		d.latin = true
		var b strings.Builder
		for i := range len(text) {
			b.WriteRune(rune(text[i]))
		}
		d.text = b.String()
	}
	if err := d.read(); err != nil {
		return nil, err
	}
	if d.root.name != root {
		return nil, fmt.Errorf("its element is %q, not %q", d.root.name, root)
	}
	d.list = &d.root
	if container != "" {
		all := d.root.all(container)
		if len(all) != 1 {
			return nil, fmt.Errorf("it has %d elements %q", len(all), container)
		}
		d.list = all[0]
	}
	return d, nil
}

func (d *document) read() error {
	x := xml.NewDecoder(strings.NewReader(d.text))
	x.Entity = xml.HTMLEntity // the pages write what people typed with its names
	x.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	top := node{}
	open := []*node{&top}
	for {
		at := int(x.InputOffset())
		t, err := x.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			n := &node{name: t.Name.Local, attrs: t.Copy().Attr, start: at, in: int(x.InputOffset())}
			parent := open[len(open)-1]
			parent.kids = append(parent.kids, n)
			open = append(open, n)
		case xml.EndElement:
			n := open[len(open)-1]
			n.out, n.end = at, int(x.InputOffset())
			open = open[:len(open)-1]
		}
	}
	if len(top.kids) != 1 {
		return errors.New("it has no single element")
	}
	d.root = *top.kids[0]
	return nil
}

// put replaces the old element, or puts a new one to the end of the list, a
// line of its own with that indent; an empty one takes the old one out.
func (d *document) put(old *node, indent, element string) string {
	text := d.text
	switch {
	case old != nil && element != "":
		text = text[:old.start] + element + text[old.end:]
	case old != nil:
		before := strings.TrimRight(text[:old.start], " \t\r\n")
		text = before + text[old.end:]
	case element == "":
	case strings.HasSuffix(text[:d.list.end], "/>") && d.list.in == d.list.end:
		head := strings.TrimRight(text[:d.list.end-2], " \t\r\n")
		text = head + ">\n" + indent + element + "\n" + indent[:len(indent)/2] + "</" + d.list.name + ">" + text[d.list.end:]
	default:
		before := strings.TrimRight(text[:d.list.out], " \t\r\n")
		text = before + "\n" + indent + element + text[len(before):]
	}
	if !d.latin {
		return text
	}
	b := make([]byte, 0, len(text))
	for _, r := range text {
		b = append(b, byte(r)) // each was a byte, and what is ours is ASCII
	}
	return string(b)
}

// quoted is a text as an attribute's value. What is not ASCII becomes a
// question mark: the pages' own PHP spoils it when they write the file anew,
// and some of it beyond what they can read themselves.
func quoted(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < ' ' || r > '~':
			b.WriteByte('?')
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		default:
			b.WriteByte(byte(r))
		}
	}
	return b.String()
}
