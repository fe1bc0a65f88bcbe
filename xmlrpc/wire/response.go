package wire

import (
	"encoding/xml"
	"io"
)

// WriteCall writes a call as a client does. It takes the values that
// WriteValue takes, and keeps i8 and nil, which oned refuses by itself.
func WriteCall(w io.Writer, c Call) error {
	b := AppendText([]byte("<?xml version=\"1.0\"?>\r\n<methodCall><methodName>"), c.Method)
	b = append(b, "</methodName>\r\n<params>\r\n"...)
	for _, p := range c.Params {
		var err error
		if b, err = appendValue(append(b, "<param>"...), p); err != nil {
			return err
		}
		b = append(b, "</param>\r\n"...)
	}
	_, err := w.Write(append(b, "</params></methodCall>\r\n"...))
	return err
}

// ReadResponse reads the answer to a call: its value, in the types that a
// Call has, so that it can be written again as it came, or the *Fault that it
// is. Other errors are about the answer, or the reader's own.
func ReadResponse(r io.Reader, limits Limits) (any, error) {
	limits = limits.orDefault()
	in := &source{r: r, left: limits.Body}
	p := &reader{dec: xml.NewDecoder(in), limits: limits}
	p.dec.CharsetReader = charset
	v, err := p.response()
	if err != nil && in.err != nil {
		return nil, in.err
	}
	return v, err
}

func (p *reader) response() (any, error) {
	_, tok, err := p.next()
	if err != nil {
		return nil, err
	}
	if root, ok := tok.(xml.StartElement); !ok || root.Name.Local != "methodResponse" {
		return nil, errNoResponse
	}
	kind, err := p.child("methodResponse")
	if err != nil {
		return nil, err
	}
	switch {
	case kind != nil && kind.Name.Local == "params":
		if err := p.open("params", "param"); err != nil {
			return nil, err
		}
		if err := p.open("param", "value"); err != nil {
			return nil, err
		}
		return p.value(0)
	case kind != nil && kind.Name.Local == "fault":
		if err := p.open("fault", "value"); err != nil {
			return nil, err
		}
		v, err := p.value(0)
		if err != nil {
			return nil, err
		}
		if f := FaultOf(v); f != nil {
			return nil, f
		}
	}
	return nil, errNoResponse
}

// FaultOf is the fault that a struct stands for, also within the answer of
// system.multicall; nil when v is none.
func FaultOf(v any) *Fault {
	members, _ := v.(map[string]any)
	code, coded := members["faultCode"].(int)
	text, said := members["faultString"].(string)
	if !coded || !said {
		return nil
	}
	return &Fault{Code: code, Message: text}
}
