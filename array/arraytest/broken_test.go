package arraytest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
)

// broken is an array that breaks the contract in one place.
type broken struct {
	*Memory
	how string
}

// breaks names each way to break it, with a test of the suite that must see
// it.
var breaks = map[string]string{
	"takes over what is not ours":         "somebody else's name",
	"removes what is not ours":            "somebody else's name",
	"rounds down":                         "sizes that round",
	"gives another size for the ID":       "create and delete twice",
	"cannot delete twice":                 "create and delete twice",
	"deletes what is exported":            "export twice",
	"throws sessions out":                 "sessions",
	"cuts nobody off":                     "fence",
	"shrinks":                             "extend",
	"drops the last page":                 "list beyond a page",
	"forgets exports at a restart":        "restart",
	"lists secrets":                       "export twice",
	"says transient when it is done":      "answers lost",
	"makes two for an answer lost":        "answers lost",
	"leaves a target behind":              "export twice",
	"lets strangers in":                   "who may log in",
	"keeps old credentials":               "who may log in",
	"deletes volumes that have snapshots": "snapshot and copies",
	"takes a snapshot for a volume":       "snapshot and copies",
	"copies what is there now":            "what snapshots hold",
	"calls the unknown zero":              "capabilities and figures",
	"cuts labels":                         "labels at the limit",
	"leaves a piece of what did not fit":  "no space",
}

// TestBroken proves that the suite can fail: it runs on each broken array in
// a process of its own, in which the named test must fail.
func TestBroken(t *testing.T) {
	for how, test := range breaks {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestOneBroken$", "-test.v")
			cmd.Env = append(os.Environ(), "ONEVOLUME_BROKEN="+how)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passes")
			}
			if want := "--- FAIL: TestOneBroken/" + strings.ReplaceAll(test, " ", "_") + " "; !strings.Contains(string(out), want) || strings.Contains(string(out), "panic") {
				t.Errorf("%q did not fail:\n%s", test, out)
			}
		})
	}
}

func TestOneBroken(t *testing.T) {
	how := os.Getenv("ONEVOLUME_BROKEN")
	if how == "" {
		return
	}
	if breaks[how] == "" {
		t.Fatalf("nothing is broken by %q", how)
	}
	Run(t, func(*testing.T) Fixture {
		m := NewMemory(kinds()["independent"], 4<<30)
		f := m.Fixture()
		f.Array = &broken{m, how}
		switch how {
		case "forgets exports at a restart":
			f.Restart = func() {
				for _, t := range m.ordered() {
					t.saved = nil
				}
				m.Restart()
			}
		case "lets strangers in":
			f.Login = func(e array.Export) (func(), error) {
				e.Initiator = f.Initiators[0]
				return m.Login(e)
			}
		}
		return f
	})
}

func (b *broken) Create(ctx context.Context, r array.Request) (array.Volume, error) {
	caps := b.caps
	switch b.how {
	case "takes over what is not ours":
		b.mu.Lock()
		if t := b.things[r.ID.Name()]; t != nil && t.id == "" {
			t.id = r.ID
			t.exports = map[onevolume.IQN]onevolume.CHAP{}
		}
		b.mu.Unlock()
	case "rounds down":
		if r.Size > caps.Granule {
			r.Size = r.Size / caps.Granule * caps.Granule
		}
	case "gives another size for the ID":
		if v, err := b.Lookup(ctx, r.ID); err == nil {
			return v, nil
		}
	case "cuts labels":
		r.Label = r.Label[:len(r.Label)/2]
	case "leaves a piece of what did not fit":
		if v, err := b.Memory.Create(ctx, r); !array.Is(err, array.NoSpace) {
			return v, err
		}
		_, _ = b.Memory.Create(ctx, array.Request{ID: r.ID, Size: 1})
		return array.Volume{}, array.Errorf(array.NoSpace, "full")
	case "makes two for an answer lost":
		v, err := b.Memory.Create(ctx, r)
		if array.Is(err, array.Unknown) {
			_, _ = b.Memory.Create(ctx, array.Request{ID: array.NewID(), Size: 1})
		}
		return v, err
	case "says transient when it is done":
		v, err := b.Memory.Create(ctx, r)
		if array.Is(err, array.Unknown) {
			return v, array.Errorf(array.Refused, "connection lost")
		}
		return v, err
	}
	return b.Memory.Create(ctx, r)
}

