package template

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Parse reads a template. A text that begins with < is XML, rooted
// <TEMPLATE>, as oned decides too. An empty text is an empty template. Its
// errors are *Error.
func Parse(text string) (Template, error) {
	if len(text) > maxText {
		return nil, &Error{1, 1, fmt.Sprintf("is longer than %d bytes", maxText)}
	}
	if i := unwritable(text); i >= 0 {
		return nil, at(text, i, "a character that cannot be in a template")
	}
	if strings.HasPrefix(strings.TrimLeft(text, blanks), "<") {
		return parseXML(text)
	}
	p := &parser{text: text}
	t, err := p.template()
	if err != nil {
		return nil, err
	}
	return t, nil
}

const blanks = " \t\r\n"

// unwritable is where the first character stands that XML 1.0 cannot hold,
// in which oned keeps templates; or -1.
func unwritable(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
		if r < 0x20 && !strings.ContainsRune(blanks, r) || r == 0xFFFE || r == 0xFFFF {
			return i
		}
	}
	return -1
}

// at makes an error of the place i in text.
func at(text string, i int, format string, args ...any) *Error {
	before := text[:i]
	line := strings.LastIndexByte(before, '\n') + 1
	return &Error{
		Line:   strings.Count(before, "\n") + 1,
		Column: utf8.RuneCountInString(before[line:]) + 1,
		Msg:    fmt.Sprintf(format, args...),
	}
}

// parser reads the text from pos on. The grammar is that of oned's
// template_parser.l and template_syntax.y; what they take is taken, and a
// vector may have its comma before the closing bracket.
type parser struct {
	text  string
	pos   int
	count int
}

func (p *parser) fail(format string, args ...any) *Error {
	return at(p.text, p.pos, format, args...)
}

// skip passes blanks, newlines and comments.
func (p *parser) skip() {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case strings.IndexByte(blanks, c) >= 0:
			p.pos++
		case c == '#':
			p.line()
		default:
			return
		}
	}
}

// line passes the rest of the line.
func (p *parser) line() {
	if n := strings.IndexByte(p.text[p.pos:], '\n'); n >= 0 {
		p.pos += n + 1
		return
	}
	p.pos = len(p.text)
}

func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *parser) template() (Template, *Error) {
	t := Template{}
	for {
		p.skip()
		if p.pos == len(p.text) {
			return t, nil
		}
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		a := Attribute{Key: key}
		if p.peek() == '[' {
			a.Vector, err = p.vector()
		} else {
			a.Value, err = p.value()
		}
		if err != nil {
			return nil, err
		}
		t = append(t, a)
	}
}

// key reads a key and the = behind it, up to the value on the same line.
func (p *parser) key() (string, *Error) {
	if p.count++; p.count > maxAttributes {
		return "", p.fail("more than %d attributes", maxAttributes)
	}
	n := 0
	for n < len(p.text)-p.pos && keyByte(p.text[p.pos+n], n == 0) {
		n++
	}
	if n == 0 {
		return "", p.fail("%s where an attribute's name should be", p.seen())
	}
	key := strings.ToUpper(p.text[p.pos : p.pos+n])
	p.pos += n
	p.blank()
	if p.peek() != '=' {
		return "", p.fail("%s where the = of %s should be", p.seen(), key)
	}
	p.pos++
	p.blank()
	return key, nil
}

// blank passes blanks, but no newline: KEY= at the end of a line is empty.
func (p *parser) blank() {
	for c := p.peek(); c == ' ' || c == '\t'; c = p.peek() {
		p.pos++
	}
}

// keyByte are the characters of XML names that need no thought.
func keyByte(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' ||
		!first && (c >= '0' && c <= '9' || c == '-' || c == '.')
}

// seen names what stands at the present place.
func (p *parser) seen() string {
	if p.pos == len(p.text) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	if r == '\n' || r == '\r' {
		return "the end of the line"
	}
	return fmt.Sprintf("%q", r)
}

// value reads a value in quotes, or a word of characters that mean nothing.
func (p *parser) value() (string, *Error) {
	if p.peek() == '"' {
		return p.quoted()
	}
	n := strings.IndexAny(p.text[p.pos:], "=#,[]\""+blanks)
	if n < 0 {
		n = len(p.text) - p.pos
	}
	word := p.text[p.pos : p.pos+n]
	p.pos += n
	if c := p.peek(); c == '=' || c == '[' || c == '"' {
		return "", p.fail("%s in a value that is not in quotes", p.seen())
	}
	return word, nil
}

// quoted reads a value in quotes, which may go over several lines. A
// backslash takes its meaning from a quote and a backslash; before anything
// else it stands for itself.
func (p *parser) quoted() (string, *Error) {
	start := p.pos
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		switch {
		case c == '"':
			p.pos++
			return b.String(), nil
		case c == '\\' && p.pos+1 < len(p.text) && (p.text[p.pos+1] == '"' || p.text[p.pos+1] == '\\'):
			p.pos++
			c = p.text[p.pos]
		}
		b.WriteByte(c)
	}
	return "", at(p.text, start, "a quote that is not closed")
}

// vector reads [ KEY = value, … ].
func (p *parser) vector() ([]Pair, *Error) {
	start := p.pos
	pairs := []Pair{}
	for p.pos++; ; {
		p.skip()
		switch p.peek() {
		case ']':
			p.pos++
			return pairs, nil
		case 0:
			return nil, at(p.text, start, "a [ that is not closed")
		}
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, Pair{key, value})
		p.skip()
		switch p.peek() {
		case ',':
			p.pos++
		case ']', 0:
		default:
			return nil, p.fail("%s where a comma or ] should be", p.seen())
		}
	}
}
