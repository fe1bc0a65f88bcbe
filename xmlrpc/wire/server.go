package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync/atomic"
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

	// User is the id of who Authenticate found, for the records.
	User func(ctx context.Context) int

	// Known, when set, is the id of who was last found to hold a session, and
	// false when nobody remembers: for the records of calls that are passed on.
	Known func(session string) (user int, ok bool)

	// Guard, when set, is asked before each Authenticate.
	Guard Guard

	// Beyond, when set, answers the methods that are not added here, unless
	// their names begin with Reserved.
	Beyond   Beyond
	Reserved string

	// Invoked hears of every call whose caller is known, or that is passed on;
	// Log of every call when it is done, those within a multicall included.
	// Panicked hears of a method that panicked. They may be nil.
	Invoked  func(Record)
	Log      func(Record)
	Panicked func(method string, value any, stack []byte)

	methods map[string]*Method
	names   []string // in the order of Add
	calls   atomic.Uint64
	large   memory
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

// nobody is the user of a record whose caller is not known, as in oned's log.
const nobody = -1

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
	rec := s.begin(Peer(ctx), call)
	a := s.dispatch(ctx, call, rec)
	s.end(rec, start, a)
	return a
}

// begin opens the record of a call.
func (s *Server) begin(peer string, call Call) *Record {
	return &Record{ID: s.calls.Add(1), Method: call.Method, Peer: peer, User: nobody, params: call.Params}
}

func (s *Server) invoked(rec *Record) {
	if s.Invoked != nil {
		s.Invoked(*rec)
	}
}

// end closes the record of a call.
func (s *Server) end(rec *Record, start time.Time, a answer) {
	if s.Log != nil {
		rec.Duration, rec.Result, rec.answer = time.Since(start), a.code, a
		s.Log(*rec)
	}
}

func (s *Server) dispatch(ctx context.Context, call Call, rec *Record) (a answer) {
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
		if s.foreign(call.Method) {
			return failed(notACall("The method's name is not within the first %d bytes, or behind a document type", headSize))
		}
		return failed(undefined(call.Method))
	}
	ctx, known, refused := s.authenticate(ctx, m, call)
	if refused != nil {
		return *refused
	}
	if s.User != nil && known {
		rec.User = s.User(ctx)
	}
	s.invoked(rec)
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

// authenticate is the check of the session, for methods that ask for one; of
// others it does not make the caller known.
func (s *Server) authenticate(ctx context.Context, m *Method, call Call) (_ context.Context, known bool, refused *answer) {
	if len(m.Params) == 0 || m.Params[0] != Session {
		return ctx, false, nil
	}
	refuse := func(a answer) (context.Context, bool, *answer) { return nil, false, &a }
	if len(call.Params) == 0 {
		return refuse(failed(faultf(FaultInternal, "Unexpected error executing code for particular method, "+
			"detected by Xmlrpc-c method registry code.  Method did not fail; rather, it did not complete at all.  "+
			"Subscript of xmlrpc_c::paramList out of bounds")))
	}
	session, ok := call.Params[0].(string)
	if !ok || s.Authenticate == nil {
		return refuse(s.failure(call.Method, authFailed, codeAuth, noObject))
	}
	done, err := s.try(Peer(ctx), session)
	if err != nil {
		return refuse(s.failure(call.Method, authFailed+" "+err.Error(), codeAuth, noObject))
	}
	verdict := Unsure
	defer func() { done(verdict) }()
	ctx, err = s.Authenticate(ctx, session)
	if err != nil {
		a := s.describe(call.Method, err)
		if a.code == codeAuth {
			verdict = Refused
		}
		return refuse(a)
	}
	verdict = Known
	return ctx, true, nil
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

// asFault is an error as a fault: one that is in it, or its text.
func asFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return faultf(FaultInternal, "%s", err)
}