func (b *broken) Delete(ctx context.Context, id array.ID) error {
	switch b.how {
	case "removes what is not ours":
		b.mu.Lock()
		if t := b.things[id.Name()]; t != nil && t.id == "" {
			delete(b.things, id.Name())
		}
		b.mu.Unlock()
	case "cannot delete twice":
		if _, err := b.Lookup(ctx, id); err != nil {
			return err
		}
	case "deletes what is exported":
		_ = b.Unexport(ctx, id, "iqn.2026-11.org.example:host01", true)
		_ = b.Unexport(ctx, id, "iqn.2026-11.org.example:host02", true)
	case "deletes volumes that have snapshots":
		b.mu.Lock()
		if t := b.get(id, false); t != nil {
			delete(b.things, t.name)
		}
		b.mu.Unlock()
	}
	return b.Memory.Delete(ctx, id)
}

func (b *broken) Lookup(ctx context.Context, id array.ID) (array.Volume, error) {
	if b.how == "takes a snapshot for a volume" {
		if s, err := b.LookupSnapshot(ctx, id); err == nil {
			return array.Volume{ID: id, Name: s.Name, Size: s.Size}, nil
		}
	}
	return b.Memory.Lookup(ctx, id)
}

func (b *broken) List(ctx context.Context, after string) (array.Page, error) {
	p, err := b.Memory.List(ctx, after)
	if b.how == "drops the last page" && p.Next != "" {
		p.Next = ""
	}
	return p, err
}

func (b *broken) Stats(ctx context.Context) (array.Stats, error) {
	s, err := b.Memory.Stats(ctx)
	if b.how == "calls the unknown zero" {
		s.Total, s.Provisioned = array.Known(0), array.Known(0)
	}
	return s, err
}

func (b *broken) Extend(ctx context.Context, id array.ID, size onevolume.Size) (array.Volume, error) {
	if b.how == "shrinks" {
		b.mu.Lock()
		if t := b.get(id, false); t != nil && size > 0 && size < t.size {
			t.size = size
		}
		b.mu.Unlock()
	}
	return b.Memory.Extend(ctx, id, size)
}

func (b *broken) Export(ctx context.Context, id array.ID, g array.Grant) (array.Export, error) {
	if b.how == "keeps old credentials" {
		b.mu.Lock()
		t := b.get(id, false)
		var old onevolume.CHAP
		if t != nil {
			old = t.exports[g.Initiator]
		}
		b.mu.Unlock()
		e, err := b.Memory.Export(ctx, id, g)
		if err == nil && old.User != "" {
			b.mu.Lock()
			t.exports[g.Initiator] = old
			b.mu.Unlock()
		}
		return e, err
	}
	return b.Memory.Export(ctx, id, g)
}

func (b *broken) Unexport(ctx context.Context, id array.ID, initiator onevolume.IQN, force bool) error {
	switch b.how {
	case "throws sessions out":
		force = true
	case "leaves a target behind":
		return nil
	case "cuts nobody off":
		b.mu.Lock()
		defer b.mu.Unlock()
		if t := b.get(id, false); t != nil && force {
			delete(t.exports, initiator)
		}
		return nil
	}
	return b.Memory.Unexport(ctx, id, initiator, force)
}

func (b *broken) Exports(ctx context.Context, id array.ID) ([]array.Export, error) {
	list, err := b.Memory.Exports(ctx, id)
	if b.how == "lists secrets" {
		for i := range list {
			list[i].Target.CHAP.Secret = "secret123456"
		}
	}
	return list, err
}

func (b *broken) FromSnapshot(ctx context.Context, r array.Request, snapshot array.ID) (array.Volume, error) {
	v, err := b.Memory.FromSnapshot(ctx, r, snapshot)
	if b.how == "copies what is there now" && err == nil {
		b.mu.Lock()
		if origin := b.get(b.get(snapshot, true).of, false); origin != nil {
			b.get(r.ID, false).data = origin.data
		}
		b.mu.Unlock()
	}
	return v, err
}
