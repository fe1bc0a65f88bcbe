package workflow_test

import (
	"strings"
	"testing/synctest"
	"time"

	"onevolume"
)

// canWrite says whether the guest on a host can write to the volume.
func (d *drama) canWrite(host string) bool {
	d.Helper()
	source := d.read(d.v.ID).Attachment.Source
	content := d.units[d.v.ID].Content
	return d.machine(host).iscsi.Write(source, content)
}

// fenced asks that host a, which is lost, is cut off, and that the VM has the
// volume on host b.
func (d *drama) fenced() {
	d.Helper()
	v := d.read(d.v.ID)
	list, err := d.Fences(d.Context())
	if err != nil || len(list) != 1 || list[0].Host != "a" || v.State != onevolume.Attached || v.Attachment.Host != "b" || v.Reason != "" {
		d.Errorf("%+v: the volume is %s (%s) with %+v; fenced are %+v, %v", d.crash, v.State, v.Reason, v.Attachment, list, err)
	}
	if _, left := d.machine("a").virt.Domain(d.name); !left || d.canWrite("a") || !d.canWrite("b") {
		d.Errorf("%+v: a domain is left on a: %v; a can write: %v, b: %v", d.crash, left, d.canWrite("a"), d.canWrite("b"))
	}
}

// thaw lets host a be there again, with the domain that was on it. It is not
// used before that has ended and what it was cut off from is gone.
func (d *drama) thaw() {
	d.Helper()
	d.net.Down("a", "")
	d.mu.Lock()
	d.lost = false
	d.mu.Unlock()
	look := func(want int) {
		d.Helper()
		d.follower.LookAtAll()
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		list, err := d.Fences(d.Context())
		if err != nil || len(list) != want || d.canWrite("a") || !d.canWrite("b") {
			d.Errorf("%+v, host a is back: fenced are %+v, %v; a can write: %v, b: %v", d.crash, list, err, d.canWrite("a"), d.canWrite("b"))
		}
	}
	look(1)
	other := onevolume.Request{Kind: onevolume.Attach, VM: d.vm.VM, Pick: onevolume.Pick{Size: 1}}
	other.VM.Host = "a"
	if _, err := d.process("other").run(d.Context(), other); onevolume.CodeOf(err) != onevolume.Action || !strings.Contains(err.Error(), "was fenced") {
		d.Errorf("an attach on host a: %v", err)
	}
	d.machine("a").virt.RemoveDomain(d.name)
	look(0)
	look(0)
}
