// Package tgt is an array on the target daemon tgtd (tgt 1.0), with volumes on
// LVM, LVM-thin or files. It works by tgtadm, since tgt-admin ends well when
// it did nothing, and keeps a file of its own for each exported volume in the
// directory that tgt-admin reads at boot.
//
// Each volume has a target with the volume as LUN 1, and an ACL of initiator
// names. tgtd has one set of accounts for a target, and their names are the
// daemon's: the file says which belongs to which initiator. Secrets pass
// through the arguments of tgtadm on the array itself, which has no other way
// to take them: let nobody else log in there.
//
// It was tested on a real tgtd 1.0.85: here with volumes in files, restarts and
// lost answers, and in the lab (array/linux) with volumes on LVM-thin, sessions
// of open-iscsi and power cuts.
package tgt

import (
	"context"
	"fmt"
	"slices"
	"strconv"
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

	// Portals are the addresses at which initiators reach tgtd, which opens
	// them itself.
	Portals []onevolume.Portal

	// ConfDir is the directory that targets.conf includes: Debian's
	// /etc/tgt/conf.d when empty.
	ConfDir string

	// ControlPort chooses a daemon of several (tgtadm -C).
	ControlPort int
}

// New makes an array of a machine. Its error is Invalid and says what is
// wrong with the options. pool is a linux.LVM or linux.Files.
func New(m linux.Options, pool linux.Pool, o Options) (*linux.Machine, error) {
	if err := linux.CheckTarget(o.IQN, o.Portals); err != nil {
		return nil, err
	}
	if o.ConfDir == "" {
		o.ConfDir = "/etc/tgt/conf.d"
	}
	return linux.New(m, pool, &target{o}), nil
}

type target struct{ opt Options }

var _ linux.Target = (*target)(nil)

// lun is the volume's number: tgtd keeps 0 for a controller.
const lun = 1

func (t *target) Model() string { return "tgt" }

func (t *target) CHAP() array.CHAPScope { return array.CHAPPerTarget }

// Mutual: tgtd has one outgoing account for a target, and none for each
// initiator.
func (t *target) Mutual() bool { return false }

// Extend: tgtd looks at the size when it opens the unit, which it does anew
// under its sessions. What is on its way then may fail.
func (t *target) Extend() array.Extend { return array.ExtendQuiet }

// Target as in linux.Target.
func (t *target) Target(id array.ID) onevolume.Target { return t.export(id, "").Target }

func (t *target) iqn(id array.ID) onevolume.IQN { return onevolume.IQN(t.opt.IQN + ":" + id.Name()) }

// serial is the unit serial number; tgtd keeps 36 characters.
func serial(id array.ID) string { return id.Hex() }

// scsiID is what tgtd makes the unit's identifiers of (page 83h): it reads the
// hexadecimal digits of it.
func scsiID(id array.ID) string { return id.Hex()[:16] }

func (t *target) export(id array.ID, initiator onevolume.IQN) array.Export {
	return array.Export{
		Initiator: initiator,
		Target:    onevolume.Target{IQN: t.iqn(id), LUN: lun, Portals: slices.Clone(t.opt.Portals)},
		Identity:  onevolume.Identity{Serial: serial(id)},
	}
}

// tgtadm makes a command.
func (t *target) tgtadm(op, mode string, args ...string) command.Cmd {
	argv := []string{"tgtadm", "--lld", "iscsi"}
	if t.opt.ControlPort != 0 {
		argv = append(argv, "-C", strconv.Itoa(t.opt.ControlPort))
	}
	return command.Cmd{Argv: append(append(argv, "--op", op, "--mode", mode), args...), Sudo: true, ReadOnly: op == "show"}
}

// What tgtadm ends with (recorded with 1.0.85): 22 for all errors, which only
// their texts tell apart, and 107 when the daemon does not answer.
const (
	exitError  = 22
	exitNoTgtd = 107
)

// run runs tgtadm. What it says that contains one of soso is success: it is so
// already.
func (t *target) run(ctx context.Context, o *linux.Op, c command.Cmd, soso ...string) (string, error) {
	r, err := o.Do(ctx, c, exitError, exitNoTgtd)
	if err != nil {
		return "", err
	}
	text := string(r.Stderr)
	switch {
	case r.Code == exitNoTgtd, strings.Contains(text, "closed the socket"):
		// The latter with exit status 0: tgtd died of the question.
		return "", o.Lost(fmt.Errorf("tgtd does not answer, see to it that it runs: %s", strings.TrimSpace(text)))
	case r.Code == 0:
		return string(r.Stdout), nil
	case slices.ContainsFunc(soso, func(s string) bool { return strings.Contains(text, s) }):
		return string(r.Stdout), nil
	case strings.Contains(text, "still active"):
		e := o.Fail(array.Busy, "%w", command.Check("", c, r, nil))
		e.By.Other = "what tgtd does with it"
		return "", e
	}
	return "", o.Refuse(c, r)
}

