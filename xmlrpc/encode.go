package xmlrpc

import (
	"encoding/xml"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"onevolume/xmlrpc/wire"
)

// answer writes a document as the value of a method's answer: what marshal
// prints, escaped for its place there, in one go. A page of documents is
// mostly markup, which encoding/xml writes slowly and the protocol then
// escapes once more. A test holds the two together.
func answer(document any) (any, error) {
	size := usual
	if pool, ok := document.(poolDocument); ok {
		size *= len(pool.Volumes) + 1
	}
	v := reflect.ValueOf(document)
	return wire.Escaped(encoderOf(v.Type()).element(wire.Buffer(size), v, "")), nil
}

// usual is more than the most documents of a volume have, in bytes.
const usual = 2 << 10

// encoder writes the values of one type of this package's documents. It knows
// of encoding/xml's tags what those use, and panics on another.
type encoder struct {
	// content appends what stands between the tags. It is nil for a list.
	content func(b []byte, v reflect.Value) []byte
	// each is a list's or a pointer's own.
	each *encoder
	// name is XMLName's tag, named the index of XMLName, or -1.
	name  string
	named int
}

// encoders are by type. They are made at first use and never change.
var encoders sync.Map

func encoderOf(t reflect.Type) *encoder {
	if e, ok := encoders.Load(t); ok {
		return e.(*encoder)
	}
	e, _ := encoders.LoadOrStore(t, newEncoder(t))
	return e.(*encoder)
}

func newEncoder(t reflect.Type) *encoder {
	e := &encoder{named: -1}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		e.content = func(b []byte, v reflect.Value) []byte { return strconv.AppendInt(b, v.Int(), 10) }
	case reflect.Bool:
		e.content = func(b []byte, v reflect.Value) []byte { return strconv.AppendBool(b, v.Bool()) }
	case reflect.String:
		e.content = func(b []byte, v reflect.Value) []byte { return appendChars(b, v.String()) }
	case reflect.Slice, reflect.Pointer:
		e.each = encoderOf(t.Elem())
	case reflect.Struct:
		e.structure(t)
	default:
		panic(fmt.Sprintf("xmlrpc: no document has a %s", t))
	}
	return e
}

// member is a field of a structure.
type member struct {
	index     int
	name      string
	around    string // the element around it and its neighbours, or nothing
	omitEmpty bool
	encoder   *encoder
}

func (e *encoder) structure(t reflect.Type) {
	var members []member
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("xml"), ",")
		if f.Name == "XMLName" && f.Type == reflect.TypeFor[xml.Name]() {
			e.name, e.named = name, i
			continue
		}
		if option == "cdata" && name == "" && f.Type.Kind() == reflect.String {
			e.content = func(b []byte, v reflect.Value) []byte { return appendCDATA(b, v.Field(i).String()) }
			continue
		}
		m := member{index: i, name: name, omitEmpty: option == "omitempty", encoder: encoderOf(f.Type)}
		if around, inner, ok := strings.Cut(name, ">"); ok {
			m.name, m.around = inner, around
		}
		if f.Anonymous || strings.Contains(m.name, ">") || m.name == "" && option != "any" ||
			option != "" && option != "omitempty" && option != "any" {
			panic(fmt.Sprintf("xmlrpc: %s.%s has a tag that is not known: %q", t, f.Name, f.Tag.Get("xml")))
		}
		members = append(members, m)
	}
	if e.content != nil {
		return
	}
	e.content = func(b []byte, v reflect.Value) []byte { return appendMembers(b, v, members) }
}

func appendMembers(b []byte, v reflect.Value, members []member) []byte {
	around := "" // the element that is open
	for i := range members {
		m := &members[i]
		f := v.Field(m.index)
		if around != "" && m.around != around {
			b, around = closeTag(b, around), ""
		}
		if m.around != around && (f.Kind() != reflect.Pointer || !f.IsNil()) {
			b, around = openTag(b, m.around), m.around
		}
		if !m.omitEmpty || !f.IsZero() {
			b = m.encoder.element(b, f, m.name)
		}
	}
	if around != "" {
		b = closeTag(b, around)
	}
	return b
}

// element appends a value with its tags; their name is name, unless the value
// says another one.
func (e *encoder) element(b []byte, v reflect.Value, name string) []byte {
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return b
		}
		return e.each.element(b, v.Elem(), name)
	case e.each != nil:
		for i := range v.Len() {
			b = e.each.element(b, v.Index(i), name)
		}
		return b
	case e.name != "":
		name = e.name
	case e.named >= 0:
		if own := v.Field(e.named).Field(1).String(); own != "" { // xml.Name.Local
			name = own
		}
	}
	return closeTag(e.content(openTag(b, name), v), name)
}

func openTag(b []byte, name string) []byte {
	return append(append(append(b, "&lt;"...), name...), "&gt;"...)
}

func closeTag(b []byte, name string) []byte {
	return append(append(append(b, "&lt;/"...), name...), "&gt;"...)
}

// appendChars appends text of an element: as encoding/xml escapes it, and that
// escaped.
func appendChars(b []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		var by string
		switch {
		case c >= utf8.RuneSelf:
			_, n := utf8.DecodeRuneInString(s[i:])
			i += n
			continue
		case c == '"':
			by = "&amp;#34;"
		case c == '\'':
			by = "&amp;#39;"
		case c == '&':
			by = "&amp;amp;"
		case c == '<':
			by = "&amp;lt;"
		case c == '>':
			by = "&amp;gt;"
		case c == '\t':
			by = "&amp;#x9;"
		case c == '\n':
			by = "&amp;#xA;"
		case c == '\r':
			by = "&amp;#xD;"
		default:
			i++
			continue
		}
		b = append(wire.AppendText(b, s[from:i]), by...)
		i++
		from = i
	}
	return wire.AppendText(b, s[from:])
}

// appendCDATA appends text in CDATA, and that escaped.
func appendCDATA(b []byte, s string) []byte {
	if s == "" {
		return b
	}
	b = append(b, "&lt;![CDATA["...)
	for {
		before, rest, found := strings.Cut(s, "]]>")
		b = wire.AppendText(b, before)
		if !found {
			return append(b, "]]&gt;"...)
		}
		// One ends between the brackets, and another begins.
		b = append(b, "]]]]&gt;&lt;![CDATA[&gt;"...)
		s = rest
	}
}
