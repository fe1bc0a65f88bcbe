package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// Server answers calls over HTTP, in oned's order of checks: HTTP, XML, the
// method's name, authentication, the number and types of parameters, and then
// the method itself. So nobody learns anything of an object before he is
// known, and a bad password hides bad parameters. The zero value serves
// system.* alone; set the fields and add the methods before it is used.
type Server struct {
	// Path is the only one served; Path's default is the constant Path.
	Path   string
	Limits Limits

	// Calls is how many calls one system.multicall may hold; 100 when zero.
	Calls int

	// Authenticate says who holds the session, by a context for the method.
	// Its error goes through Describe. Without it every session is refused.
	Authenticate func(ctx context.Context, session string) (context.Context, error)

	// Describe turns an error into what crosses the wire: a text without the
	// method's name, one of oned's codes and the object that is missing, or
	// -1. Without it every error is internal and shows nothing.
	Describe func(error) (message string, code, objectID int)

	// Forward, when set, gets the calls of methods that nobody serves. Its
	// value is the whole answer; a *Fault or *APIError in its error is
	// answered as it is.
	Forward func(ctx context.Context, call Call) (any, error)

	// Log hears of every call when it is done, those within a multicall
	// included. Panicked hears of a method that panicked. Both may be nil.
	Log      func(Record)
	Panicked func(method string, value any, stack []byte)

	methods map[string]*Method
	names   []string // in the order of Add
}

// Record is a call that is done. Neither parameters nor sessions are in it.
type Record struct {
	Method   string // "" when the body was no call
	Peer     string // the address the call came from
	Duration time.Duration
	Result   int // 0, one of oned's codes, or a fault's code (below zero)
}

// Add registers methods. It panics on a name that is taken and on a session
// that does not stand first: both are errors of the program.
func (s *Server) Add(methods ...Method) {
	if s.methods == nil {
		s.methods = map[string]*Method{}
	}
	for _, m := range methods {
		if _, taken := s.methods[m.Name]; taken || m.Name == "" || m.Func == nil || m.Optional > len(m.Params) {
			panic(fmt.Sprintf("wire: method %q is registered twice or incomplete", m.Name))
		}
		for i, kind := range m.Params {
			if kind == Session && (i > 0 || m.Optional == len(m.Params)) {
				panic(fmt.Sprintf("wire: method %q must ask for the session first", m.Name))
			}
		}
		s.methods[m.Name] = &m
		s.names = append(s.names, m.Name)
	}
}

// answer is what goes back: a value or a fault.
type answer struct {
	value any
	fault *Fault
	code  int // for the record
}

func failed(f *Fault) answer { return answer{fault: f, code: f.Code} }

func (s *Server) failure(method, message string, code, objectID int) answer {
	return answer{value: Failure("["+method+"] "+message, code, objectID), code: code}
}

type peerKey struct{}

// Peer is the address and port from which the call came that a method or
// Authenticate serves with ctx. Behind a reverse proxy it is the proxy's: what
// a header such as X-Forwarded-For says is the caller's own word, and is not
// believed.
func Peer(ctx context.Context) string {
	peer, _ := ctx.Value(peerKey{}).(string)
	return peer
}

// serve answers one call that was read already. ctx knows its Peer.
func (s *Server) serve(ctx context.Context, call Call) answer {
	start := time.Now()
	a := s.dispatch(ctx, call)
	s.record(call.Method, Peer(ctx), start, a.code)
	return a
}

func (s *Server) record(method, peer string, start time.Time, code int) {
	if s.Log != nil {
		s.Log(Record{Method: method, Peer: peer, Duration: time.Since(start), Result: code})
	}
}

func (s *Server) dispatch(ctx context.Context, call Call) (a answer) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
			panic(v)
		}
		if s.Panicked != nil {
			s.Panicked(call.Method, v, debug.Stack())
		}
		a = s.failure(call.Method, internalFailed, codeInternal, noObject)
	}()
	m, ok := s.methods[call.Method]
	if !ok {
		if a, ok := s.system(ctx, call); ok {
			return a
		}
		if s.Forward != nil {
			v, err := s.Forward(ctx, call)
			return s.forwarded(call.Method, v, err)
		}
		return failed(undefined(call.Method))
	}
	ctx, refused := s.authenticate(ctx, m, call)
	if refused != nil {
		return *refused
	}
	if fault := m.check(call); fault != nil {
		return failed(fault)
	}
	v, err := m.Func(ctx, call)
	if err != nil {
		return s.describe(call.Method, err)
	}
	return answer{value: Success(v)}
}

func undefined(method string) *Fault {
	return faultf(FaultNoMethod, "Method '%s' not defined", method)
}

// authenticate is the check of the session, for methods that ask for one.
func (s *Server) authenticate(ctx context.Context, m *Method, call Call) (context.Context, *answer) {
	if len(m.Params) == 0 || m.Params[0] != Session {
		return ctx, nil
	}
	refuse := func(a answer) (context.Context, *answer) { return nil, &a }
	if len(call.Params) == 0 {
		return refuse(failed(faultf(FaultInternal, "Unexpected error executing code for particular method, "+
			"detected by Xmlrpc-c method registry code.  Method did not fail; rather, it did not complete at all.  "+
			"Subscript of xmlrpc_c::paramList out of bounds")))
	}
	session, ok := call.Params[0].(string)
	if !ok || s.Authenticate == nil {
		return refuse(s.failure(call.Method, authFailed, codeAuth, noObject))
	}
	known, err := s.Authenticate(ctx, session)
	if err != nil {
		return refuse(s.describe(call.Method, err))
	}
	return known, nil
}

// describe turns a method's error into its answer.
func (s *Server) describe(method string, err error) answer {
	if fault, ok := errors.AsType[*Fault](err); ok {
		return failed(fault)
	}
	message, code, objectID := internalFailed, codeInternal, noObject
	if s.Describe != nil {
		message, code, objectID = s.Describe(err)
	}
	return s.failure(method, message, code, objectID)
}

func (s *Server) forwarded(method string, v any, err error) answer {
	if err == nil {
		return answer{value: v}
	}
	if api, ok := errors.AsType[*APIError](err); ok {
		return answer{value: Failure(api.Message, api.Code, api.ObjectID), code: api.Code}
	}
	return s.describe(method, err)
}
