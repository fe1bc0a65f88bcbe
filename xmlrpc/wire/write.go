package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Success is the answer of a call that worked: [true, v, 0]. v is an int, an
// int64, a bool or a string in oned's own methods.
func Success(v any) []any { return []any{true, v, 0} }

// Failure is the answer of a call that did not: the message begins with the
// method's name in brackets, objectID is -1 unless the code says that an
// object does not exist.
func Failure(message string, code, objectID int) []any {
	return []any{false, message, code, objectID, int64(noReplication)}
}

// prolog and the rest of the layout, down to each CRLF, are xmlrpc-c's.
const prolog = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n"

// WriteValue writes v as the answer to a call. Besides the values of a Call
// it takes int32 and []string. Its error is about v alone, before anything
// is written, or w's.
func WriteValue(w io.Writer, v any) error {
	var b bytes.Buffer
	b.WriteString(prolog + "<params>\r\n<param>")
	if err := appendValue(&b, v); err != nil {
		return err
	}
	b.WriteString("</param>\r\n</params>\r\n</methodResponse>\r\n")
	_, err := w.Write(b.Bytes())
	return err
}

// WriteFault writes f as the answer to a call.
func WriteFault(w io.Writer, f *Fault) error {
	var b bytes.Buffer
	b.WriteString(prolog + "<fault>\r\n")
	if err := appendValue(&b, f.members()); err != nil {
		return err
	}
	b.WriteString("\r\n</fault>\r\n</methodResponse>\r\n")
	_, err := w.Write(b.Bytes())
	return err
}

// members is the struct that stands for a fault, also within the answers of
// system.multicall.
func (f *Fault) members() map[string]any {
	return map[string]any{"faultCode": f.Code, "faultString": f.Message}
}

func appendValue(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case nil:
		b.WriteString("<value><nil/></value>")
	case bool:
		fmt.Fprintf(b, "<value><boolean>%d</boolean></value>", map[bool]int{true: 1}[v])
	case int:
		appendInt(b, int64(v), v >= math.MinInt32 && v <= math.MaxInt32)
	case int32:
		appendInt(b, int64(v), true)
	case int64:
		appendInt(b, v, false)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return fmt.Errorf("XML-RPC has no number for %v", v)
		}
		fmt.Fprintf(b, "<value><double>%s</double></value>", strconv.FormatFloat(v, 'f', -1, 64))
	case string:
		b.WriteString("<value><string>")
		appendText(b, v)
		b.WriteString("</string></value>")
	case []byte:
		fmt.Fprintf(b, "<value><base64>%s</base64></value>", base64.StdEncoding.EncodeToString(v))
	case time.Time:
		fmt.Fprintf(b, "<value><dateTime.iso8601>%s</dateTime.iso8601></value>", v.UTC().Format("20060102T15:04:05"))
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return appendArray(b, list)
	case []any:
		return appendArray(b, v)
	case map[string]any:
		return appendStruct(b, v)
	default:
		return fmt.Errorf("XML-RPC has no type for %T", v)
	}
	return nil
}

func appendInt(b *bytes.Buffer, n int64, small bool) {
	if small {
		fmt.Fprintf(b, "<value><i4>%d</i4></value>", n)
		return
	}
	fmt.Fprintf(b, "<value><i8>%d</i8></value>", n)
}

func appendArray(b *bytes.Buffer, list []any) error {
	b.WriteString("<value><array><data>\r\n")
	for _, v := range list {
		if err := appendValue(b, v); err != nil {
			return err
		}
		b.WriteString("\r\n")
	}
	b.WriteString("</data></array></value>")
	return nil
}

// appendStruct writes the members in the order of their names, so that equal
// answers are equal bytes.
func appendStruct(b *bytes.Buffer, members map[string]any) error {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	b.WriteString("<value><struct>\r\n")
	for _, name := range names {
		b.WriteString("<member><name>")
		appendText(b, name)
		b.WriteString("</name>\r\n")
		if err := appendValue(b, members[name]); err != nil {
			return err
		}
		b.WriteString("</member>\r\n")
	}
	b.WriteString("</struct></value>")
	return nil
}

// appendText escapes as xmlrpc-c does: the three characters of markup, and
// the carriage return, which a parser would turn into a newline. What XML
// cannot hold becomes U+FFFD.
func appendText(b *bytes.Buffer, s string) {
	for i := 0; i < len(s); {
		j := i + strings.IndexFunc(s[i:], special)
		if j < i {
			b.WriteString(s[i:])
			return
		}
		b.WriteString(s[i:j])
		r, n := utf8.DecodeRuneInString(s[j:])
		switch r {
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '&':
			b.WriteString("&amp;")
		case '\r':
			b.WriteString("&#x0d;")
		default:
			b.WriteString("\uFFFD")
		}
		i = j + n
	}
}

func special(r rune) bool {
	return r == '<' || r == '>' || r == '&' || r == '\r' || r == utf8.RuneError || !inXML(r)
}

// inXML says whether XML 1.0 has the character (§2.2).
func inXML(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r != 0xFFFE && r != 0xFFFF
}
