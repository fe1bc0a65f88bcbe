package wire

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Beyond is another server, whose methods are answered here as if they were
// ours: oned. It may be used by many at once.
type Beyond interface {
	// Limit is how many bytes the body of a call may have.
	Limit() int64
	// Pass answers a request whose body, which comes whole in r.Body, holds a
	// call of the method in h.
	Pass(w http.ResponseWriter, r *http.Request, h Head) Passed
	// Ask makes one call and gives its answer. The error is a *Fault that the
	// server answered, or says why there is no answer.
	Ask(ctx context.Context, call Call) (any, error)
}

// Passed is what became of a call that was passed on.
type Passed struct {
	Status  int   // HTTP's; 502 when there was no answer
	Bytes   int64 // of the answer's body
	Verdict Verdict
}

// Guard holds off those who try one session after the other.
type Guard interface {
	// Try asks whether a session may be tried from an address (a Peer). The
	// error's text is for the caller. Otherwise done must be called, once,
	// with what came of it.
	Try(peer, session string) (done func(Verdict), err error)
}

// Verdict is what is known of a session once it was tried.
type Verdict int

// The verdicts. Unsure is also a session that nobody looked at.
const (
	Unsure Verdict = iota
	Known
	Refused
)

// try asks the guard, if there is one.
func (s *Server) try(peer, session string) (func(Verdict), error) {
	if s.Guard == nil {
		return func(Verdict) {}, nil
	}
	return s.Guard.Try(peer, session)
}

// foreign says whether a method is Beyond's.
func (s *Server) foreign(method string) bool {
	if s.Beyond == nil || s.Reserved != "" && strings.HasPrefix(method, s.Reserved) {
		return false
	}
	_, ours := s.methods[method]
	return !ours && !slices.ContainsFunc(own(), func(m Method) bool { return m.Name == method })
}

// pass answers a call of a method of Beyond's. in is the body with its head.
func (s *Server) pass(w http.ResponseWriter, r *http.Request, in io.Reader, h Head) {
	rec := s.begin(r.RemoteAddr, Call{Method: h.Method})
	s.recall(rec, h.Session)
	start := time.Now()
	done, err := s.try(r.RemoteAddr, h.Session)
	if err != nil {
		a := s.failure(h.Method, authFailed+" "+err.Error(), codeAuth, noObject)
		s.respond(w, a)
		s.end(rec, start, a)
		return
	}
	s.invoked(rec)
	passed := Passed{Status: http.StatusBadGateway}
	defer func() { // also when the proxy gives up by a panic, as net/http's does
		done(passed.Verdict)
		rec.Status, rec.Bytes = passed.Status, passed.Bytes
		if passed.Verdict == Refused {
			rec.Result, rec.User = codeAuth, nobody
		}
		s.end(rec, start, answer{code: rec.Result})
	}()
	r.Body = &headed{Reader: in, Closer: r.Body}
	passed = s.Beyond.Pass(w, r, h)
}

// recall puts into the record of a call that Beyond will authenticate whose it
// is, as far as that is remembered here.
func (s *Server) recall(rec *Record, session string) {
	if s.Known == nil || session == "" {
		return
	}
	if user, ok := s.Known(session); ok {
		rec.User = user
	}
}

// headed is a body whose head was looked at.
type headed struct {
	io.Reader
	io.Closer
}

// ask makes a call of Beyond's as part of one of ours.
func (s *Server) ask(ctx context.Context, call Call) answer {
	v, err := s.Beyond.Ask(ctx, call)
	if err != nil {
		return failed(asFault(err))
	}
	return answer{value: v}
}

// askAll makes calls of Beyond's, parts of a system.multicall, by one.
func (s *Server) askAll(ctx context.Context, calls []Call) []answer {
	start := time.Now()
	answers := make([]answer, len(calls))
	records := make([]*Record, len(calls))
	dones := make([]func(Verdict), len(calls))
	var list []any
	for i, call := range calls {
		records[i] = s.begin(Peer(ctx), call)
		s.recall(records[i], call.Session())
		done, err := s.try(Peer(ctx), call.Session())
		if err != nil {
			answers[i] = s.failure(call.Method, authFailed+" "+err.Error(), codeAuth, noObject)
			continue
		}
		s.invoked(records[i])
		dones[i] = done
		list = append(list, map[string]any{"methodName": call.Method, "params": append([]any{}, call.Params...)})
	}
	var got []any
	var err error
	if len(list) > 0 {
		var v any
		v, err = s.Beyond.Ask(ctx, Call{Method: "system.multicall", Params: []any{list}})
		if got, _ = v.([]any); err == nil && len(got) != len(list) {
			err = errNoResponse
		}
	}
	for i, done := range dones {
		if done != nil && err != nil {
			answers[i] = failed(asFault(err))
			done(Unsure)
		} else if done != nil {
			var verdict Verdict
			answers[i], verdict = partOf(got[0])
			got = got[1:]
			if verdict == Refused {
				records[i].User = nobody
			}
			done(verdict)
		}
		s.end(records[i], start, answers[i])
	}
	return answers
}

// partOf reads what another server's system.multicall answers to one call: a
// list of one value, or a fault's members.
func partOf(v any) (answer, Verdict) {
	if f := FaultOf(v); f != nil {
		return failed(f), Unsure
	}
	one, _ := v.([]any)
	if len(one) != 1 {
		return failed(asFault(errNoResponse)), Unsure
	}
	a, verdict := answer{value: one[0]}, Unsure
	if list, ok := one[0].([]any); ok && len(list) >= 3 {
		if a.code, _ = list[2].(int); a.code == codeAuth {
			verdict = Refused
		} else if a.code == 0 {
			verdict = Known
		}
	}
	return a, verdict
}
