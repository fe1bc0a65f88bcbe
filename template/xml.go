package template

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// parseXML reads a document rooted <TEMPLATE>.
func parseXML(text string) (Template, error) {
	dec := xml.NewDecoder(strings.NewReader(text))
	fail := func(err error) error {
		if e, ok := errors.AsType[*Error](err); ok {
			return e
		}
		line, column := dec.InputPos()
		column = max(column, 1) // 0 behind a newline
		if e, ok := errors.AsType[*xml.SyntaxError](err); ok {
			return &Error{line, column, e.Msg}
		}
		if errors.Is(err, io.EOF) {
			return &Error{line, column, "the end where <TEMPLATE> should be"}
		}
		return &Error{line, column, err.Error()}
	}
	var t Template
	for root := false; ; {
		tok, err := dec.Token()
		switch {
		case errors.Is(err, io.EOF) && root:
			return t, nil
		case err != nil:
			return nil, fail(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if root || strings.ToUpper(tok.Name.Local) != "TEMPLATE" {
				return nil, fail(errors.New("<" + tok.Name.Local + "> where a single <TEMPLATE> should be"))
			}
			root = true
			r := &xmlReader{dec: dec, strict: true}
			if t, err = r.template(); err != nil {
				return nil, fail(err)
			}
		case xml.CharData:
			if strings.Trim(string(tok), blanks) != "" {
				return nil, fail(errors.New("text outside of <TEMPLATE>"))
			}
		}
	}
}

// UnmarshalXML reads the template in an element of one of oned's documents,
// whatever it is called. What does not fit in a template, such as elements
// within elements of a vector, is dropped: oned's other fields count more.
func (t *Template) UnmarshalXML(dec *xml.Decoder, _ xml.StartElement) error {
	r := &xmlReader{dec: dec}
	list, err := r.template()
	*t = list
	return err
}

// xmlReader reads the content of an element up to and with its end. When it
// is strict it refuses what it would drop.
type xmlReader struct {
	dec    *xml.Decoder
	strict bool
	count  int
}

func (r *xmlReader) template() (Template, error) {
	t := Template{}
	_, err := r.children(func(key string) error {
		a := Attribute{Key: key}
		text, err := r.children(func(key string) error {
			value, err := r.children(nil)
			a.Vector = append(a.Vector, Pair{key, value})
			return err
		})
		if a.Vector == nil {
			a.Value = text
		} else if r.strict && strings.Trim(text, blanks) != "" {
			return errors.New("text beside the elements of " + key)
		}
		t = append(t, a)
		return err
	})
	return t, err
}

// children calls each for every element in the present one, with its key,
// and gives the text around them.
func (r *xmlReader) children(each func(key string) error) (string, error) {
	var text strings.Builder
	for {
		tok, err := r.dec.Token()
		if err != nil {
			return "", err
		}
		switch tok := tok.(type) {
		case xml.CharData:
			text.Write(tok)
		case xml.EndElement:
			return text.String(), nil
		case xml.StartElement:
			if r.count++; r.strict && r.count > maxAttributes {
				return "", errors.New("too many attributes")
			}
			key := strings.ToUpper(tok.Name.Local)
			if each != nil && isKey(key) {
				if err := each(key); err != nil {
					return "", err
				}
				continue
			}
			if r.strict {
				return "", errors.New("<" + tok.Name.Local + "> cannot be here")
			}
			if err := r.dec.Skip(); err != nil {
				return "", err
			}
		}
	}
}

func isKey(s string) bool {
	for i := range len(s) {
		if !keyByte(s[i], i == 0) {
			return false
		}
	}
	return s != ""
}

// XML is the template as an element <TEMPLATE> in oned's form: upper case,
// no blanks, every value in CDATA. An empty vector has no form in XML and is
// left out.
func (t Template) XML() string { return t.Element("TEMPLATE") }

// Element is XML with another name for the element, such as USER_TEMPLATE.
func (t Template) Element(name string) string {
	var b strings.Builder
	b.WriteString("<" + name + ">")
	for _, a := range t {
		switch {
		case a.Vector == nil:
			element(&b, a.Key, a.Value)
		case len(a.Vector) > 0:
			b.WriteString("<" + a.Key + ">")
			for _, p := range a.Vector {
				element(&b, p.Key, p.Value)
			}
			b.WriteString("</" + a.Key + ">")
		}
	}
	b.WriteString("</" + name + ">")
	return b.String()
}

// element writes <key><![CDATA[value]]></key>. The end of CDATA inside a
// value is torn apart over two sections.
func element(b *strings.Builder, key, value string) {
	b.WriteString("<" + key + "><![CDATA[")
	b.WriteString(strings.ReplaceAll(value, "]]>", "]]]]><![CDATA[>"))
	b.WriteString("]]></" + key + ">")
}

// String is the template as text, as OpenNebula's tools print it. Parse
// reads the same template from it.
func (t Template) String() string {
	var b strings.Builder
	for _, a := range t {
		if a.Vector == nil {
			b.WriteString(a.Key + "=" + Quote(a.Value) + "\n")
			continue
		}
		b.WriteString(a.Key + "=[")
		for i, p := range a.Vector {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n  " + p.Key + "=" + Quote(p.Value))
		}
		b.WriteString(" ]\n")
	}
	return b.String()
}

// Quote writes a value as the text has it.
func Quote(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}
