package arraytest

import (
	"slices"
	"strings"

	"onevolume"
	"onevolume/array"
)

func (s *suite) export() {
	v := s.volume()
	one, two := s.grant(0, v.ID), s.grant(1, v.ID)
	e := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, one))
	s.sound(v, one, e)
	again := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, one))
	s.sound(v, one, again)
	if again.Target.IQN != e.Target.IQN || again.Target.LUN != e.Target.LUN || again.Identity != e.Identity {
		s.Errorf("%+v at first and %+v then", e, again)
	}
	other := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, two))
	s.sound(v, two, other)
	if other.Target.IQN != e.Target.IQN || other.Target.LUN != e.Target.LUN {
		s.Errorf("two initiators are sent to %+v and %+v", e.Target, other.Target)
	}
	one.CHAP = array.NewCHAP(v.ID)
	s.sound(v, one, must[array.Export](s)(s.Array.Export(s.ctx, v.ID, one)))
	s.exported(v.ID, 0, 1)

	by := s.held("delete what is exported", s.Array.Delete(s.ctx, v.ID))
	if len(by.Exports) != 2 || by.Exports[0] != min(s.Initiators[0], s.Initiators[1]) {
		s.Errorf("held by %+v", by)
	}
	s.there(v)
	for range 2 {
		s.ok(s.Array.Unexport(s.ctx, v.ID, s.Initiators[0], false))
		s.exported(v.ID, 1)
	}
	s.ok(s.Array.Unexport(s.ctx, v.ID, "iqn.2026-11.org.example:stranger", false))
	s.exported(v.ID, 1)
	s.ok(s.Array.Unexport(s.ctx, v.ID, s.Initiators[1], false))
	s.exported(v.ID)
	s.ok(s.Array.Delete(s.ctx, v.ID))

	s.ok(s.Array.Unexport(s.ctx, v.ID, s.Initiators[0], false)) // of what is gone
	_, err := s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID))
	s.fails(array.NotFound, "export what is gone", err)
	_, err = s.Array.Exports(s.ctx, v.ID)
	s.fails(array.NotFound, "exports of what is gone", err)
	_, err = s.Array.Sessions(s.ctx, v.ID)
	s.fails(array.NotFound, "sessions of what is gone", err)
	s.refusedGrants()
	s.mutual()
}

// mutual: the target proves itself, or says that it cannot.
func (s *suite) mutual() {
	v := s.volume()
	g := s.grant(0, v.ID)
	g.CHAP.UserIn, g.CHAP.SecretIn = "array1", "othersecret12345"
	e, err := s.Array.Export(s.ctx, v.ID, g)
	if !s.caps.MutualCHAP {
		s.fails(array.Unsupported, "export with mutual CHAP", err)
		s.exported(v.ID)
		return
	}
	s.ok(err)
	s.sound(v, g, e)
	if s.Login != nil {
		must[func()](s)(s.Login(e))()
	}
	g.CHAP.UserIn, g.CHAP.SecretIn = "", "" // and back
	e = must[array.Export](s)(s.Array.Export(s.ctx, v.ID, g))
	s.sound(v, g, e)
	if s.Login != nil {
		must[func()](s)(s.Login(e))()
	}
}

func (s *suite) refusedGrants() {
	v := s.volume()
	for _, spoil := range []func(g *array.Grant){
		func(g *array.Grant) { g.Initiator = "" },
		func(g *array.Grant) { g.Initiator = "iqn.2026-11.org.example:a b" },
		func(g *array.Grant) { g.CHAP = onevolume.CHAP{} },
		func(g *array.Grant) { g.CHAP.Secret = "short" },
		func(g *array.Grant) { g.CHAP.User += "\n" },
	} {
		g := s.grant(0, v.ID)
		spoil(&g)
		_, err := s.Array.Export(s.ctx, v.ID, g)
		s.fails(array.Invalid, "an export that cannot be", err)
	}
	s.exported(v.ID)
}