// show gives the target in the daemon, and all there are.
func (t *target) show(ctx context.Context, o *linux.Op, id array.ID) (mine *live, all []live, err error) {
	out, err := t.run(ctx, o, t.tgtadm("show", "target"))
	if err != nil {
		return nil, nil, err
	}
	if all, err = parse(out); err != nil {
		return nil, nil, o.Fail(array.Refused, "%w", err)
	}
	for i := range all {
		if all[i].iqn == t.iqn(id) {
			mine = &all[i]
		}
	}
	return mine, all, nil
}

// Export as in linux.Target.
func (t *target) Export(ctx context.Context, o *linux.Op, u linux.Unit, g array.Grant) (e array.Export, err error) {
	switch {
	case g.CHAP.UserIn != "":
		return e, o.Fail(array.Unsupported, "tgtd has one account for all initiators of a target with which it proves itself")
	case !writable(g.CHAP.User), !writable(g.CHAP.Secret):
		return e, o.Fail(array.Invalid, "CHAP users and secrets in tgt's configuration have letters, digits and - _ . : + @ only")
	}
	r, err := t.read(ctx, o, u.ID)
	if err != nil {
		return e, err
	}
	was := r.clone()
	r.device = u.Device
	r.grant(g)
	if err := t.arrange(ctx, o, u.ID, was, r, false); err != nil {
		return e, err
	}
	e = t.export(u.ID, g.Initiator)
	e.Target.CHAP = g.CHAP
	return e, nil
}

// Unexport as in linux.Target.
func (t *target) Unexport(ctx context.Context, o *linux.Op, id array.ID, initiator onevolume.IQN, force bool) error {
	r, err := t.read(ctx, o, id)
	if err != nil {
		return err
	}
	mine, _, err := t.show(ctx, o, id)
	if err != nil {
		return err
	}
	if !force && mine != nil {
		for _, s := range mine.sessions {
			if s.initiator == initiator {
				return array.InUse("volume "+string(id), array.Holders{Sessions: []onevolume.IQN{initiator}})
			}
		}
	}
	was := r.clone()
	r.revoke(initiator)
	return t.arrange(ctx, o, id, was, r, force)
}

// arrange brings the daemon and the file from what the record was to what it
// is. force cuts the sessions of those who are not in it.
func (t *target) arrange(ctx context.Context, o *linux.Op, id array.ID, was, r record, force bool) error {
	mine, all, err := t.show(ctx, o, id)
	if err != nil {
		return err
	}
	if len(r.grants) == 0 {
		return t.dissolve(ctx, o, id, mine, was)
	}
	if mine, err = t.unit(ctx, o, id, r.device, mine, all); err != nil {
		return err
	}
	tid := strconv.Itoa(mine.tid)
	// Accounts come before names: nobody finds a target that asks for none.
	if err := t.setAccounts(ctx, o, id, mine, all, was, r); err != nil {
		return err
	}
	for _, g := range r.grants {
		if slices.Contains(mine.acl, string(g.Initiator)) {
			continue
		}
		if _, err := t.run(ctx, o, t.tgtadm("bind", "target", "--tid", tid, "-Q", string(g.Initiator)), "rule already exists"); err != nil {
			return err
		}
	}
	for _, name := range mine.acl {
		// What is no name of an initiator came from the file at boot.
		if strings.HasPrefix(name, "iqn.") || strings.HasPrefix(name, "eui.") || strings.HasPrefix(name, "naa.") {
			if !r.has(onevolume.IQN(name)) {
				if _, err := t.run(ctx, o, t.tgtadm("unbind", "target", "--tid", tid, "-Q", name), "rule does not exist"); err != nil {
					return err
				}
			}
		}
	}
	if force {
		for _, s := range mine.sessions {
			if !r.has(s.initiator) {
				if err := t.cut(ctx, o, mine.tid, s); err != nil {
					return err
				}
			}
		}
	}
	return t.write(ctx, o, id, r)
}

