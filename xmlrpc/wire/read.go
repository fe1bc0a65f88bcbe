package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ReadCall reads one call. Its errors are *Fault when the body is at fault,
// else the reader's own. Entities other than XML's five are refused, and
// nothing is read after a limit is met.
func ReadCall(r io.Reader, limits Limits) (Call, error) {
	limits = limits.orDefault()
	in := &source{r: r, left: limits.Body}
	dec := xml.NewDecoder(in)
	dec.CharsetReader = charset
	p := &reader{dec: dec, limits: limits}
	call, err := p.call()
	switch {
	case err == nil:
		return call, nil
	case in.err != nil:
		return Call{}, in.err
	case in.read == 0:
		return Call{}, errEmpty
	}
	var fault *Fault
	if errors.As(err, &fault) {
		return Call{}, fault
	}
	return Call{}, notACall("Call is not valid XML.  %s", reason(err))
}

// ParseCall is ReadCall for a body that is in memory. The call does not keep
// the body.
func ParseCall(body []byte, limits Limits) (Call, error) {
	if call, ok := scanCall(body, limits.orDefault()); ok {
		return call, nil
	}
	return ReadCall(bytes.NewReader(body), limits)
}

// reason is what the XML parser complains of, in at most 200 bytes: it may
// quote the body.
func reason(err error) string {
	if errors.Is(err, io.EOF) {
		return "no element found"
	}
	var syntax *xml.SyntaxError
	text := err.Error()
	if errors.As(err, &syntax) {
		text = fmt.Sprintf("%s at line %d", syntax.Msg, syntax.Line)
	}
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// source counts and bounds what is read, and keeps the first error that is
// not the end, which the XML parser may disguise.
type source struct {
	r    io.Reader
	read int64
	left int64
	err  error
}

func (s *source) Read(b []byte) (int, error) {
	if s.left <= 0 {
		// One more byte tells a full body from one that is too large.
		var one [1]byte
		if n, _ := io.ReadFull(s.r, one[:]); n == 0 {
			return 0, io.EOF
		}
		s.err = faultf(FaultTooLarge, "XML-RPC request too large (more than %d bytes)", s.read)
		return 0, s.err
	}
	if int64(len(b)) > s.left {
		b = b[:s.left]
	}
	n, err := s.r.Read(b)
	s.read += int64(n)
	s.left -= int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// charset decodes the single-byte encodings that expat knows; encoding/xml
// itself knows UTF-8 alone.
func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "iso-8859-1", "latin1", "latin-1", "us-ascii":
		return &latin1{r: in}, nil
	}
	return nil, fmt.Errorf("unknown encoding %q", label)
}

// latin1 turns each byte into the code point of the same number.
type latin1 struct {
	r    io.Reader
	rest []byte
}

func (l *latin1) Read(out []byte) (int, error) {
	if len(l.rest) == 0 {
		var in [512]byte
		n, err := l.r.Read(in[:])
		if n == 0 {
			return 0, err
		}
		for _, b := range in[:n] {
			l.rest = append(l.rest, string(rune(b))...)
		}
	}
	n := copy(out, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// reader is a parser by recursive descent over the XML tokens of one body.
type reader struct {
	dec      *xml.Decoder
	limits   Limits
	elements int
}

// next is the next start or end of an element; what stands between is
// returned as text, with comments and processing instructions dropped.
func (p *reader) next() (text string, tok xml.Token, err error) {
	var b strings.Builder
	for {
		tok, err := p.dec.Token()
		if err != nil {
			return "", nil, err
		}
		switch t := tok.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.StartElement:
			if p.elements++; p.elements > p.limits.Elements {
				return "", nil, faultf(FaultTooLarge, "XML-RPC request too large (more than %d elements)", p.limits.Elements)
			}
			return b.String(), t, nil
		case xml.EndElement:
			return b.String(), t, nil
		}
	}
}

// child is the next child of the element parent, or nil at its end.
func (p *reader) child(parent string) (*xml.StartElement, error) {
	text, tok, err := p.next()
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) != "" {
		return nil, notACall("<%s> element has text in it", parent)
	}
	if start, ok := tok.(xml.StartElement); ok {
		return &start, nil
	}
	return nil, nil
}

// end asks for the end of the element parent.
func (p *reader) end(parent string) error {
	extra, err := p.child(parent)
	if err == nil && extra != nil {
		err = notACall("<%s> element has a surplus child <%s>", parent, clip(extra.Name.Local))
	}
	return err
}

// open asks for the child name of the element parent.
func (p *reader) open(parent, name string) error {
	start, err := p.child(parent)
	if err != nil {
		return err
	}
	if start == nil || start.Name.Local != name {
		return notACall("Expected <%s> to have child <%s>", parent, name)
	}
	return nil
}

func (p *reader) call() (Call, error) {
	text, tok, err := p.next()
	if err != nil {
		return Call{}, err
	}
	root := tok.(xml.StartElement) // the parser lets no end come first
	if strings.Trim(text, " \t\r\n\ufeff") != "" {
		return Call{}, notACall("Call is not valid XML.  syntax error")
	}
	if root.Name.Local != "methodCall" {
		return Call{}, notACall("XML-RPC call should be a <methodCall> element.  Instead, we have a <%s> element.", clip(root.Name.Local))
	}
	if err := p.open("methodCall", "methodName"); err != nil {
		return Call{}, err
	}
	var call Call
	if call.Method, err = p.leaf("methodName"); err != nil {
		return Call{}, err
	}
	params, err := p.child("methodCall")
	if err != nil {
		return Call{}, err
	}
	if params != nil {
		if params.Name.Local != "params" {
			return Call{}, notACall("<methodCall> has a child <%s> where <params> should be", clip(params.Name.Local))
		}
		if call.Params, err = p.params(); err != nil {
			return Call{}, err
		}
		if err := p.end("methodCall"); err != nil {
			return Call{}, err
		}
	}
	return call, p.eof()
}

// eof asks that nothing but blanks and comments follow.
func (p *reader) eof() error {
	for {
		tok, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			return notACall("Call is not valid XML.  junk after document element")
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				return notACall("Call is not valid XML.  junk after document element")
			}
		}
	}
}

func (p *reader) params() ([]any, error) {
	var list []any
	for {
		param, err := p.child("params")
		if err != nil || param == nil {
			return list, err
		}
		if param.Name.Local != "param" {
			return nil, notACall("<params> has a child <%s>; only <param> makes sense", clip(param.Name.Local))
		}
		if err := p.open("param", "value"); err != nil {
			return nil, err
		}
		v, err := p.value(0)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if err := p.end("param"); err != nil {
			return nil, err
		}
	}
}

// leaf is the text of an element that has no children, up to its end.
func (p *reader) leaf(name string) (string, error) {
	text, tok, err := p.next()
	if err != nil {
		return "", err
	}
	if start, ok := tok.(xml.StartElement); ok {
		return "", notACall("<%s> element should not have children, but has <%s>", name, clip(start.Name.Local))
	}
	return text, nil
}

// clip shortens what a fault quotes from the body.
func clip(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "..."
	}
	return s
}