// sound checks what an export says.
func (s *suite) sound(v array.Volume, g array.Grant, e array.Export) {
	s.Helper()
	t := e.Target
	if iqn, err := onevolume.ParseIQN(string(t.IQN)); err != nil || iqn != t.IQN || !strings.Contains(strings.ReplaceAll(string(t.IQN), "-", ""), v.ID.Hex()) {
		s.Errorf("the target's name %q does not hold %s: %v", t.IQN, v.ID, err)
	}
	if _, err := onevolume.ParseLUN(int(t.LUN)); err != nil || len(t.Portals) == 0 || e.Initiator != g.Initiator || t.CHAP != g.CHAP {
		s.Errorf("%+v: %v", e, err)
	}
	at := s.Array.Target(v.ID)
	if at.IQN != t.IQN || at.LUN != t.LUN || !slices.Equal(at.Portals, t.Portals) || at.CHAP != (onevolume.CHAP{}) {
		s.Errorf("the target was to be %+v, and is %+v", at, t)
	}
	if e.Identity.Serial == "" {
		s.Error("it does not say which serial number the unit has")
	}
}

// exported asks that exactly these initiators are let in.
func (s *suite) exported(id array.ID, want ...int) {
	s.Helper()
	list := must[[]array.Export](s)(s.Array.Exports(s.ctx, id))
	if len(list) != len(want) {
		s.Fatalf("exported to %+v, want %d of them", list, len(want))
	}
	for i, e := range list {
		if e.Target.CHAP.Secret != "" || e.Target.CHAP.SecretIn != "" {
			s.Error("a list of exports has secrets in it")
		}
		found := false
		for _, n := range want {
			found = found || e.Initiator == s.Initiators[n]
		}
		if !found || i > 0 && list[i-1].Initiator >= e.Initiator {
			s.Errorf("exported to %+v", list)
		}
	}
}

// session: who is logged in is not thrown out, except by force.
func (s *suite) session() {
	v := s.volume()
	e := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
	must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(1, v.ID)))
	if list := must[[]array.Session](s)(s.Array.Sessions(s.ctx, v.ID)); len(list) != 0 {
		s.Errorf("nobody is logged in, but %+v", list)
	}
	logout := must[func()](s)(s.Login(e))
	list := must[[]array.Session](s)(s.Array.Sessions(s.ctx, v.ID))
	if len(list) != 1 || list[0].Initiator != e.Initiator {
		s.Errorf("%s is logged in, but %+v", e.Initiator, list)
	}
	for _, by := range []array.Holders{
		s.held("unexport with a session", s.Array.Unexport(s.ctx, v.ID, e.Initiator, false)),
		s.held("delete with a session", s.Array.Delete(s.ctx, v.ID)),
	} {
		if len(by.Sessions) != 1 || by.Sessions[0] != e.Initiator {
			s.Errorf("held by %s", by)
		}
	}
	s.exported(v.ID, 0, 1)
	s.ok(s.Array.Unexport(s.ctx, v.ID, s.Initiators[1], false)) // the other one is not logged in
	s.exported(v.ID, 0)
	// New credentials leave the session alone.
	g := s.grant(0, v.ID)
	must[array.Export](s)(s.Array.Export(s.ctx, v.ID, g))
	if list := must[[]array.Session](s)(s.Array.Sessions(s.ctx, v.ID)); len(list) != 1 {
		s.Errorf("the session did not survive new credentials: %+v", list)
	}
	logout()
	if list := must[[]array.Session](s)(s.Array.Sessions(s.ctx, v.ID)); len(list) != 0 {
		s.Errorf("it is logged out, but %+v", list)
	}
	e.Target.CHAP = g.CHAP
	logout = must[func()](s)(s.Login(e))
	s.ok(s.Array.Unexport(s.ctx, v.ID, e.Initiator, true))
	s.exported(v.ID)
	s.ok(s.Array.Delete(s.ctx, v.ID))
	logout() // of what is no more
}