// unit makes the target and its unit, or finds them.
func (t *target) unit(ctx context.Context, o *linux.Op, id array.ID, device string, mine *live, all []live) (*live, error) {
	if mine == nil {
		mine = &live{tid: 1, iqn: t.iqn(id)}
		for _, l := range all {
			mine.tid = max(mine.tid, l.tid+1)
		}
		if _, err := t.run(ctx, o, t.tgtadm("new", "target", "--tid", strconv.Itoa(mine.tid), "-T", string(mine.iqn))); err != nil {
			return nil, err
		}
	}
	tid, number := strconv.Itoa(mine.tid), strconv.Itoa(lun)
	switch path := mine.units[lun].path; {
	case path == device && mine.units[lun].serial == serial(id):
		return mine, nil
	case path != "" && path != device:
		return nil, o.Fail(array.Exists, "LUN %d of %s is %s", lun, mine.iqn, path)
	case path == "":
		if _, err := t.run(ctx, o, t.tgtadm("new", "logicalunit", "--tid", tid, "--lun", number, "-b", device)); err != nil {
			return nil, err
		}
	}
	_, err := t.run(ctx, o, t.tgtadm("update", "logicalunit", "--tid", tid, "--lun", number, "--params", "scsi_sn="+serial(id)+",scsi_id="+scsiID(id)))
	return mine, err
}

// cut ends a session's connections.
func (t *target) cut(ctx context.Context, o *linux.Op, tid int, s session) error {
	for _, cid := range s.connections {
		if _, err := t.run(ctx, o, t.tgtadm("delete", "conn", "--tid", strconv.Itoa(tid), "--sid", strconv.Itoa(s.sid), "--cid", strconv.Itoa(cid)), "can't find"); err != nil {
			return err
		}
	}
	return nil
}

// dissolve takes the target away with all that belongs to it. Its last
// initiator was seen to have no session, or is to lose it.
func (t *target) dissolve(ctx context.Context, o *linux.Op, id array.ID, mine *live, was record) error {
	if mine != nil {
		if err := t.dropAccounts(ctx, o, mine, 0); err != nil {
			return err
		}
		if _, err := t.run(ctx, o, t.tgtadm("delete", "target", "--force", "--tid", strconv.Itoa(mine.tid)), "can't find the target"); err != nil {
			return err
		}
		// Peers have seen it end well and do nothing.
		if again, _, err := t.show(ctx, o, id); err != nil {
			return err
		} else if again != nil {
			return o.Fail(array.Refused, "tgtd said that the target %s is deleted, and has it still", mine.iqn)
		}
	}
	if _, err := t.strays(ctx, o, id, nil, was); err != nil {
		return err
	}
	return t.write(ctx, o, id, record{})
}

// Exports as in linux.Target. Who may log in is what the daemon says; whose
// account is whose, the file.
func (t *target) Exports(ctx context.Context, o *linux.Op, id array.ID) ([]array.Export, []array.Session, error) {
	mine, _, err := t.show(ctx, o, id)
	if err != nil || mine == nil {
		return nil, nil, err
	}
	r, err := t.read(ctx, o, id)
	if err != nil {
		return nil, nil, err
	}
	var exports []array.Export
	for _, name := range mine.acl {
		initiator, err := onevolume.ParseIQN(name)
		if err != nil {
			continue // an address
		}
		e := t.export(id, initiator)
		for _, g := range r.grants {
			if g.Initiator == initiator {
				e.Target.CHAP.User = g.CHAP.User
			}
		}
		exports = append(exports, e)
	}
	slices.SortFunc(exports, func(a, b array.Export) int { return strings.Compare(string(a.Initiator), string(b.Initiator)) })
	var sessions []array.Session
	for _, s := range mine.sessions {
		sessions = append(sessions, array.Session{Initiator: s.initiator, Address: s.address})
	}
	return exports, sessions, nil
}

// Grown has tgtd open the unit anew when it still shows the old size. In one
// call, so that nothing that comes meanwhile finds it gone.
func (t *target) Grown(ctx context.Context, o *linux.Op, u linux.Unit) error {
	mine, _, err := t.show(ctx, o, u.ID)
	if err != nil || mine == nil || mine.units[lun].size == megabytes(u.Size) {
		return err
	}
	_, err = t.run(ctx, o, t.tgtadm("update", "logicalunit", "--tid", strconv.Itoa(mine.tid), "--lun", strconv.Itoa(lun),
		"--params", "online=0,path="+u.Device+",online=1"))
	return err
}

// megabytes is a size as tgtd shows it: decimal, rounded.
func megabytes(n onevolume.Size) string { return fmt.Sprintf("%d MB", (int64(n)+500_000)/1_000_000) }
