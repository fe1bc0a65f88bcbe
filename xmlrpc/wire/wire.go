// Package wire is XML-RPC as OpenNebula's oned speaks it, from both ends: a
// server that reads calls, checks them in oned's order and answers in oned's
// bytes, and a client that tells a call that was refused from one whose
// outcome nobody knows. It knows no method of its own but system.*.
//
// What oned does was measured on version 7.4.0 (xmlrpc-c 1.33.14); the bodies
// are in testdata.
package wire

import (
	"errors"
	"fmt"
	"log/slog"
)

// Path is where oned and its kin serve XML-RPC.
const Path = "/RPC2"

// Codes of faults, from xmlrpc-c's base.h.
const (
	FaultInternal  = -500 // a method did not complete
	FaultType      = -501 // too few parameters, or one of a wrong type
	FaultParse     = -503 // the body is no XML-RPC call
	FaultNoMethod  = -506 // nobody serves the method
	FaultRefused   = -507 // the server will not do that
	FaultTooLarge  = -509 // the call exceeds a limit
	codeAuth       = 0x0100
	codeInternal   = 0x2000
	noObject       = -1
	noReplication  = -1
	authFailed     = "User couldn't be authenticated, aborting call."
	internalFailed = "Internal error, see the log of the server."
)

// Call is one call as it came in. Params holds the session too, as its first
// element where the method asks for one. Printing a Call shows the method's
// name alone, so that sessions stay out of logs.
//
// The values are int (of int and i4), int64 (of i8), bool, string, float64,
// []byte, time.Time, nil, []any and map[string]any.
type Call struct {
	Method string
	Params []any
}

// String names the method and how many parameters there are.
func (c Call) String() string { return fmt.Sprintf("%s(%d parameters)", c.Method, len(c.Params)) }

// GoString keeps %#v from showing the parameters.
func (c Call) GoString() string { return c.String() }

// LogValue keeps the parameters out of structured logs.
func (c Call) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Session is the first parameter, or "" when it is missing or no string.
func (c Call) Session() string { return c.Text(0) }

// Has says whether the caller sent parameter i (the session is 0).
func (c Call) Has(i int) bool { return i >= 0 && i < len(c.Params) }

// Text is parameter i, or "" when it is absent or no string.
func (c Call) Text(i int) string {
	if !c.Has(i) {
		return ""
	}
	s, _ := c.Params[i].(string)
	return s
}

// Int is parameter i, or absent when the caller did not send it. It reads
// i8 too.
func (c Call) Int(i, absent int) int {
	if c.Has(i) {
		switch n := c.Params[i].(type) {
		case int:
			return n
		case int64:
			return int(n)
		}
	}
	return absent
}

// Bool is parameter i, or absent when the caller did not send it.
func (c Call) Bool(i int, absent bool) bool {
	if c.Has(i) {
		if b, ok := c.Params[i].(bool); ok {
			return b
		}
	}
	return absent
}

// Limits bound what one call may cost before its caller is known. A zero
// field means the default.
type Limits struct {
	Body     int64 // bytes; 1 MiB
	Depth    int   // arrays and structs within each other; 64, as xmlrpc-c
	Elements int   // XML elements; 50,000
}

func (l Limits) orDefault() Limits {
	if l.Body == 0 {
		l.Body = 1 << 20
	}
	if l.Depth == 0 {
		l.Depth = 64
	}
	if l.Elements == 0 {
		l.Elements = 50_000
	}
	return l
}

// Fault is the first of XML-RPC's two layers of errors: the call never
// reached its method. Both ends use it.
type Fault struct {
	Code    int
	Message string
}

func (f *Fault) Error() string { return fmt.Sprintf("XML-RPC fault %d: %s", f.Code, f.Message) }

func faultf(code int, format string, args ...any) *Fault {
	return &Fault{Code: code, Message: fmt.Sprintf(format, args...)}
}

// notACall is the fault of a body that is no call, in xmlrpc-c's words.
func notACall(format string, args ...any) *Fault {
	return faultf(FaultParse, "Call XML not a proper XML-RPC call.  "+format, args...)
}

// errNoResponse is an answer that is none of XML-RPC's.
var errNoResponse = errors.New("the answer is not XML-RPC")

// errEmpty is ReadCall's answer to a body without a byte: HTTP's business.
var errEmpty = errors.New("the body is empty")
