package openfiler_test

import (
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/array/openfiler/standin"
	"onevolume/command/ssh/sshtest"
)

const id = array.ID("01234567-89ab-cdef-0123-456789abcdef")

const (
	name = "ov-0123456789abcdef0123456789abcdef"
	iqn  = prefix + ":" + name
)

func (r *rig) volume() {
	r.Helper()
	if _, err := r.array.Create(r.Context(), array.Request{ID: id, Size: standin.Extent, Label: `caf` + "é" + ` & "co"`}); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) export(n int) array.Export {
	r.Helper()
	e, err := r.array.Export(r.Context(), id, array.Grant{Initiator: initiators[n], CHAP: array.NewCHAP(id)})
	if err != nil {
		r.Fatal(err)
	}
	return e
}

func (r *rig) fails(kind array.Kind, word string, err error) {
	r.Helper()
	if !array.Is(err, kind) || !strings.Contains(err.Error(), word) {
		r.Errorf("%v (%s), want %s with %q", err, array.KindOf(err), kind, word)
	}
}

// The commands, and what becomes of the files of the web pages and of IET.
func TestFiles(t *testing.T) {
	r := newRig(t)
	before := r.State()
	r.volume()
	g := array.Grant{Initiator: initiators[0], CHAP: onevolume.CHAP{User: "user1", Secret: "secretsecret1"}}
	if _, err := r.array.Export(t.Context(), id, g); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"lvcreate -n " + name + " -L 32768k --addtag onevolume.volume." + string(id) + " --addtag onevolume.raw.0 --addtag onevolume.label.caf+c3+a9+20+26+20+22co+22 vg0",
		"dd if=/dev/zero of=/dev/vg0/" + name + " bs=1048576 seek=0 count=32 oflag=direct conv=notrunc",
		"lvchange --deltag onevolume.raw.0 vg0/" + name,
		"ietadm --op new --tid=1 --params Name=" + iqn,
		"ietadm --op update --tid=1 --params=HeaderDigest=None,DataDigest=None,MaxConnections=1,InitialR2T=Yes,ImmediateData=No," +
			"MaxRecvDataSegmentLength=131072,MaxXmitDataSegmentLength=131072,MaxBurstLength=262144,FirstBurstLength=262144,DefaultTime2Wait=2," +
			"DefaultTime2Retain=20,MaxOutstandingR2T=8,DataPDUInOrder=Yes,DataSequenceInOrder=Yes,ErrorRecoveryLevel=0,Wthreads=16,QueuedCommands=32",
		"ietadm --op new --tid=1 --user --params=IncomingUser=user1,Password=secretsecret1",
		"ietadm --op new --tid=1 --lun=0 --params Path=/dev/vg0/" + name + ",Type=blockio,ScsiId=0123456789abcdef,ScsiSN=0123456789abcdef,IOMode=wt",
	}
	var got []string
	for _, line := range r.Ran() {
		if !strings.HasPrefix(line, "vgs ") && !strings.HasPrefix(line, "lvs ") && !strings.Contains(line, "--version") && !strings.Contains(line, "--op show") {
			got = append(got, line)
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it ran\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for file, text := range map[string]string{
		standin.Volumes:  "<volumes>\n\t<volume id=\"" + name + "\" name=\"caf? &amp; &quot;co&quot;\" mountpoint=\"\" vg=\"vg0\" fstype=\"iscsi\" />\n</volumes>\n",
		standin.Settings: "      <IncomingUser username=\"user1\" password=\"secretsecret1\" initiator=\"" + string(initiators[0]) + "\"/>\n",
		standin.Conf:     "\tIncomingUser user1 secretsecret1\n\tLun 0 Path=/dev/vg0/" + name + ",Type=blockio,ScsiSN=0123456789abcdef,ScsiId=0123456789abcdef,IOMode=wt\n",
		standin.Allow:    iqn + ` iqn\.2026-11\.org\.example:host01` + "\n# rules\n",
		standin.Deny:     iqn + " ALL\n# rules\n",
	} {
		if !strings.Contains(r.Read(file), text) {
			t.Errorf("%s is\n%s\nwithout\n%s", file, r.Read(file), text)
		}
	}
	if err := r.array.Unexport(t.Context(), id, initiators[0], false); err != nil {
		t.Error(err)
	}
	if err := r.array.Delete(t.Context(), id); err != nil {
		t.Error(err)
	}
	if after := r.State(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}

// What an administrator's web pages have under our names is not taken over.
func TestNotOurs(t *testing.T) {
	r := newRig(t)
	r.volume()
	r.AddLV("other", "", standin.Extent)
	settings := r.Read(standin.Settings)
	grant := array.Grant{Initiator: initiators[0], CHAP: array.NewCHAP(id)}
	export := func() error { _, err := r.array.Export(t.Context(), id, grant); return err }
	r.Write(standin.Settings, strings.Replace(settings, "  </targets>", "    <target Name=\""+iqn+"\"><lun Id=\"0\" Path=\"/dev/vg0/other\"/></target>\n  </targets>", 1))
	r.fails(array.Exists, "has other units", export())
	r.Write(standin.Settings, settings)

	r.Tool(0, "ietadm", "--op", "new", "--tid=7", "--params", "Name=iqn.x")
	r.Tool(0, "ietadm", "--op", "new", "--tid=7", "--lun=3", "--params", "Path=/dev/vg0/"+name)
	r.fails(array.Busy, "LUN 3 of iqn.x", export())
	r.fails(array.Busy, "Can't remove open", r.array.Delete(t.Context(), id))
	r.Tool(0, "ietadm", "--op", "delete", "--tid=7")
	r.Tool(0, "ietadm", "--op", "new", "--tid=7", "--params", "Name="+iqn)
	r.Tool(0, "ietadm", "--op", "new", "--tid=7", "--lun=0", "--params", "Path=/dev/vg0/other")
	r.fails(array.Exists, "is /dev/vg0/other", export())
	r.Tool(0, "ietadm", "--op", "delete", "--tid=7")

	grant.CHAP.Secret += ","
	r.fails(array.Invalid, "comma", export())
	r.AddLV("of.snapshot."+name, name, standin.Extent)
	_, err := r.array.Extend(t.Context(), id, 2*standin.Extent)
	r.fails(array.Busy, "of.snapshot", err)
	r.fails(array.Busy, "of.snapshot", r.array.Delete(t.Context(), id))
	r.Write(standin.Volumes, "<volumes>")
	_, err = r.array.Create(t.Context(), array.Request{ID: array.NewID(), Size: 1})
	r.fails(array.Refused, "volumes.xml", err)
}

// The web pages write the rules anew: CHAP is left, until exports change.
func TestRulesOfOthers(t *testing.T) {
	r := newRig(t)
	r.volume()
	e := r.export(0)
	r.Write(standin.Allow, "")
	r.Write(standin.Deny, "")
	stranger := e
	stranger.Initiator = initiators[1]
	if logout, err := r.Login(stranger); err != nil {
		t.Errorf("the stand-in has rules that are in no file: %v", err)
	} else {
		logout()
	}
	stranger.Target.CHAP.Secret = "wrongwrongwrong1"
	if _, err := r.Login(stranger); err == nil {
		t.Error("a wrong secret was let in")
	}
	// A list of those who are let in stays one, for all targets.
	r.Write(standin.Allow, "iqn.other ALL\nALL 10.77.0.0/24\n")
	r.Remove(standin.Deny)
	stranger.Target.CHAP = r.export(0).Target.CHAP
	if _, err := r.Login(stranger); err == nil {
		t.Error("a stranger was let in")
	}
	if got, want := r.Read(standin.Allow), iqn+` iqn\.2026-11\.org\.example:host01`+"\niqn.other ALL\nALL 10.77.0.0/24\n"; got != want {
		t.Errorf("the rules are\n%s\nwant\n%s", got, want)
	}
	if r.Has(standin.Deny) {
		t.Error("with initiators.deny, all other targets are open")
	}
}

// Accounts that are not ours go, a secret changes, and never is there none.
func TestAccounts(t *testing.T) {
	r := newRig(t)
	r.volume()
	g := array.Grant{Initiator: initiators[0], CHAP: onevolume.CHAP{User: "user1", Secret: "secretsecret1"}}
	for _, secret := range []string{"secretsecret1", "secretsecret2", "secretsecret2"} {
		g.CHAP.Secret = secret
		if _, err := r.array.Export(t.Context(), id, g); err != nil {
			t.Fatal(err)
		}
		if got, want := r.Accounts(1), "user1 "+secret; got != want {
			t.Errorf("the accounts are %q, want %q", got, want)
		}
		r.Tool(0, "ietadm", "--op", "new", "--tid=1", "--user", "--params=IncomingUser=user1,Password=olderolder12")
		r.Tool(0, "ietadm", "--op", "new", "--tid=1", "--user", "--params=IncomingUser=mallory,Password=malloryssecret")
	}
	for _, n := range r.Bare() {
		t.Errorf("a target with a unit had no account after %s", n)
	}
}

// IET of old, of very old, and none.
func TestVersions(t *testing.T) {
	r := newRig(t)
	r.volume()
	grant := array.Grant{Initiator: initiators[0], CHAP: array.NewCHAP(id)}
	export := func() error { _, err := r.array.Export(t.Context(), id, grant); return err }
	r.SetVersion("0.4.16")
	r.fails(array.Refused, "0.4.16", export())
	r.Stop()
	r.fails(array.Transient, "service iscsi-target start", export())
	r.Start()
	r.SetVersion("0.4.17")
	e := r.export(0)
	logout, err := r.Login(e)
	if err != nil || strings.Contains(r.Read(standin.Deny), iqn) {
		t.Fatalf("%v, with the rules\n%s", err, r.Read(standin.Deny))
	}
	logout()
	if size, serial := r.Mapped(name); size != standin.Extent || serial != e.Identity.Serial {
		t.Errorf("%d bytes, %q", size, serial)
	}
	if _, err := r.array.Extend(t.Context(), id, 2*standin.Extent); err != nil {
		t.Error(err)
	}
	if size, _ := r.Mapped(name); size != 2*standin.Extent {
		t.Errorf("initiators see %d bytes", size)
	}
}

// Wrong credentials are said as such.
func TestAuth(t *testing.T) {
	r := newRig(t)
	other, _, _ := sshtest.KeyFile(t, "")
	hosts := r.server.KnownHosts(t)
	r.connect(other, hosts)
	_, err := r.array.Create(t.Context(), array.Request{ID: id, Size: 1})
	r.fails(array.Auth, "filer", err)
	if n := r.server.Logins.Load(); n != 0 {
		t.Errorf("%d logins", n)
	}
}

// Nobody is let in to what somebody else wrote: not when it died while zeroes
// were written, and not to what a volume has got since.
func TestNotZeroedYet(t *testing.T) {
	r := newRig(t)
	create := func() error {
		_, err := r.array.Create(t.Context(), array.Request{ID: id, Size: standin.Extent})
		return err
	}
	came := r.lossy.Lose(3, false)
	if err := create(); err == nil || !came() {
		t.Fatalf("dd was not lost: %v", err)
	}
	grant := array.Grant{Initiator: initiators[0], CHAP: array.NewCHAP(id)}
	_, err := r.array.Export(t.Context(), id, grant)
	r.fails(array.Busy, "zeroes", err)
	if err := create(); err != nil {
		t.Fatal(err)
	}
	e := r.export(0)
	logout, err := r.Login(e)
	if err != nil {
		t.Fatal(err)
	}
	logout()
	came = r.lossy.Lose(3, false)
	if _, err := r.array.Extend(t.Context(), id, 2*standin.Extent); err == nil || !came() {
		t.Fatalf("dd was not lost: %v", err)
	}
	if size, _ := r.Mapped(name); size != standin.Extent {
		t.Errorf("initiators see %d bytes", size)
	}
	_, err = r.array.Export(t.Context(), id, grant)
	r.fails(array.Busy, "zeroes", err)
	if _, err := r.array.Extend(t.Context(), id, 2*standin.Extent); err != nil {
		t.Fatal(err)
	}
	if size, _ := r.Mapped(name); size != 2*standin.Extent {
		t.Errorf("initiators see %d bytes", size)
	}
	if logout, err = r.Login(e); err == nil {
		logout()
	}
}
