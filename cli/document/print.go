package document

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// XML prints the document with a line for each element, indented by two.
func (e *Element) XML(w io.Writer) error {
	var b strings.Builder
	e.xml(&b, "")
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *Element) xml(b *strings.Builder, indent string) {
	switch {
	case len(e.Children) > 0:
		b.WriteString(indent + "<" + e.Name + ">\n")
		for _, c := range e.Children {
			c.xml(b, indent+"  ")
		}
		b.WriteString(indent + "</" + e.Name + ">\n")
	case e.Raw == "":
		b.WriteString(indent + "<" + e.Name + "/>\n")
	default:
		b.WriteString(indent + "<" + e.Name + ">" + e.Raw + "</" + e.Name + ">\n")
	}
}

// JSON prints the document as an object with its root's name.
func (e *Element) JSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(named{e})
}

// named is an element with its name.
type named struct{ *Element }

// MarshalJSON makes an object of one member.
func (n named) MarshalJSON() ([]byte, error) {
	return object([]member{{name: n.Name, all: []*Element{n.Element}}})
}

// MarshalJSON makes a string of a text, and an object of what holds elements.
func (e *Element) MarshalJSON() ([]byte, error) {
	if !e.container() {
		return text(e.Text)
	}
	return object(e.members())
}

func text(s string) ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	err := out.Encode(s)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// object writes members in their order, which a map would lose.
func object(members []member) ([]byte, error) {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := text(m.name)
		if err != nil {
			return nil, err
		}
		b = append(append(b, name...), ':')
		if m.list {
			b = append(b, '[')
		}
		for j, e := range m.all {
			if j > 0 {
				b = append(b, ',')
			}
			value, err := e.MarshalJSON()
			if err != nil {
				return nil, err
			}
			b = append(b, value...)
		}
		if m.list {
			b = append(b, ']')
		}
	}
	return append(b, '}'), nil
}

// YAML prints the document as a mapping with its root's name.
func (e *Element) YAML(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	put(root, e.Name, e.yaml())
	return YAML(w, root)
}

// YAML prints a value as YAML.
func YAML(w io.Writer, v any) error {
	if _, err := io.WriteString(w, "---\n"); err != nil {
		return err
	}
	out := yaml.NewEncoder(w)
	out.SetIndent(4)
	if err := out.Encode(v); err != nil {
		return err
	}
	return out.Close()
}

func put(to *yaml.Node, name string, value *yaml.Node) {
	to.Content = append(to.Content, word(name), value)
}

// A string is quoted unless it can be taken for nothing else, by readers of
// YAML 1.1 (yes, 1:30) as well.
var (
	surely = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./@-]*$`)
	other  = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null)$`)
)

func word(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if n.Style == 0 && (!surely.MatchString(s) || other.MatchString(s)) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func (e *Element) yaml() *yaml.Node {
	if !e.container() {
		return word(e.Text)
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, m := range e.members() {
		if !m.list {
			put(n, m.name, m.all[0].yaml())
			continue
		}
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, c := range m.all {
			list.Content = append(list.Content, c.yaml())
		}
		put(n, m.name, list)
	}
	return n
}
