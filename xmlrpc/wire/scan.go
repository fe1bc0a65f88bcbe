package wire

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanCall reads a call that is written as nearly all are: in UTF-8, without
// attributes, comments, CDATA, arrays or structs, and with no mistake in it.
// Of everything else it says false, and ReadCall, which takes ten times as
// long, has the word. What it takes it reads as ReadCall does; a test by
// random bodies holds the two together.
func scanCall(body []byte, limits Limits) (Call, bool) {
	if int64(len(body)) > limits.Body {
		return Call{}, false
	}
	s := &scanner{rest: body}
	s.declaration()
	s.blanks()
	if !s.tag("<methodCall>") || !s.within("<methodName>") {
		return Call{}, false
	}
	method, ok := s.text()
	if !ok || !s.tag("</methodName>") {
		return Call{}, false
	}
	call := Call{Method: method}
	if s.within("<params>") {
		for s.within("<param>") {
			v, ok := s.param()
			// A parameter has three elements, and the call has three more.
			if !ok || 3*len(call.Params)+6 > limits.Elements {
				return Call{}, false
			}
			call.Params = append(call.Params, v)
		}
		if !s.within("</params>") {
			return Call{}, false
		}
	} else {
		s.within("<params/>")
	}
	if !s.within("</methodCall>") {
		return Call{}, false
	}
	s.blanks()
	return call, len(s.rest) == 0
}

// scanner takes a body apart from the front.
type scanner struct{ rest []byte }

// tag takes a tag that stands at the front.
func (s *scanner) tag(tag string) bool {
	if len(s.rest) < len(tag) || string(s.rest[:len(tag)]) != tag {
		return false
	}
	s.rest = s.rest[len(tag):]
	return true
}

// within takes a tag and the blanks before it.
func (s *scanner) within(tag string) bool {
	s.blanks()
	return s.tag(tag)
}

func (s *scanner) blanks() {
	for len(s.rest) > 0 && strings.IndexByte(" \t\r\n", s.rest[0]) >= 0 {
		s.rest = s.rest[1:]
	}
}

// declaration takes the first line of an XML document, if there is one.
func (s *scanner) declaration() {
	for _, tag := range []string{`<?xml version="1.0"?>`, `<?xml version='1.0'?>`, `<?xml version="1.0" ?>`,
		`<?xml version="1.0" encoding="UTF-8"?>`, `<?xml version="1.0" encoding="utf-8"?>`, `<?xml version='1.0' encoding='utf-8'?>`} {
		if s.tag(tag) {
			return
		}
	}
}

// param takes what follows <param>, and </param>.
func (s *scanner) param() (v any, ok bool) {
	if !s.within("<value>") {
		return nil, false
	}
	if v, ok = s.text(); !ok {
		return nil, false
	}
	if !s.tag("</value>") {
		if strings.Trim(v.(string), " \t\n") != "" {
			return nil, false
		}
		if v, ok = s.typed(); !ok || !s.within("</value>") {
			return nil, false
		}
	}
	return v, s.within("</param>")
}

// typed takes a value with its type.
func (s *scanner) typed() (any, bool) {
	for _, kind := range [...]string{"string", "int", "i4", "boolean", "i8", "double"} {
		if len(s.rest) < len(kind)+2 || s.rest[0] != '<' || string(s.rest[1:1+len(kind)]) != kind || s.rest[1+len(kind)] != '>' {
			continue
		}
		s.rest = s.rest[len(kind)+2:]
		text, ok := s.text()
		if !ok || !s.tag("</") || !s.tag(kind) || !s.tag(">") {
			return nil, false
		}
		v, err := scalar(kind, text)
		return v, err == nil
	}
	return nil, false
}

// text takes what stands before the next tag.
func (s *scanner) text() (string, bool) {
	end := bytes.IndexByte(s.rest, '<')
	if end < 0 {
		return "", false
	}
	raw := s.rest[:end]
	s.rest = s.rest[end:]
	plain := true
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '&':
			plain = false
		case c == '\r', c == ']' && bytes.HasPrefix(raw[i:], []byte("]]>")):
			return "", false // a line's end is another one in XML, and the other is a mistake
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(raw[i:])
			if r == utf8.RuneError && n <= 1 || !inXML(r) {
				return "", false
			}
			i += n
			continue
		case c < ' ' && c != '\t' && c != '\n':
			return "", false
		}
		i++
	}
	if plain {
		return string(raw), true
	}
	return unescape(string(raw))
}

// unescape replaces XML's own five entities and references to characters.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "&")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		name, after, ended := strings.Cut(rest, ";")
		if !ended {
			return "", false
		}
		switch name {
		case "lt":
			b.WriteByte('<')
		case "gt":
			b.WriteByte('>')
		case "amp":
			b.WriteByte('&')
		case "quot":
			b.WriteByte('"')
		case "apos":
			b.WriteByte('\'')
		default:
			r, ok := reference(name)
			if !ok {
				return "", false
			}
			b.WriteRune(r)
		}
		s = after
	}
}

// reference is the character of #65 or #x41.
func reference(name string) (rune, bool) {
	digits, base := strings.TrimPrefix(name, "#"), 10
	if len(digits) == len(name) || len(digits) > 8 {
		return 0, false
	}
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	r := rune(n)
	return r, err == nil && n <= utf8.MaxRune && utf8.ValidRune(r) && inXML(r)
}
