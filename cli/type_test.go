package cli_test

import (
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/daemon"
)

// TestVolumeTypes goes the whole way: a type's arrays and needs choose, its
// limits are in the live domain, and --dry-run tells why.
func TestVolumeTypes(t *testing.T) {
	w := newWorld(t)
	w.makers = map[string]daemon.Maker{}
	for name, caps := range map[string]array.Capabilities{"big": {}, "snap": {Snapshots: true, Thin: true}} {
		caps.Granule, caps.MinSize, caps.MaxLabel, caps.PageSize, caps.Zeroed = onevolume.MiB, onevolume.MiB, 8, 10, true
		size := 2 * onevolume.GiB
		if caps.Snapshots {
			size = onevolume.GiB
		}
		w.makers[name] = daemon.Maker{Array: &served{Memory: arraytest.NewMemory(caps, size), w: w}, Kind: "memory", Anybody: true}
	}
	tune, err := onevolume.ParseIOTune(map[string]string{"total_bytes_sec": "1048576", "read_iops_sec": "200"})
	if err != nil {
		t.Fatal(err)
	}
	w.kinds = []onevolume.VolumeType{{Name: "slow", Needs: []string{"snapshots", "thin"}, Tune: tune}, {Name: "none", Arrays: []string{"big"}, Needs: []string{"thin"}}}
	w.start()

	s := w.ok("type", "list")
	s.has(w, "stdout", s.out, "slow", "snapshots,thin", "total_bytes_sec=1048576 read_iops_sec=200", "big")
	s = w.ok("array", "show", "snap")
	s.has(w, "stdout", s.out, "snapshots, thin")
	s = w.ok("create", "--name", "db", "--size", "32", "--dry-run")
	s.has(w, "stdout", s.out, "Array big (free: 2G): taken, as the one with most free space.\nArray snap (free: 1G): it would be the next.\n")
	w.as = "alice"
	s = w.ok("create", "--name", "db", "--size", "32", "--type", "slow", "--dry-run")
	s.has(w, "stdout", s.out, "Array snap (free: 1G): taken.\nArray big (free: 2G): type slow needs snapshots, which it does not have.\n")
	s = w.fails([]string{"No array would make it"}, "create", "--name", "db", "--size", "32", "--type", "none", "--dry-run")
	s.has(w, "stdout", s.out, "Array snap (free: 1G): type none is not made there.", "needs thin")
	w.fails([]string{`no volume type "gold"`, "known are slow, none"}, "create", "--name", "db", "--size", "32", "--type", "gold")
	w.fails([]string{"only 2G more may be provisioned there"}, "create", "--name", "db", "--size", "3G")
	w.ok("create", "--name", "db", "--size", "32", "--type", "slow")
	if v := w.read(); v.Array != "snap" {
		t.Errorf("%+v", v)
	}
	s = w.ok("show", "db")
	s.has(w, "stdout", s.out, `TYPE="slow"`, `TOTAL_BYTES_SEC="1048576"`, `READ_IOPS_SEC="200"`)
	w.as = "oneadmin"
	s = w.ok("attach", "17", "--volume", "db", "--dry-run")
	s.has(w, "stdout", s.out, "<total_bytes_sec>1048576</total_bytes_sec>")
	for _, line := range [][]string{{"attach", "17", "--volume", "db"}, {"attach", "17", "--volume", "db", "--server"}} {
		w.ok(line...)
		d, _ := w.virt.Domain("one-17")
		if len(d.Disks) != 1 || d.Disks[0].Tune != tune {
			t.Errorf("the domain's disks are %+v", d.Disks)
		}
		w.ok("detach", "17", "0", "--no-format", "--yes")
	}
}
