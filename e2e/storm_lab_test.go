//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume/lab"
)

const (
	stormClients = 8
	stormTargets = 4
	stormUnits   = 4 // of each target, so that volumes share sessions
	stormLength  = 30 * time.Second
)

var homes = map[int]string{17: "host01", 18: "host02"}

// storm is many clients at once on the same volumes, guests and hosts.
type storm struct {
	*cloud
	seed uint64
	mu   sync.Mutex
	ids  []int          // of the volume on each unit; -1 while it is not registered
	did  map[string]int // what was done, and how it ended
}

// TestStorm has clients attach, detach, rename, delete and register at random,
// kills some of them and the daemon, and wants at any time no volume in two
// domains, and in the end nothing but what the inventory says. The seed is
// printed, and given by ONEVOLUME_SEED; ONEVOLUME_SOAK is how long it lasts
// instead of a minute.
func TestStorm(t *testing.T) {
	c := start(t)
	s := &storm{cloud: c, seed: rand.Uint64N(1 << 32), did: map[string]int{}}
	length := stormLength
	var err error
	if text := os.Getenv("ONEVOLUME_SOAK"); text != "" {
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("ONEVOLUME_SEED"); text != "" {
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("storm | ONEVOLUME_SEED=%d", s.seed)
	for n := range stormTargets * stormUnits {
		if name, lun := s.unit(n); lun == 1 {
			s.AddTarget(name, 16)
		} else {
			s.Command("target", "add", name, "16", "--lun", fmt.Sprint(lun))
		}
		s.ids = append(s.ids, -1)
		s.register(t.Context(), n)
	}

	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var clients, watcher sync.WaitGroup
	watched, unwatch := context.WithCancel(t.Context())
	defer unwatch()
	samples := 0
	watcher.Go(func() { samples = s.watch(watched) })
	for n := range stormClients {
		clients.Go(func() { s.client(ctx, rand.New(rand.NewPCG(s.seed, uint64(n)))) })
	}
	dice := rand.New(rand.NewPCG(s.seed, stormClients))
	select {
	case <-time.After(length/4 + time.Duration(dice.Int64N(int64(length/2)))):
		c.kill()
		c.startDaemon()
	case <-ctx.Done():
	}
	clients.Wait()
	s.calms()
	unwatch()
	watcher.Wait()
	s.true()
	for _, what := range slices.Sorted(maps.Keys(s.did)) {
		t.Logf("storm | %4d %s", s.did[what], what)
	}
	t.Logf("storm | %d looks at all domains, no volume in two", samples)
	s.clear()
}

func (s *storm) unit(n int) (target string, lun int) {
	return fmt.Sprintf("storm%d", n/stormUnits), n%stormUnits + 1
}

// client does one thing after another until ctx ends.
func (s *storm) client(ctx context.Context, dice *rand.Rand) {
	for ctx.Err() == nil {
		n := dice.IntN(len(s.ids))
		id, vm := s.id(n), fmt.Sprint(17+dice.IntN(2))
		var args []string
		switch p := dice.IntN(100); {
		case p < 30:
			args = []string{"attach", vm, "--volume", id}
		case p < 45:
			args = []string{"attach", vm, "16"}
		case p < 75:
			args = []string{"detach", s.vmOf(id, vm), id, "--yes"}
		case p < 83:
			args = []string{"detach", s.vmOf(id, vm), id, "--yes", "--no-format"}
		case p < 90:
			args = []string{"rename", id, fmt.Sprintf("n%d-%d", n, dice.IntN(1000))}
		case p < 95:
			args = []string{"delete", id}
		default:
			args = []string{"list"}
		}
		moves := args[0] == "attach" || args[0] == "detach"
		if moves && dice.IntN(3) == 0 {
			args = append(args, "--server")
		}
		// The work of those that ctx ends is not to be cut off by it.
		run, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		killed := moves && dice.IntN(5) == 0
		if killed {
			cancel()
			run, cancel = context.WithTimeout(context.WithoutCancel(ctx), time.Duration(dice.IntN(4000))*time.Millisecond)
		}
		out, err := s.command(run, "oneadmin", args...).CombinedOutput()
		gone := run.Err() != nil // exec's context ends a process by SIGKILL
		cancel()
		if gone && !killed {
			s.t.Errorf("onevolume %q did not end in two minutes\n%s", args, out)
		}
		if strings.Contains(string(out), "panic") || strings.Contains(string(out), "nil pointer") {
			s.t.Errorf("onevolume %q\n%s", args, out)
		}
		s.count(args[0], string(out), err, gone)
		if args[0] == "delete" && err == nil {
			s.register(context.WithoutCancel(ctx), n)
		}
	}
}

// particulars are left out of what refusals say, so that they can be counted.
var particulars = regexp.MustCompile(`: operation .*|(tcp|lock) \S+|[0-9]+`)

func (s *storm) count(what, said string, err error, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case gone:
		what += ", killed"
	case err != nil:
		line, _, _ := strings.Cut(said, "\n")
		what += ", refused: " + particulars.ReplaceAllString(line[:min(len(line), 150)], "…")
	default:
		what += ", done"
	}
	s.did[what]++
}

func (s *storm) id(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.ids[n])
}

