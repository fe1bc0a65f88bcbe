package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kolo/xmlrpc"
)

// encode writes a call with kolo's encoder. What that would write wrongly is
// caught or converted before: characters that XML cannot hold (it replaces
// them, which would make another password of one), integers that are too
// large, bytes (it would write an array), names that need escaping.
func encode(method string, params []any) ([]byte, error) {
	if method == "" || strings.ContainsAny(method, "<>&") {
		return nil, fmt.Errorf("no method can be called %q", method)
	}
	args := make([]any, len(params))
	for i, p := range params {
		v, err := encodable(p)
		if err != nil {
			return nil, fmt.Errorf("parameter %d %w", i+1, err)
		}
		args[i] = v
	}
	return xmlrpc.EncodeMethodCall(method, args...)
}

// encodable is v as kolo's encoder should get it. Errors say nothing of v's
// content.
func encodable(v any) (any, error) {
	switch v := v.(type) {
	case bool, time.Time:
		return v, nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, errors.New("is no finite number")
		}
		return v, nil
	case int:
		return fitting(int64(v))
	case int32:
		return fitting(int64(v))
	case int64:
		return fitting(v)
	case string:
		if !utf8.ValidString(v) || strings.IndexFunc(v, func(r rune) bool { return !inXML(r) }) >= 0 {
			return nil, errors.New("has characters that XML cannot hold")
		}
		return v, nil
	case []byte:
		return xmlrpc.Base64(base64.StdEncoding.EncodeToString(v)), nil
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return encodable(list)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			var err error
			if list[i], err = encodable(v[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		members := make(map[string]any, len(v))
		for name, m := range v {
			var b bytes.Buffer
			if err := xml.EscapeText(&b, []byte(name)); err != nil {
				return nil, err
			}
			var err error
			if members[b.String()], err = encodable(m); err != nil {
				return nil, err
			}
		}
		return members, nil
	}
	return nil, fmt.Errorf("has the type %T, which XML-RPC has not", v)
}

func fitting(n int64) (any, error) {
	if n < math.MinInt32 || n > math.MaxInt32 {
		return nil, errors.New("does not fit in 32 bits")
	}
	return n, nil
}

// maxNesting bounds how deep an answer may be: kolo's decoder calls itself
// for each level.
const maxNesting = 100

// decode reads an answer with kolo's decoder. A fault is an error of the type
// *Fault.
func decode(body []byte) (v any, err error) {
	defer func() {
		// The decoder panics on some bodies that are no answers.
		if p := recover(); p != nil {
			v, err = nil, errors.New("the answer is not XML-RPC")
		}
	}()
	if nesting(body) > maxNesting {
		return nil, errors.New("the answer is nested too deep")
	}
	response := xmlrpc.Response(body)
	if err := response.Err(); err != nil {
		if fault, ok := errors.AsType[xmlrpc.FaultError](err); ok {
			return nil, &Fault{Code: fault.Code, Message: fault.String}
		}
		return nil, fmt.Errorf("the answer is not XML-RPC: %w", err)
	}
	if err := response.Unmarshal(&v); err != nil {
		return nil, fmt.Errorf("the answer is not XML-RPC: %w", err)
	}
	return normal(v), nil
}

// nesting is the greatest number of values within each other. Strings in an
// answer are escaped and hold no tags.
func nesting(body []byte) int {
	depth, most := 0, 0
	for rest := body; ; {
		i := bytes.IndexByte(rest, '<')
		if i < 0 {
			return most
		}
		rest = rest[i+1:]
		switch {
		case bytes.HasPrefix(rest, []byte("value")) && !bytes.HasPrefix(rest, []byte("value/")):
			depth++
			most = max(most, depth)
		case bytes.HasPrefix(rest, []byte("/value")):
			depth--
		}
	}
}

// normal makes of kolo's values those of this package: int64 becomes int, and
// nil, which it leaves for an empty string, becomes one.
func normal(v any) any {
	switch v := v.(type) {
	case nil:
		return ""
	case int64:
		return int(v)
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = normal(v[name])
		}
	}
	return v
}
