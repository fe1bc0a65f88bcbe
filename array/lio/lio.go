// Package lio is an array on Linux's own target, LIO, with volumes on LVM or
// LVM-thin. It works on configfs, as targetcli does, but without starting
// Python and without D-Bus; and it keeps what it exports in the file that
// targetcli restores at boot.
//
// Each volume has a target with one portal group, the volume as LUN 0, and an
// ACL with CHAP credentials for each initiator that is let in. There is a
// target only while the volume is exported.
//
// It passes the tests of array/arraytest on a machine made of memory, whose
// answers were recorded with Linux 6.1, LVM 2.03.16 and targetcli 2.1.53; in
// the lab they run on Linux 7.2, with sessions of open-iscsi 2.1.8 and power
// cuts (array/linux).
package lio

import (
	"context"
	"embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux"
	"onevolume/command"
)

// Options are the settings of the target.
type Options struct {
	// IQN begins the name of each target: "iqn.2026-11.org.example.array1".
	// A colon and the volume's name follow.
	IQN string

	// Portals are the addresses at which initiators reach the machine.
	Portals []onevolume.Portal

	// Save is the file that is restored at boot: Debian's
	// /etc/rtslib-fb-target/saveconfig.json when empty; others have it in
	// /etc/target.
	Save string

	// Root is where configfs has the target, when it is not at
	// /sys/kernel/config/target.
	Root string
}

// defaultSave is the file of Debian's python3-rtslib-fb 2.1.75.
const defaultSave = "/etc/rtslib-fb-target/saveconfig.json"

const defaultRoot = "/sys/kernel/config/target"

// New makes an array of a machine. Its error is Invalid and says what is
// wrong with the options. pool is a linux.LVM.
func New(m linux.Options, pool linux.LVM, o Options) (*linux.Machine, error) {
	if err := linux.CheckTarget(o.IQN, o.Portals); err != nil {
		return nil, err
	}
	if o.Save == "" {
		o.Save = defaultSave
	}
	if o.Root == "" {
		o.Root = defaultRoot
	}
	return linux.New(m, pool, &target{o}), nil
}

type target struct{ opt Options }

var _ linux.Target = (*target)(nil)

// The names of the scripts, as logs show them and fakes know them.
const (
	NameLook     = "lio-look"
	NameExport   = "lio-export"
	NameUnexport = "lio-unexport"
	NameRead     = "lio-read"
	NameWrite    = "lio-write"
)

//go:embed scripts/*.sh
var scripts embed.FS

var (
	lookScript     = text("common", "look")
	exportScript   = text("common", "export")
	unexportScript = text("common", "unexport")
	readScript     = text("read")
	writeScript    = text("write")
)

func text(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		data, err := scripts.ReadFile("scripts/" + name + ".sh")
		if err != nil {
			panic(err) // the file is part of the program
		}
		b.WriteString(linux.Text(data))
	}
	return b.String()
}

// How the scripts end.
const (
	exitOther    = 10
	exitInUse    = 11
	exitSession  = 12
	exitNotAsWas = 75
)

func (t *target) Model() string { return "LIO" }

func (t *target) CHAP() array.CHAPScope { return array.CHAPPerInitiator }

func (t *target) Mutual() bool { return true }

// Extend: the size of the logical volume is what initiators are told, with no
// command (measured on Linux 6.1).
func (t *target) Extend() array.Extend { return array.ExtendOnline }

// Grown has nothing to do.
func (t *target) Grown(context.Context, *linux.Op, linux.Unit) error { return nil }

// Target as in linux.Target.
func (t *target) Target(id array.ID) onevolume.Target { return t.export(id, "").Target }

func (t *target) iqn(id array.ID) onevolume.IQN { return onevolume.IQN(t.opt.IQN + ":" + id.Name()) }

// args begin the arguments of the scripts of common.sh.
func (t *target) args(id array.ID, more ...string) []string {
	return append([]string{t.opt.Root, id.Name(), string(t.iqn(id))}, more...)
}

// export is what an export of the volume looks like.
func (t *target) export(id array.ID, initiator onevolume.IQN) array.Export {
	return array.Export{
		Initiator: initiator,
		Target:    onevolume.Target{IQN: t.iqn(id), LUN: 0, Portals: slices.Clone(t.opt.Portals)},
		Identity:  onevolume.Identity{Serial: serial(id), WWID: wwid(id)},
	}
}

// serial is the unit serial number.
func serial(id array.ID) string { return string(id) }

