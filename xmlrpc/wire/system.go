package wire

import (
	"context"
	"slices"
)

// own are the methods that xmlrpc-c serves by itself, as far as they are of
// use here. As with oned, they ask for no session.
func own() []Method {
	return []Method{
		{Name: "system.listMethods", Help: "Return an array of all available XML-RPC methods on this server."},
		{Name: "system.methodHelp", Help: "Given the name of a method, return a help string.", Params: []Kind{String}},
		{Name: "system.methodSignature", Help: "Given the name of a method, return an array of legal signatures.", Params: []Kind{String}},
		{Name: "system.multicall", Help: "Process an array of calls, and return an array of results.", Params: []Kind{Array}},
		{Name: "system.shutdown", Help: "Refused: this server is not shut down from afar.", Params: []Kind{String}},
	}
}

// maxCalls is Server.Calls' default: what one request may cost its caller's
// neighbours.
const maxCalls = 100

// system answers system.*; false when call is none of these.
func (s *Server) system(ctx context.Context, call Call) (answer, bool) {
	list := own()
	i := slices.IndexFunc(list, func(m Method) bool { return m.Name == call.Method })
	if i < 0 {
		return answer{}, false
	}
	if fault := list[i].check(call); fault != nil {
		return failed(fault), true
	}
	switch call.Method {
	case "system.listMethods":
		names := []any{}
		for _, m := range list {
			names = append(names, m.Name)
		}
		for _, name := range s.names {
			names = append(names, name)
		}
		return s.withBeyond(ctx, call, names), true
	case "system.multicall":
		return s.multicall(ctx, call.Params[0].([]any)), true
	case "system.shutdown":
		return failed(faultf(0, "This server program is not capable of shutting down")), true
	}
	if s.foreign(call.Text(0)) {
		return s.ask(ctx, call), true
	}
	m, ok := s.methods[call.Text(0)]
	if !ok {
		if i = slices.IndexFunc(list, func(m Method) bool { return m.Name == call.Text(0) }); i < 0 {
			return failed(undefined(call.Text(0))), true
		}
		m = &list[i]
	}
	if call.Method == "system.methodHelp" {
		return answer{value: m.Help}, true
	}
	return answer{value: m.signature()}, true
}

// multicall runs the calls one after the other, each with its own session.
// What fails is a fault's struct in its place; the rest goes on, until the
// caller is gone.
func (s *Server) multicall(ctx context.Context, calls []any) answer {
	most := s.Calls
	if most == 0 {
		most = maxCalls
	}
	if len(calls) > most {
		return failed(faultf(FaultTooLarge, "system.multicall with %d calls; at most %d are allowed", len(calls), most))
	}
	results := make([]any, 0, len(calls))
	for len(calls) > 0 {
		if ctx.Err() != nil {
			return failed(faultf(FaultInternal, "system.multicall was given up by its caller"))
		}
		// What follows each other and is Beyond's goes there in one.
		run := s.foreignRun(calls)
		answers := s.askAll(ctx, run)
		if len(run) == 0 {
			answers = []answer{s.inner(ctx, calls[0])}
		}
		for _, a := range answers {
			if a.fault != nil {
				results = append(results, a.fault.members())
			} else {
				results = append(results, []any{a.value})
			}
		}
		calls = calls[len(answers):]
	}
	return answer{value: results}
}

// foreignRun are the calls that list begins with and that are Beyond's.
func (s *Server) foreignRun(list []any) []Call {
	var run []Call
	for _, v := range list {
		call, ok := part(v)
		if !ok || !s.foreign(call.Method) {
			break
		}
		run = append(run, call)
	}
	return run
}

// part reads one call of a system.multicall.
func part(v any) (Call, bool) {
	members, _ := v.(map[string]any)
	name, named := members["methodName"].(string)
	params, listed := members["params"].([]any)
	return Call{Method: name, Params: params}, named && listed
}

func (s *Server) inner(ctx context.Context, v any) answer {
	call, ok := part(v)
	if !ok {
		return failed(faultf(FaultType, "A call in system.multicall needs the members methodName and params"))
	}
	if call.Method == "system.multicall" {
		return failed(faultf(FaultRefused, "Recursive system.multicall forbidden"))
	}
	return s.serve(ctx, call)
}

// withBeyond joins the names of the methods served here with Beyond's.
func (s *Server) withBeyond(ctx context.Context, call Call, names []any) answer {
	if s.Beyond == nil {
		return answer{value: names}
	}
	a := s.ask(ctx, call)
	list, _ := a.value.([]any)
	for _, name := range list {
		if text, ok := name.(string); ok && s.foreign(text) {
			names = append(names, text)
		}
	}
	if a.fault == nil {
		a.value = names
	}
	return a
}
