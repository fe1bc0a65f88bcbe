package wire

import (
	"context"
	"time"
)

// Kind is the type that a method asks of a parameter.
type Kind int

// The kinds. Session is a string that the server has authenticated before it
// looks at any other parameter; it can only stand first.
const (
	Session Kind = iota
	String
	Int   // int and i4
	Int64 // i8, and int
	Bool
	Double
	Base64
	Time
	Array
	Struct
)

// kinds gives for each kind its name in signatures and what xmlrpc-c calls it
// when a parameter is something else (param_list.cpp).
var kinds = [...]struct{ signature, supposed string }{
	Session: {"string", "string"},
	String:  {"string", "string"},
	Int:     {"int", "integer"},
	Int64:   {"i8", "64-bit integer"},
	Bool:    {"boolean", "boolean"},
	Double:  {"double", "floating point number"},
	Base64:  {"base64", "byte string"},
	Time:    {"dateTime.iso8601", "date/time"},
	Array:   {"array", "array"},
	Struct:  {"struct", "structure"},
}

func (k Kind) takes(v any) bool {
	ok := false
	switch k {
	case Session, String:
		_, ok = v.(string)
	case Int:
		_, ok = v.(int)
	case Int64:
		if _, ok = v.(int); !ok {
			_, ok = v.(int64)
		}
	case Bool:
		_, ok = v.(bool)
	case Double:
		_, ok = v.(float64)
	case Base64:
		_, ok = v.([]byte)
	case Time:
		_, ok = v.(time.Time)
	case Array:
		_, ok = v.([]any)
	case Struct:
		_, ok = v.(map[string]any)
	}
	return ok
}

// Method is something to call.
type Method struct {
	Name string // such as one.volume.info
	Help string // one sentence, for system.methodHelp

	// Params are the parameters in order, the session first. The last
	// Optional of them may be absent; what comes beyond is ignored, as oned
	// does.
	Params   []Kind
	Optional int

	// Func does the work. Its value is wrapped by Success; its error goes
	// through the server's Describe, unless there is a *Fault in it, which is
	// sent as such.
	Func func(ctx context.Context, call Call) (any, error)
}

// check compares the parameters with what the method asks, in the order in
// which oned reads them: the first that is missing or wrong decides.
func (m *Method) check(call Call) *Fault {
	for i, kind := range m.Params {
		if i >= len(call.Params) {
			if i >= len(m.Params)-m.Optional {
				return nil
			}
			return faultf(FaultType, "Not enough parameters")
		}
		if !kind.takes(call.Params[i]) {
			return faultf(FaultType, "Parameter that is supposed to be %s is not", kinds[kind].supposed)
		}
	}
	return nil
}

// signature is the method's only one, for system.methodSignature: the result
// first, which is always an array.
func (m *Method) signature() []any {
	list := []any{"array"}
	for _, kind := range m.Params {
		list = append(list, kinds[kind].signature)
	}
	return []any{list}
}