// wwid is what the kernel's target makes of the serial number for page 83h:
// an NAA identifier of type 6 with OpenFabrics' company id and the first 25
// hexadecimal digits.
func wwid(id array.ID) string { return "naa.6001405" + id.Hex()[:25] }

// Export as in linux.Target.
func (t *target) Export(ctx context.Context, o *linux.Op, u linux.Unit, g array.Grant) (e array.Export, err error) {
	args := t.args(u.ID, u.Device, serial(u.ID), string(g.Initiator))
	for _, p := range t.opt.Portals {
		args = append(args, p.String())
	}
	c := linux.Script(NameExport, exportScript, false, args...)
	c.Stdin = command.Secret(strings.Join([]string{g.CHAP.User, g.CHAP.Secret, g.CHAP.UserIn, g.CHAP.SecretIn, ""}, "\n"))
	r, err := o.Do(ctx, c, exitOther, exitInUse)
	switch {
	case err != nil:
		return e, err
	case r.Code == exitOther:
		return e, o.Fail(array.Exists, "%s", strings.TrimSpace(string(r.Stderr)))
	case r.Code == exitInUse:
		e := o.Fail(array.Busy, "something on the array uses %s: %s", u.Device, strings.TrimSpace(string(r.Stderr)))
		e.By.Other = u.Device
		return array.Export{}, e
	}
	if err := t.save(ctx, o, u.ID, func(s *saved) { s.grant(t, u, g) }); err != nil {
		return e, err
	}
	e = t.export(u.ID, g.Initiator)
	e.Target.CHAP = g.CHAP
	return e, nil
}

// Unexport as in linux.Target.
func (t *target) Unexport(ctx context.Context, o *linux.Op, id array.ID, initiator onevolume.IQN, force bool) error {
	word := ""
	if force {
		word = "force"
	}
	r, err := o.Do(ctx, linux.Script(NameUnexport, unexportScript, false, t.args(id, string(initiator), word)...), exitSession)
	if err != nil {
		return err
	}
	if r.Code == exitSession {
		return array.InUse("volume "+string(id), array.Holders{Sessions: []onevolume.IQN{initiator}})
	}
	return t.save(ctx, o, id, func(s *saved) { s.revoke(initiator) })
}

// Exports as in linux.Target.
func (t *target) Exports(ctx context.Context, o *linux.Op, id array.ID) ([]array.Export, []array.Session, error) {
	r, err := o.Do(ctx, linux.Script(NameLook, lookScript, true, t.args(id)...))
	if err != nil {
		return nil, nil, err
	}
	rep, err := parse(string(r.Stdout))
	if err != nil {
		return nil, nil, o.Fail(array.Refused, "%w", err)
	}
	var exports []array.Export
	for _, a := range rep.acls {
		e := t.export(id, a.initiator)
		e.Target.CHAP.User, e.Target.CHAP.UserIn = a.user, a.userIn
		exports = append(exports, e)
	}
	return exports, rep.sessions, nil
}

// report is what look.sh prints.
type report struct {
	acls     []acl
	sessions []array.Session
}

type acl struct {
	initiator    onevolume.IQN
	user, userIn string
}

// parse reads it. What it does not know is an error: it would be taken for
// nothing.
func parse(out string) (rep report, err error) {
	ended := false
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		f := strings.Split(line, " ")
		switch {
		case line == "end":
			ended = true
		case f[0] == "backstore", f[0] == "target", f[0] == "lun", f[0] == "portal":
		case f[0] == "acl" && len(f) == 4:
			rep.acls = append(rep.acls, acl{onevolume.IQN(f[1]), unset(f[2]), unset(f[3])})
		case f[0] == "session" && len(f) == 2:
			rep.sessions = append(rep.sessions, array.Session{Initiator: onevolume.IQN(f[1])})
		case f[0] == "address" && len(f) == 3:
			if n := len(rep.sessions); n > 0 && rep.sessions[n-1].Initiator == onevolume.IQN(f[1]) {
				rep.sessions[n-1].Address = address(f[2])
			}
		default:
			return rep, fmt.Errorf("the look at the target printed %q", line)
		}
	}
	if !ended {
		return rep, fmt.Errorf("the look at the target has no end")
	}
	slices.SortFunc(rep.acls, func(a, b acl) int { return strings.Compare(string(a.initiator), string(b.initiator)) })
	return rep, nil
}

// unset: the kernel shows NULL for credentials that were taken back.
func unset(s string) string {
	if s == "NULL" {
		return ""
	}
	return s
}

// address leaves out what is no address.
func address(s string) string {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return ""
	}
	return a.Unmap().String()
}