// fence: a host that is cut off by force has no session any more and does not
// get in again, neither by what it has nor once another host is let in, nor
// after the array was started anew. It may be repeated, and be asked of one
// that has a right and no session.
func (s *suite) fence() {
	v := s.volume()
	dead := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
	logout := must[func()](s)(s.Login(dead))
	out := func(when string) {
		s.Helper()
		if again, err := s.Login(dead); err == nil {
			s.Errorf("%s: the host that was cut off was let in", when)
			again()
		}
		for _, one := range must[[]array.Session](s)(s.Array.Sessions(s.ctx, v.ID)) {
			if one.Initiator == dead.Initiator {
				s.Errorf("%s: the host that was cut off has a session", when)
			}
		}
	}
	for range 2 {
		s.ok(s.Array.Unexport(s.ctx, v.ID, dead.Initiator, true))
		s.exported(v.ID)
		out("cut off")
	}
	other := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(1, v.ID)))
	leave := must[func()](s)(s.Login(other))
	out("another is in")
	s.ok(s.Array.Unexport(s.ctx, v.ID, dead.Initiator, true))
	if list := must[[]array.Session](s)(s.Array.Sessions(s.ctx, v.ID)); len(list) != 1 || list[0].Initiator != other.Initiator {
		s.Errorf("with the other one logged in there is %+v", list)
	}
	leave()
	logout() // it learns of it now
	if s.Restart != nil {
		s.Restart()
		out("after a restart")
	}
	s.exported(v.ID, 1)
}

// admission: nobody gets in but with the name and the credentials of an
// export as it is now.
func (s *suite) admission() {
	v := s.volume()
	one := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
	refused := func(what string, e array.Export) {
		s.Helper()
		if logout, err := s.Login(e); err == nil {
			s.Errorf("%s was let in", what)
			logout()
		}
	}
	stranger := one
	stranger.Initiator = s.Initiators[1]
	refused("another initiator with the right secret", stranger)
	wrong := one
	wrong.Target.CHAP.Secret = "wrongwrongwrong1"
	refused("a wrong secret", wrong)
	old := one
	one = must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
	refused("the secret of before", old)
	must[func()](s)(s.Login(one))()
	s.ok(s.Array.Unexport(s.ctx, v.ID, one.Initiator, false))
	refused("an initiator that is let in no more", one)
}

// extendInUse: the size changes under a session as the capabilities say.
func (s *suite) extendInUse() {
	grow, can := s.Array.(array.Extender)
	if !can || s.caps.Extend == array.ExtendNever {
		return
	}
	v := s.volume()
	e := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
	logout := must[func()](s)(s.Login(e))
	want := s.round(v.Size + max(s.caps.Granule, 4<<20))
	got, err := grow.Extend(s.ctx, v.ID, want)
	if s.caps.Extend == array.ExtendOffline {
		if by := s.held("extend with a session", err); len(by.Sessions) != 1 {
			s.Errorf("held by %s", by)
		}
		s.there(v)
		logout()
		got, err = grow.Extend(s.ctx, v.ID, want)
	} else {
		defer logout()
		if list := must[[]array.Session](s)(s.Array.Sessions(s.ctx, v.ID)); len(list) != 1 {
			s.Errorf("the session did not survive: %+v", list)
		}
	}
	s.ok(err)
	if got.Size != want {
		s.Errorf("it has %s, want %s", got.Size.Exact(), want.Exact())
	}
}

// restart: exports are there again after it, and what was taken away is not.
func (s *suite) restart() {
	v, w := s.volume(), s.volume()
	e := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
	must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(1, v.ID)))
	s.ok(s.Array.Unexport(s.ctx, v.ID, s.Initiators[1], false))
	must[array.Export](s)(s.Array.Export(s.ctx, w.ID, s.grant(1, w.ID)))
	s.ok(s.Array.Unexport(s.ctx, w.ID, s.Initiators[1], false))
	if s.Write != nil {
		s.Write(v.ID, pattern('r'))
	}
	s.Restart()
	s.there(v)
	s.there(w)
	s.exported(v.ID, 0)
	s.exported(w.ID)
	if s.Read != nil {
		s.reads(v.ID, 'r')
	}
	if s.Login != nil {
		must[func()](s)(s.Login(e))()
		e.Target.CHAP.Secret = "wrongwrongwrong1"
		if logout, err := s.Login(e); err == nil {
			s.Error("a wrong secret was let in after the restart")
			logout()
		}
	}
	s.ok(s.Array.Unexport(s.ctx, v.ID, s.Initiators[0], false))
	s.ok(s.Array.Delete(s.ctx, v.ID))
}
