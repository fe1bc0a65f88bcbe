package opennebula_test

import (
	"errors"
	"testing"

	"onevolume"
	"onevolume/opennebula"
	"onevolume/opennebula/onetest"
)

// labelled is a stand-in whose VM 1 has this template, and what labels it.
func labelled(t *testing.T, userTemplate string) (*onetest.Oned, opennebula.Labels) {
	t.Helper()
	w := onetest.Small()
	w.VMs[1].UserTemplate = userTemplate
	one := onetest.Start(t, w)
	c, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: one.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return one, opennebula.Labels{Client: c, Session: func() (string, error) { return "oneadmin:opennebula", nil }}
}

func shownVolume(id onevolume.VolumeID, name string) onevolume.Volume {
	return onevolume.Volume{ID: id, Name: name, Size: 64 * onevolume.GiB, State: onevolume.Attached,
		Attachment: onevolume.Attachment{VM: 1, Device: "sdiv"}}
}

func show(t *testing.T, l opennebula.Labels, volumes ...onevolume.Volume) {
	t.Helper()
	if err := l.Show(t.Context(), 1, volumes); err != nil {
		t.Fatal(err)
	}
}

// wantTemplate compares what onevm show would print.
func wantTemplate(t *testing.T, one *onetest.Oned, want string) {
	t.Helper()
	if got := one.UserTemplate(1).String(); got != want {
		t.Errorf("the VM's template is\n%swant\n%s", got, want)
	}
}

const labelOfThree = "ONEVOLUME=[\n  ID=\"3\",\n  NAME=\"data\",\n  SERIAL=\"onevolume-3\",\n  SIZE=\"65536\",\n  TARGET=\"sdiv\" ]\n"

func TestLabelsShow(t *testing.T) {
	t.Parallel()
	one, l := labelled(t, "COLOUR = red\nDESCRIPTION = \"of \\\"mine\\\"\"\n")
	const rest = "COLOUR=\"red\"\nDESCRIPTION=\"of \\\"mine\\\"\"\n"
	show(t, l) // nothing to take away
	if n := one.Calls("one.vm.update"); n != 0 {
		t.Errorf("%d updates to show nothing", n)
	}
	show(t, l, shownVolume(3, "data"))
	wantTemplate(t, one, rest+labelOfThree)
	show(t, l, shownVolume(3, "data"))
	if n := one.Calls("one.vm.update"); n != 1 {
		t.Errorf("%d updates for one change", n)
	}
	failed := shownVolume(4, "x")
	failed.State, failed.Attachment.Device = onevolume.Failed, ""
	show(t, l, shownVolume(3, "data"), failed)
	wantTemplate(t, one, rest+labelOfThree+
		"ONEVOLUME=[\n  ID=\"4\",\n  NAME=\"x\",\n  SERIAL=\"onevolume-4\",\n  SIZE=\"65536\",\n  STATUS=\"ERROR\" ]\n")
	show(t, l, failed)
	show(t, l)
	wantTemplate(t, one, rest)
}

// Whatever a volume is called, it is read back as it was, and is not written
// again.
func TestLabelsShowAnyName(t *testing.T) {
	t.Parallel()
	one, l := labelled(t, "")
	for _, name := range []string{"größe ]]> 日本", `quote " and \ at the end\`, "a, b = [ c ]", "two\nlines", "<b>&amp;"} {
		before := one.Calls("one.vm.update")
		v := shownVolume(7, name)
		show(t, l, v)
		show(t, l, v)
		if n := one.Calls("one.vm.update") - before; n != 1 {
			t.Errorf("%q was written %d times", name, n)
		}
		list := one.UserTemplate(1).Vectors("ONEVOLUME")
		if len(list) != 1 {
			t.Errorf("%q is shown by %+v", name, list)
			continue
		}
		if got, _ := list[0].Get("NAME"); got != name {
			t.Errorf("%q is shown as %q", name, got)
		}
	}
}

// oned keeps the pairs of a vector sorted by their names; their order tells
// nothing.
func TestLabelsInAnyOrder(t *testing.T) {
	t.Parallel()
	one, l := labelled(t, "ONEVOLUME = [ TARGET = sdiv, SIZE = 65536, SERIAL = onevolume-3, NAME = data, ID = 3 ]")
	show(t, l, shownVolume(3, "data"))
	if n := one.Calls("one.vm.update"); n != 0 {
		t.Errorf("%d updates", n)
	}
}

// An attribute of that name which is not ours stays, whatever else is shown.
func TestLabelsLeaveOthersAlone(t *testing.T) {
	t.Parallel()
	const others = "ONEVOLUME=\"mine\"\nONEVOLUME=[\n  ID=\"3\",\n  SERIAL=\"of another\" ]\n"
	one, l := labelled(t, others)
	show(t, l)
	show(t, l, shownVolume(3, "data"))
	wantTemplate(t, one, others+labelOfThree)
	show(t, l)
	wantTemplate(t, one, others)
	if n := one.Calls("one.vm.update"); n != 2 {
		t.Errorf("%d updates, want 2", n)
	}
}

func TestLabelsTrouble(t *testing.T) {
	t.Parallel()
	one, l := labelled(t, "")
	wants := func(code onevolume.Code, id onevolume.VMID) {
		t.Helper()
		err := l.Show(t.Context(), id, []onevolume.Volume{shownVolume(3, "data")})
		if err == nil || onevolume.CodeOf(err) != code {
			t.Errorf("error %v, want one with the code %q", err, code)
		}
	}
	wants(onevolume.NotFound, 99)
	one.SetVMState(0, int(opennebula.Done), 0)
	wants(onevolume.NotFound, 0)
	if n := one.Calls("one.vm.update"); n != 0 {
		t.Errorf("%d updates of VMs that are gone", n)
	}
	one.SetVM(onetest.VM{ID: 5, Host: "host01", Lock: 2})
	wants(onevolume.Forbidden, 5)
	one.Down(true)
	wants(onevolume.Unreachable, 1)
	one.Down(false)
	l.Session = func() (string, error) { return "oneadmin:wrong", nil }
	wants(onevolume.Unauthenticated, 1)
	none := errors.New("no session")
	l.Session = func() (string, error) { return "", none }
	if err := l.Show(t.Context(), 1, nil); !errors.Is(err, none) {
		t.Errorf("error %v", err)
	}
	if got := one.UserTemplate(1); len(got) != 0 {
		t.Errorf("the template is %v", got)
	}
}
