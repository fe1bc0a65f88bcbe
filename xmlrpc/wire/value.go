package wire

import (
	"encoding/base64"
	"encoding/xml"
	"math"
	"strconv"
	"strings"
	"time"
)

// value reads what stands in <value>, up to and with </value>. A value
// without a type is a string, blanks included.
func (p *reader) value(depth int) (any, error) {
	text, tok, err := p.next()
	if err != nil {
		return nil, err
	}
	start, ok := tok.(xml.StartElement)
	if !ok {
		return text, nil
	}
	if strings.TrimSpace(text) != "" {
		return nil, notACall("<value> element has both text and a child <%s>", clip(start.Name.Local))
	}
	v, err := p.typed(start.Name.Local, depth)
	if err != nil {
		return nil, err
	}
	return v, p.end("value")
}

func (p *reader) typed(kind string, depth int) (any, error) {
	switch kind {
	case "array", "struct":
		if depth >= p.limits.Depth {
			return nil, faultf(FaultTooLarge, "Nested data structure too deep.")
		}
		if kind == "array" {
			return p.array(depth + 1)
		}
		return p.structure(depth + 1)
	}
	text, err := p.leaf(kind)
	if err != nil {
		return nil, err
	}
	return scalar(kind, text)
}

func (p *reader) array(depth int) (any, error) {
	if err := p.open("array", "data"); err != nil {
		return nil, err
	}
	list := []any{}
	for {
		item, err := p.child("data")
		if err != nil {
			return nil, err
		}
		if item == nil {
			return list, p.end("array")
		}
		if item.Name.Local != "value" {
			return nil, notACall("<data> element has a child <%s>; only <value> makes sense", clip(item.Name.Local))
		}
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

func (p *reader) structure(depth int) (any, error) {
	members := map[string]any{}
	for {
		member, err := p.child("struct")
		if err != nil || member == nil {
			return members, err
		}
		if member.Name.Local != "member" {
			return nil, notACall("<struct> element has a child <%s>; only <member> makes sense", clip(member.Name.Local))
		}
		if err := p.open("member", "name"); err != nil {
			return nil, err
		}
		name, err := p.leaf("name")
		if err != nil {
			return nil, err
		}
		if err := p.open("member", "value"); err != nil {
			return nil, err
		}
		if members[name], err = p.value(depth); err != nil {
			return nil, err
		}
		if err := p.end("member"); err != nil {
			return nil, err
		}
	}
}

// scalar reads a value that has no parts. xmlrpc-c calls i4 <int> in its
// complaints, and so does this.
func scalar(kind, text string) (any, error) {
	switch kind {
	case "int", "i4":
		n, err := integer(text, "int", math.MinInt32, math.MaxInt32)
		return int(n), err
	case "i8":
		return integer(text, "i8", math.MinInt64, math.MaxInt64)
	case "string":
		return text, nil
	case "boolean":
		if text == "0" || text == "1" {
			return text == "1", nil
		}
		return nil, notACall("<boolean> content '%s' is neither '0' nor '1'", clip(text))
	case "double":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.Trim(text, "+-.0123456789eE") != "" {
			return nil, notACall("<double> content '%s' is not a number", clip(text))
		}
		return f, nil
	case "base64":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, notACall("<base64> content is not base64")
		}
		return b, nil
	case "dateTime.iso8601":
		for _, layout := range []string{"20060102T15:04:05", "2006-01-02T15:04:05", "20060102T15:04:05Z07:00", time.RFC3339} {
			if t, err := time.Parse(layout, text); err == nil {
				return t, nil
			}
		}
		return nil, notACall("<dateTime.iso8601> content '%s' is not a date and time", clip(text))
	case "nil":
		if text != "" {
			return nil, notACall("<nil> element is not empty")
		}
		return nil, nil
	}
	return nil, notACall("Unknown value type -- XML element is named <%s>", clip(kind))
}

func integer(text, kind string, least, most int64) (int64, error) {
	switch {
	case text == "":
		return 0, notACall("<%s> content is empty", kind)
	case strings.ContainsRune(" \t\r\n", rune(text[0])):
		return 0, notACall("<%s> content '%s' starts with white space", kind, clip(text))
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil && !isNumber(text):
		return 0, notACall("<%s> content '%s' is not a decimal number", kind, clip(text))
	case n > most || err != nil && text[0] != '-':
		return 0, notACall("<%s> value %s is above the range allowed by XML-RPC (maximum is %d)", kind, clip(text), most)
	case n < least || err != nil:
		return 0, notACall("<%s> value %s is below the range allowed by XML-RPC (minimum is %d)", kind, clip(text), least)
	}
	return n, nil
}

func isNumber(s string) bool {
	digits := strings.TrimLeft(s[:1], "+-") + s[1:]
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}
