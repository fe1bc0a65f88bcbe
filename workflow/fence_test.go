package workflow_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/follow"
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

// A registered volume is given to another host by an administrator's word
// alone, and not while oned sees the host; a volume of an array without it.
func TestFenceByHand(t *testing.T) {
	t.Parallel()
	for _, made := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := newGround(t)
			g.clock.bubble = true
			d := newDrama(t, g, follow.Happening{Name: "by hand", From: "a", Array: made}, nil)
			fence := func(off bool) ([]onevolume.Fenced, error) { return d.follower.Fence(t.Context(), "a", off) }
			if list, err := fence(true); onevolume.CodeOf(err) != onevolume.Action || !strings.Contains(onevolume.HintOf(err), "onehost offline a") {
				t.Errorf("in sight: %+v, %v", list, err)
			}
			a := d.machine("a")
			d.net.Down("a", command.KindTimeout)
			d.mu.Lock()
			d.lost, d.vm.Stage = true, follow.Silent
			d.mu.Unlock()
			if !made {
				if list, err := fence(false); err != nil || len(list) != 1 || list[0].Error == "" || !strings.Contains(list[0].Hint, "--off a") {
					t.Errorf("without the word: %+v, %v", list, err)
				}
				if v := d.read(d.v.ID); v.Attachment.Host != "a" {
					t.Errorf("it is on record on %q", v.Attachment.Host)
				}
				a.virt.RemoveDomain(d.name) // it is off
				a.iscsi.Reboot()
			}
			if list, err := fence(!made); err != nil || len(list) != 1 || list[0].Error != "" || list[0].Volume != d.v.ID {
				t.Errorf("fenced are %+v, %v", list, err)
			}
			if list, err := fence(!made); err != nil || len(list) != 0 {
				t.Errorf("again: %+v, %v", list, err)
			}
			d.enter(follow.Point{State: "ACTIVE", LCM: "RUNNING", Host: "b", Lost: true})
			d.follower.Hear(d.vm.ID)
			d.rest()
			if made {
				d.fenced()
			}
			d.net.Down("a", "")
			a.virt.RemoveDomain(d.name)
			d.mu.Lock()
			d.lost = false
			d.mu.Unlock()
			time.Sleep(31 * time.Second) // it is cleaned by the look at everything
			synctest.Wait()
			list, err := d.Fences(t.Context())
			v := d.read(d.v.ID)
			if err != nil || len(list) != 0 || v.Attachment.Host != "b" || len(a.iscsi.Left()) != 0 || !d.canWrite("b") {
				t.Errorf("fenced are %+v, %v; on record on %q; left is %q", list, err, v.Attachment.Host, a.iscsi.Left())
			}
			d.follower.Stop(t.Context())
		})
	}
}
