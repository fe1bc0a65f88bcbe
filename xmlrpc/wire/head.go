package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Head is what the first bytes of a body tell of the call in it.
type Head struct {
	Method  string
	Session string // the first parameter when it is a string, else ""
}

// headSize is where the method's name, and the session if there is one, must
// have ended; the rest of a body goes on to others without being looked at.
const headSize = 4 << 10

// readHead looks at the head of a body and takes nothing from it. ok is false
// when the method's name is not within headSize or not written as anybody
// writes it; a document type, which may declare entities, is among that.
// The error is the body's own.
func readHead(in *bufio.Reader) (h Head, ok bool, err error) {
	for n := 1; ; n = in.Buffered() + 1 {
		_, ended := in.Peek(n)
		head, _ := in.Peek(in.Buffered())
		whole := ended != nil
		h, why := lexHead(head)
		switch {
		case whole && !errors.Is(ended, io.EOF) && !errors.Is(ended, bufio.ErrBufferFull):
			return Head{}, false, ended
		case why == nil || errors.Is(why, errNoSession), whole && h.Method != "":
			return h, true, nil
		case whole || !errors.Is(why, errShort):
			return Head{}, false, nil //nolint:nilerr // a body may end here
		}
	}
}

var (
	errShort     = errors.New("the head goes on")
	errUnclear   = errors.New("no head of a call")
	errNoSession = errors.New("no session")
)

const bom = "\ufeff" // a byte order mark, as some editors write it

// lexHead reads <methodCall><methodName>…</methodName> and the first
// parameter. The method is known as soon as it is not empty, whatever the
// error; a session that cannot be read is errNoSession.
func lexHead(b []byte) (Head, error) {
	var h Head
	if len(b) < len(bom) && bom[:len(b)] == string(b) {
		return h, errShort
	}
	l := &lexer{b: bytes.TrimPrefix(b, []byte(bom))}
	if err := l.open("methodCall", "methodName"); err != nil {
		return h, err
	}
	method, err := l.text()
	if err != nil {
		return h, err
	}
	if err := l.tag("/methodName"); err != nil {
		return h, err
	}
	h.Method = method
	h.Session, err = l.session()
	if errors.Is(err, errUnclear) {
		err = errNoSession
	}
	return h, err
}

// session reads the first parameter up to the tag behind it.
func (l *lexer) session() (string, error) {
	if err := l.open("params", "param", "value"); err != nil {
		return "", err
	}
	text, err := l.text()
	if err != nil {
		return "", err
	}
	if err := l.tag("/value"); !errors.Is(err, errUnclear) {
		return text, err // a value without a type is a string
	}
	if err := l.open("string"); err != nil {
		return "", err
	}
	text, err = l.text()
	if err != nil {
		return "", err
	}
	return text, l.tag("/string")
}

// lexer reads the few forms of markup that stand at the head of a call.
type lexer struct {
	b []byte // what has not been read
}

// open reads start tags, one within the other.
func (l *lexer) open(names ...string) error {
	for _, name := range names {
		if err := l.misc(); err != nil {
			return err
		}
		if err := l.tag(name); err != nil {
			return err
		}
	}
	return nil
}

// misc skips blanks, comments and processing instructions.
func (l *lexer) misc() error {
	for {
		l.b = bytes.TrimLeft(l.b, " \t\r\n")
		switch {
		case len(l.b) == 0:
			return errShort
		case begins(l.b, "<!--"):
			if err := l.past("<!--", "-->"); err != nil {
				return err
			}
		case begins(l.b, "<?"):
			if err := l.past("<?", "?>"); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// begins says whether b begins as prefix does, as far as there is of it.
func begins(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return n > 1 && string(b[:n]) == prefix[:n] || n == 1 && len(b) == 1 && b[0] == prefix[0]
}

// past skips what begins with from and ends with to.
func (l *lexer) past(from, to string) error {
	if len(l.b) < len(from) {
		return errShort
	}
	_, rest, ok := bytes.Cut(l.b[len(from):], []byte(to))
	if !ok {
		return errShort
	}
	l.b = rest
	return nil
}

// tag reads the tag of that name, with "/" in front for an end; nothing is
// read when there is another.
func (l *lexer) tag(name string) error {
	want := "<" + name
	n := min(len(l.b), len(want))
	if string(l.b[:n]) != want[:n] {
		return errUnclear
	}
	rest := l.b[n:]
	if len(rest) == 0 {
		return errShort
	}
	if !strings.ContainsRune(" \t\r\n>", rune(rest[0])) {
		return errUnclear
	}
	quote := byte(0) // attributes, such as those that declare namespaces, are skipped
	for i, c := range rest {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '<' || c == '/':
			return errUnclear
		case c == '>':
			l.b = rest[i+1:]
			return nil
		}
	}
	return errShort
}

// text reads character data up to the next tag: references, CDATA and
// comments included.
func (l *lexer) text() (string, error) {
	var out strings.Builder
	for {
		i := bytes.IndexAny(l.b, "<&")
		if i < 0 {
			return "", errShort
		}
		out.Write(l.b[:i])
		l.b = l.b[i:]
		var err error
		switch {
		case l.b[0] == '&':
			err = l.reference(&out)
		case len(l.b) == 1:
			return "", errShort
		case begins(l.b, "<!--"):
			err = l.past("<!--", "-->")
		case begins(l.b, "<![CDATA["):
			before := l.b
			if err = l.past("<![CDATA[", "]]>"); err == nil {
				out.Write(before[len("<![CDATA[") : len(before)-len(l.b)-len("]]>")])
			}
		default:
			return strings.ReplaceAll(out.String(), "\r\n", "\n"), nil
		}
		if err != nil {
			return "", err
		}
	}
}

var entities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "apos": '\'', "quot": '"'}

// reference reads one of XML's own entities or a character's number; there
// are no others here.
func (l *lexer) reference(out *strings.Builder) error {
	const longest = len("&#x10FFFF;")
	end := bytes.IndexByte(l.b, ';')
	if end < 0 && len(l.b) < longest {
		return errShort
	}
	if end < 0 || end >= longest {
		return errUnclear
	}
	name := string(l.b[1:end])
	l.b = l.b[end+1:]
	r, ok := entities[name]
	if digits, is := strings.CutPrefix(name, "#"); is {
		base := 10
		if hex, is := strings.CutPrefix(digits, "x"); is {
			digits, base = hex, 16
		}
		n, err := strconv.ParseUint(digits, base, 32)
		r, ok = rune(n), err == nil && n <= utf8.MaxRune && inXML(rune(n))
	}
	if !ok {
		return errUnclear
	}
	out.WriteRune(r)
	return nil
}