// vmOf is the VM that the volume is in, or the given one.
func (s *storm) vmOf(id, vm string) string {
	out, err := s.command(s.t.Context(), "oneadmin", "show", "-j", id).Output()
	if m := regexp.MustCompile(`"VM_ID": *"?(\d+)`).FindSubmatch(out); err == nil && m != nil {
		return string(m[1])
	}
	return vm
}

// register makes the volume on a unit anew.
func (s *storm) register(ctx context.Context, n int) {
	target, lun := s.unit(n)
	id := -1
	for range 100 {
		out, err := s.command(ctx, "oneadmin", "create", "--name", fmt.Sprintf("v%d-%d", n, time.Now().UnixNano()), "--iqn", lab.IQNPrefix+target,
			"--lun", fmt.Sprint(lun), "--portal", lab.Portal, "--size", "16").CombinedOutput()
		if _, scanErr := fmt.Sscanf(string(out), "ID: %d", &id); err == nil && scanErr == nil {
			break
		}
		if m := regexp.MustCompile(`is already registered as VOLUME (\d+)`).FindSubmatch(out); m != nil {
			id, _ = strconv.Atoi(string(m[1])) // by an earlier call whose answer was lost
			break
		}
		time.Sleep(100 * time.Millisecond) // the daemon is away
	}
	if id < 0 {
		s.t.Errorf("unit %s-%d could not be registered", target, lun)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[n] = id
}

// source is the link of a unit's disk, which tells whose it is everywhere.
func source(target string, lun int) string {
	return "/dev/disk/by-path/ip-" + lab.Portal + "-iscsi-" + lab.IQNPrefix + target + "-lun-" + fmt.Sprint(lun)
}

// disks are the sources of all disks of the guest of a host.
func (s *storm) disks(vm int) []string {
	var list []string
	for _, line := range s.Disks(homes[vm], vm) {
		_, src, _ := strings.Cut(line, " ")
		list = append(list, src)
	}
	slices.Sort(list)
	return list
}

// watch looks at all domains again and again until ctx ends, and says how
// often. A disk that one guest has before and after the other has it is in
// both.
func (s *storm) watch(ctx context.Context) (samples int) {
	for before := s.disks(17); ctx.Err() == nil; samples++ {
		there, after := s.disks(18), s.disks(17)
		for _, src := range there {
			if slices.Contains(before, src) && slices.Contains(after, src) {
				s.t.Errorf("%s is in both guests", src)
			}
		}
		before = after
		time.Sleep(200 * time.Millisecond)
	}
	return samples
}

// volumes gives the fields of all volumes, and the number of each one's unit.
func (s *storm) volumes() (list []map[string]any, units []int) {
	s.t.Helper()
	var doc struct {
		Pool struct {
			Volumes []map[string]any `json:"VOLUME"`
		} `json:"VOLUME_POOL"`
	}
	if err := json.Unmarshal([]byte(s.must("list", "-j")), &doc); err != nil {
		s.t.Fatal(err)
	}
	for _, v := range doc.Pool.Volumes {
		for n := range stormTargets * stormUnits {
			if target, lun := s.unit(n); v["IQN"] == lab.IQNPrefix+target && fmt.Sprint(v["LUN"]) == fmt.Sprint(lun) {
				units = append(units, n)
			}
		}
	}
	if len(units) != len(doc.Pool.Volumes) {
		s.t.Fatalf("not all volumes are of the storm's units: %v", doc.Pool.Volumes)
	}
	return doc.Pool.Volumes, units
}

// calms waits until no operation has any volume.
func (s *storm) calms() {
	s.t.Helper()
	s.eventually("no volume is in an operation", func() bool {
		list, _ := s.volumes()
		return !slices.ContainsFunc(list, func(v map[string]any) bool { return strings.HasSuffix(fmt.Sprint(v["STATUS"]), "ING") })
	})
}

// true wants each volume to be what the inventory says, and nothing else to
// be on the hosts.
func (s *storm) true() {
	s.t.Helper()
	list, units := s.volumes()
	if len(list) != stormTargets*stormUnits {
		s.t.Errorf("%d volumes are registered, want %d", len(list), stormTargets*stormUnits)
	}
	want := map[int][]string{17: nil, 18: nil}
	sessions := map[string]map[string]bool{"host01": {}, "host02": {}}
	states := map[string]int{}
	for i, v := range list {
		target, lun := s.unit(units[i])
		status := fmt.Sprint(v["STATUS"])
		states[status]++
		switch status {
		case "ATTACHED":
			var vm int
			_, _ = fmt.Sscan(fmt.Sprint(v["VM_ID"]), &vm)
			if v["HOST"] != homes[vm] {
				s.t.Errorf("the inventory has VM %d on %v", vm, v["HOST"])
				continue
			}
			want[vm] = append(want[vm], source(target, lun))
			sessions[homes[vm]][lab.IQNPrefix+target] = true
			text := fmt.Sprintf("volume %v in %d", v["ID"], vm)
			s.pattern(vm, fmt.Sprint("onevolume-", v["ID"]), text)
			if !s.holds(target, lun, text) {
				s.t.Errorf("volume %v is ATTACHED to VM %d, and the guest's bytes do not arrive", v["ID"], vm)
			}
		case "AVAILABLE":
			if !s.zero(target, lun) {
				s.t.Errorf("volume %v is AVAILABLE and not blank", v["ID"])
			}
		case "RETAINED":
		default:
			s.t.Errorf("volume %v is %s: %v", v["ID"], status, v["REASON"])
		}
	}
	s.t.Logf("storm | in the end %v", states)
	for vm, host := range homes {
		slices.Sort(want[vm])
		if got := s.disks(vm); !slices.Equal(got, want[vm]) {
			s.t.Errorf("VM %d has the disks %v, and the inventory %v", vm, got, want[vm])
		}
		iqns := slices.Sorted(maps.Keys(sessions[host]))
		if got := slices.Sorted(slices.Values(s.Sessions(host))); !slices.Equal(got, iqns) {
			s.t.Errorf("%s has sessions with %v, want %v", host, got, iqns)
		}
		if got := s.Records(host); len(got) != len(iqns) {
			s.t.Errorf("%s has the node records %v, want those of %v", host, got, iqns)
		}
		if got := s.Links(host); len(got) != len(want[vm]) {
			s.t.Errorf("%s has the links %v, want those of %v", host, got, want[vm])
		}
	}
}

// clear detaches everything, both guests at once.
func (s *storm) clear() {
	var guests sync.WaitGroup
	list, _ := s.volumes()
	for vm := range homes {
		guests.Go(func() {
			for _, v := range list {
				if v["STATUS"] != "ATTACHED" || fmt.Sprint(v["VM_ID"]) != fmt.Sprint(vm) {
					continue
				}
				if out, err := s.command(s.t.Context(), "oneadmin", "detach", fmt.Sprint(vm), fmt.Sprint(v["ID"]), "--yes", "--no-format").CombinedOutput(); err != nil {
					s.t.Errorf("clearing up: %v\n%s", err, out)
				}
			}
		})
	}
	guests.Wait()
}
