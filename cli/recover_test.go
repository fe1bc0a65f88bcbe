package cli_test

import (
	"testing"

	"onevolume"
)

func TestRecoverAsks(t *testing.T) {
	w := newWorld(t)
	w.park()
	w.fails([]string{"recover asks before it acts, and there is no terminal", "say --yes"}, "recover", "--status", "retained", "disk1")
	w.fails([]string{`required flag(s) "status" not set`}, "recover", "disk1")
	w.fails([]string{`no status "wiping" can be said of a volume`, "available, retained, attached and error can"}, "recover", "--status", "wiping", "disk1", "--yes")
	w.fails([]string{"go with --status attached alone"}, "recover", "--status", "error", "--vm", "17", "disk1", "--yes")
	w.fails([]string{"ERROR needs a reason"}, "recover", "--status", "error", "disk1", "--yes")
	w.tty = true
	for status, words := range map[string][]string{
		"available": {"It will be AVAILABLE in the inventory.", "WHOEVER GETS IT NEXT SEES WHAT IS ON IT NOW", "say --status retained",
			"Make sure first that VM 17 does not have its disk any more (on host host01: virsh domblklist one-17)"},
		"retained": {"It stays with alice, with its data.", "two VMs that write to one disk destroy its data"},
		"attached": {"It counts as in VM 17.", "onevolume doctor reports it when it is not so"},
		"error":    {"Nobody can attach it"},
	} {
		words = append(words, "Volume 0 (disk1, 64M) of alice is ERROR, on record in VM 17 on host host01.", "Reason: step ",
			"THE INVENTORY ALONE IS CHANGED", "Type the volume's name (disk1) to go on: ", "Nothing was changed.")
		for _, answer := range []string{"", "yes", "disk"} {
			w.fails(words, "recover", "--status", status, "--reason", "why not", "disk1", "<", answer)
		}
	}
	w.wants(onevolume.Failed)

	s := w.ok("recover", "--status", "retained", "--reason", "host01 was reinstalled", "disk1", "<", "disk1")
	s.has(w, "stdout", s.out, "Volume 0 (disk1, 64M) is now RETAINED.\n")
	s.has(w, "stderr", s.err, "onevolume doctor --volume 0")
	if v := w.read(); v.State != onevolume.Retained || v.Reason != "host01 was reinstalled" || v.Attachment.VM != onevolume.NoVM || v.Owner.User != "alice" {
		t.Errorf("%+v", v)
	}
	// It leaves a trace, and ends the operation.
	w.ok("history", "disk1", "-n", "1").has(w, "history", w.ok("history", "disk1", "-n", "1").out, "recover", "to RETAINED: host01 was reinstalled", "ok")
	w.fails([]string{"only a parked one"}, "resume", "1")
	w.fails([]string{"Volume 0 is on record in no VM", "--vm and --host"}, "recover", "--status", "attached", "disk1", "--yes")
	w.fails([]string{"ATTACHED needs the host of VM 17"}, "recover", "--status", "attached", "--vm", "17", "disk1", "--yes")
	w.ok("recover", "--status", "attached", "--vm", "17", "--host", "host01", "--device", "sdiv", "disk1", "--yes")
	if v := w.read(); v.State != onevolume.Attached || v.Attachment.VM != 17 || v.Attachment.Host != "host01" || v.Attachment.Device != "sdiv" || v.Attachment.Serial != "onevolume-0" {
		t.Errorf("%+v", v)
	}
	w.ok("recover", "--status", "available", "disk1", "--yes")
	if v := w.read(); v.State != onevolume.Available || v.Owner.User != "oneadmin" {
		t.Errorf("%+v", v)
	}
}
