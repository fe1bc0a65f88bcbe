package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/daemon"
	"onevolume/inventory"
	"onevolume/iscsi/iscsitest"
	"onevolume/provision"
)

// provide gives the daemon the world's arrays, as package assemble does.
func (w *world) provide(loops *daemon.Daemon, service *inventory.Service) *provision.Access {
	arrays := map[string]array.Array{}
	for name, m := range w.makers {
		arrays[name] = m.Array
	}
	loops.Tasks = w.db
	loops.Provision = &provision.Engine{Ledger: w.db, Arrays: arrays, Lease: loops.Engine.Limits.Lease, Now: time.Now}
	access := &provision.Access{Engine: loops.Provision, Volume: w.db.Volume, Operation: w.db.Operation,
		Volumes: func(ctx context.Context) ([]onevolume.Volume, error) {
			return w.db.Volumes(ctx, onevolume.Filter{Viewer: root, Flag: -2, FirstID: -1, LastID: -1})
		}}
	loops.Engine.Access = access
	spaces := &daemon.Spaces{Makers: w.makers, Kinds: w.kinds, Count: w.db.CountOnArrays, Log: zap.NewNop(), Now: time.Now}
	for name := range w.makers {
		if _, err := spaces.Refresh(w.Context(), name); err != nil {
			w.Fatal(err)
		}
	}
	service.Makers, w.spaces = onDemand{loops, spaces}, spaces
	return access
}

type onDemand struct {
	*daemon.Daemon
	space *daemon.Spaces
}

func (d onDemand) MayCreate(who onevolume.Caller, name string) bool {
	return d.space.MayCreate(who, name)
}

func (d onDemand) Types() []onevolume.VolumeType { return d.space.Types() }

func (d onDemand) Spaces(ctx context.Context) ([]onevolume.Space, error) { return d.space.Spaces(ctx) }

// served is an array whose volumes the world's hosts reach, if it lets them
// in.
type served struct {
	*arraytest.Memory
	w       *world
	secrets []string // that hosts have shown
}

func (s *served) Create(ctx context.Context, r array.Request) (array.Volume, error) {
	v, err := s.Memory.Create(ctx, r)
	if err != nil {
		return v, err
	}
	at := s.Target(v.ID)
	s.w.array.Serve(onevolume.Volume{Target: at, Size: v.Size, Identity: onevolume.Identity{Serial: string(v.ID), WWID: "naa.6001"}})
	s.w.array.Change(at.IQN, func(t *iscsitest.Target) {
		t.Login = func(initiator onevolume.IQN, chap onevolume.CHAP) (func(), error) {
			s.secrets = append(s.secrets, chap.Secret)
			with := at
			with.CHAP = chap
			return s.Login(array.Export{Initiator: initiator, Target: with})
		}
	})
	return v, nil
}

// TestVolumesByThemselves goes the whole way, from the command line to the
// array: where none is free, attach has a volume made, its host let in by the
// daemon, and detach leaves nobody let in. The client works on the host, then
// the daemon does.
func TestVolumesByThemselves(t *testing.T) {
	w := newWorld(t)
	memory := arraytest.NewMemory(array.Capabilities{Granule: onevolume.MiB, MinSize: onevolume.MiB, MaxLabel: 8, PageSize: 10, Zeroed: true}, onevolume.GiB)
	san := &served{Memory: memory, w: w}
	w.makers = map[string]daemon.Maker{"san1": {Array: san, Kind: "memory", AutoCreate: true}}
	w.start()

	s := w.ok("attach", "17", "32", "--dry-run")
	s.has(w, "stderr", s.err, "one would be made on array san1. Array san1 (free: 1G): taken.")
	s.has(w, "stdout", s.out, "host01: ", "onevolume-&lt;id&gt;")
	w.fails([]string{"No free volume", "only 1G more may be provisioned there"}, "attach", "17", "2G")
	w.fails([]string{"No free volume", "exact size"}, "attach", "17", "32", "--exact")
	w.as = "alice"
	w.fails([]string{"No free volume", "oneadmin's group alone"}, "attach", "17", "32")
	w.as = "oneadmin"
	if list, err := memory.List(t.Context(), ""); err != nil || len(list.Volumes) > 0 {
		t.Fatalf("the array has %+v, %v", list, err)
	}

	for _, by := range []string{"", "--server"} {
		line := []string{"attach", "17", "32"}
		back := []string{"detach", "17", "0", "--yes"}
		if by != "" {
			line, back = append(line, by), append(back, by)
		}
		w.ok(line...)
		w.wants(onevolume.Attached)
		v := w.read()
		if exports, sessions := memory.LetIn(array.ID(v.ArrayID)); len(exports) != 1 || len(sessions) != 1 || exports[0] != w.host.Initiator() {
			t.Errorf("%q: let in are %v, logged in %v", by, exports, sessions)
		}
		if v.Array != "san1" || v.Size != 32*onevolume.MiB || !strings.HasPrefix(v.Name, "auto-") || v.Identity.Serial != v.ArrayID {
			t.Errorf("%q: %+v", by, v)
		}
		w.ok(back...)
		w.wants(onevolume.Available)
		if exports, sessions := memory.LetIn(array.ID(v.ArrayID)); len(exports)+len(sessions) != 0 {
			t.Errorf("%q: let in are %v, logged in %v", by, exports, sessions)
		}
	}
	s = w.ok("explain", "2")
	s.has(w, "stdout", s.out, "grant")
	if len(san.secrets) != 2 || san.secrets[0] == san.secrets[1] {
		t.Errorf("%d secrets were shown, or the same", len(san.secrets))
	}
	for _, secret := range san.secrets {
		if strings.Contains(s.out, secret) || strings.Contains(w.ok("history").out, secret) {
			t.Errorf("a secret is told: %s", s.out)
		}
	}
	w.ok("array", "check", "san1")
	stranger, err := memory.Export(t.Context(), array.ID(w.read().ArrayID), array.Grant{Initiator: "iqn.2026-11.test:stranger", CHAP: array.NewCHAP(array.ID(w.read().ArrayID))})
	if err != nil {
		t.Fatal(err)
	}
	lost, err := memory.Create(t.Context(), array.Request{ID: array.NewID(), Size: onevolume.MiB})
	if err != nil {
		t.Fatal(err)
	}
	s = w.types("array", "check", "san1")
	if s.status != 1 {
		t.Errorf("status %d when somebody must look, want 1", s.status)
	}
	s.has(w, "stdout", s.out, "volume "+string(lost.ID)+" is on the array, and not in the inventory",
		"volume 0 ("+w.read().Name+") is AVAILABLE, and the array lets in "+string(stranger.Initiator))
	if err := memory.Delete(t.Context(), lost.ID); err != nil {
		t.Fatal(err)
	}
	w.ok("delete", "0")
	if list, err := memory.List(t.Context(), ""); err != nil || len(list.Volumes) > 0 {
		t.Errorf("the array has %+v, %v", list, err)
	}
}
