package xmlrpc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"onevolume"
	"onevolume/template"
	"onevolume/xmlrpc/wire"
)

// asked is what the audit keeps of a call: in short words, and never a CHAP
// secret or a session.
type asked struct {
	action, text string
	volume       onevolume.VolumeID // NoVolume when none is named
	vm           onevolume.VMID     // NoVM likewise
	operation    int                // 0 likewise

	// secrets may stand in an error's text, and are masked there.
	secrets []string
	// unread, when set, stands for whatever the error says: the request could
	// not be read, so nobody knows what in it is secret.
	unread string
	// minor is a call that nobody need account for unless it was forbidden.
	minor bool
}

// asks makes what most methods need.
func asks(action string, format string, args ...any) asked {
	return asked{action: action, text: fmt.Sprintf(format, args...), volume: onevolume.NoVolume, vm: onevolume.NoVM}
}

func (a asked) of(id onevolume.VolumeID) asked {
	a.volume = id
	return a
}

// audited gives a method whose context says who asks for what, for the
// inventory to write down with what came of it, and writes down refusals
// itself. A refusal that cannot be written down stays what it is, as nothing
// was changed, and Unaudited hears of it.
func (s *Server) audited(m wire.Method, ask func(wire.Call) asked) wire.Method {
	do := m.Func
	m.Func = func(ctx context.Context, call wire.Call) (any, error) {
		a := ask(call)
		by := onevolume.Ask{By: caller(ctx).Owner, From: address(wire.Peer(ctx)), Action: a.action, Text: line(a.text)}
		err := errors.New("it came to no end: see the log of onevolumed") // unless Func returns
		defer func() {
			if err != nil && (!a.minor || onevolume.CodeOf(err) == onevolume.Forbidden) {
				s.refused(ctx, by, a, err)
			}
		}()
		var v any
		v, err = do(onevolume.WithAsk(ctx, by), call)
		return v, err
	}
	return m
}

// auditTime bounds the writing of a refusal, which goes on when the caller
// has hung up.
const auditTime = 10 * time.Second

func (s *Server) refused(ctx context.Context, by onevolume.Ask, a asked, err error) {
	result := a.masked(err.Error())
	if a.unread != "" && onevolume.CodeOf(err) != onevolume.Forbidden {
		result = a.unread
	}
	d := onevolume.Deed{Ask: by, Volume: a.volume, VM: a.vm, Operation: a.operation, Result: line(result)}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	if err := s.Inventory.Audit(ctx, d); err != nil && s.Unaudited != nil {
		s.Unaudited(d, err)
	}
}

// address is a peer's without the port, which says nothing tomorrow.
func address(peer string) string {
	if p, err := netip.ParseAddrPort(peer); err == nil {
		return p.Addr().Unmap().String()
	}
	return peer
}

// maxLine is how much the audit keeps of a request, and of an error: whoever
// asks must not be able to fill the disk with one call.
const maxLine = 1 << 10

// line makes of somebody's text one line that no terminal obeys.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
	const more = "…"
	if len(s) <= maxLine {
		return s
	}
	return strings.ToValidUTF8(s[:maxLine-len(more)], "") + more
}

// shown are the attributes of a volume's template whose values the audit
// keeps. What users add is theirs, and may be a secret: its names are enough.
var shown = []string{"NAME", "IQN", "LUN", "PORTALS", "SIZE", "ARRAY", "UNIT_SERIAL", "WWID", "CHAP_USER", "CHAP_USER_IN"}

// asksTemplate describes a template, and notes its secrets.
func asksTemplate(action, before, text string) asked {
	list, err := template.Parse(text)
	if err != nil {
		a := asks(action, "%sa template that cannot be read", before)
		a.unread = "Parse error."
		if e, ok := errors.AsType[*template.Error](err); ok {
			a.unread = fmt.Sprintf("Parse error: line %d, column %d.", e.Line, e.Column)
		}
		return a
	}
	a := asks(action, "")
	for _, at := range list {
		if strings.HasPrefix(at.Key, "CHAP_SECRET") && at.Value != "" {
			a.secrets = append(a.secrets, at.Value)
		}
	}
	var words, others []string
	for _, at := range list {
		if slices.Contains(shown, at.Key) && at.Vector == nil {
			words = append(words, at.Key+"="+template.Quote(a.masked(at.Value)))
		} else {
			others = append(others, at.Key)
		}
	}
	if len(others) > 0 {
		words = append(words, "and "+strings.Join(others, ", "))
	}
	a.text = before + strings.Join(words, " ")
	return a
}

func (a asked) masked(s string) string {
	for _, secret := range a.secrets {
		s = strings.ReplaceAll(s, secret, "********")
	}
	return s
}
