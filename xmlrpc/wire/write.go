package wire

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
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

// Escaped is a text as AppendText leaves it. WriteValue takes it for a string
// and writes it as it is: who makes large documents writes them so at once.
type Escaped []byte

// WriteValue writes v as the answer to a call. Besides the values of a Call
// it takes int32, []string and Escaped. Its error is about v alone, before
// anything is written, or w's.
func WriteValue(w io.Writer, v any) error {
	b, err := appendAnswer(nil, v)
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// appendAnswer appends v as the answer to a call.
func appendAnswer(b []byte, v any) ([]byte, error) {
	b, err := appendValue(append(b, prolog+"<params>\r\n<param>"...), v)
	return append(b, "</param>\r\n</params>\r\n</methodResponse>\r\n"...), err
}

// WriteFault writes f as the answer to a call.
func WriteFault(w io.Writer, f *Fault) error {
	_, err := w.Write(appendFault(nil, f))
	return err
}

func appendFault(b []byte, f *Fault) []byte {
	// Neither an int nor a string can fail.
	b, _ = appendValue(append(b, prolog+"<fault>\r\n"...), f.members())
	return append(b, "\r\n</fault>\r\n</methodResponse>\r\n"...)
}

// members is the struct that stands for a fault, also within the answers of
// system.multicall.
func (f *Fault) members() map[string]any {
	return map[string]any{"faultCode": f.Code, "faultString": f.Message}
}

// appendValue appends a value; b is of no use after an error.
func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "<value><nil/></value>"...), nil
	case bool:
		digit := "0"
		if v {
			digit = "1"
		}
		return appendScalar(b, "boolean", digit), nil
	case int:
		return appendInt(b, int64(v), v >= math.MinInt32 && v <= math.MaxInt32), nil
	case int32:
		return appendInt(b, int64(v), true), nil
	case int64:
		return appendInt(b, v, false), nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return b, fmt.Errorf("XML-RPC has no number for %v", v)
		}
		return appendScalar(b, "double", strconv.FormatFloat(v, 'f', -1, 64)), nil
	case string:
		return append(AppendText(append(b, "<value><string>"...), v), "</string></value>"...), nil
	case Escaped:
		return append(append(append(b, "<value><string>"...), v...), "</string></value>"...), nil
	case []byte:
		return appendScalar(b, "base64", base64.StdEncoding.EncodeToString(v)), nil
	case time.Time:
		return appendScalar(b, "dateTime.iso8601", v.UTC().Format("20060102T15:04:05")), nil
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
	}
	return b, fmt.Errorf("XML-RPC has no type for %T", v)
}

// appendScalar appends a value whose text needs no escaping.
func appendScalar(b []byte, kind, text string) []byte {
	b = append(append(append(b, "<value><"...), kind...), '>')
	b = append(append(append(b, text...), "</"...), kind...)
	return append(b, "></value>"...)
}

func appendInt(b []byte, n int64, small bool) []byte {
	kind := "i8"
	if small {
		kind = "i4"
	}
	return appendScalar(b, kind, strconv.FormatInt(n, 10))
}

func appendArray(b []byte, list []any) ([]byte, error) {
	b = append(b, "<value><array><data>\r\n"...)
	for _, v := range list {
		var err error
		if b, err = appendValue(b, v); err != nil {
			return b, err
		}
		b = append(b, "\r\n"...)
	}
	return append(b, "</data></array></value>"...), nil
}

// appendStruct writes the members in the order of their names, so that equal
// answers are equal bytes.
func appendStruct(b []byte, members map[string]any) ([]byte, error) {
	b = append(b, "<value><struct>\r\n"...)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		b = AppendText(append(b, "<member><name>"...), name)
		b = append(b, "</name>\r\n"...)
		var err error
		if b, err = appendValue(b, members[name]); err != nil {
			return b, err
		}
		b = append(b, "</member>\r\n"...)
	}
	return append(b, "</struct></value>"...), nil
}

// AppendText appends s escaped as xmlrpc-c does: the three characters of
// markup, and the carriage return, which a parser would turn into a newline.
// What XML cannot hold becomes U+FFFD.
func AppendText(b []byte, s string) []byte {
	from := 0 // what stands before i and was not appended yet
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf && (c >= ' ' && c != '<' && c != '>' && c != '&' || c == '\t' || c == '\n') {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		by := "\uFFFD"
		switch {
		case r == '<':
			by = "&lt;"
		case r == '>':
			by = "&gt;"
		case r == '&':
			by = "&amp;"
		case r == '\r':
			by = "&#x0d;"
		case r != utf8.RuneError && inXML(r):
			i += n
			continue
		}
		b = append(append(b, s[from:i]...), by...)
		i += n
		from = i
	}
	return append(b, s[from:]...)
}

// inXML says whether XML 1.0 has the character (§2.2).
func inXML(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r != 0xFFFE && r != 0xFFFF
}
