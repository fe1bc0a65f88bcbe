// Package openfiler is an array on an Openfiler (2.3, 2.99) over SSH: volumes
// are thick logical volumes, exported by its target IET. All that its web pages
// keep is kept as they do it, so that what is made here is shown there and is
// there again after a restart: the list of volumes (volumes.xml), the master of
// all targets (iscsi_settings.xml) and /etc/ietd.conf, which is made of it.
//
// Each volume has a target with the volume as LUN 0, a CHAP account for each
// initiator that is let in, and a rule in initiators.allow with their names.
// IET has one set of accounts for a target; whose each is stands in the master
// file, in an attribute that the pages keep. A target cannot prove itself to
// one initiator of several, so there is no mutual CHAP. Secrets pass through
// the arguments of ietadm on the array itself, which takes them no other way.
//
// When "Update" is pressed on a page about networks or shares, the pages write
// initiators.allow and .deny anew without our rules: then CHAP alone keeps
// others out, until the volume's exports change the next time. IET before
// 1.4.18 knows no names in rules; there it is CHAP alone always. Before 0.4.17
// it cannot list accounts, and is refused.
//
// A new volume is overwritten with zeroes by dd on the array before anybody is
// let in, and so is what it gets when it grows: thick volumes show what was
// there before. That takes as long as the disks do, minutes for 100 GiB.
//
// There are no snapshots and no copies: LVM 2.02 has no thin pools, and its
// other snapshots slow the origin down, block its growth, and vanish when they
// run full. A volume grows while nobody is logged in: IET looks at its size
// when it is mapped only.
//
// It was never run on a real Openfiler, and not with a real IET, which is built
// for no present kernel. It passes the tests of array/arraytest on a stand-in
// behind a real SSH server (openfilertest), which was written from the sources
// of IET 1.4.19 and of Openfiler 2.99's pages; its files were compared with
// what the pages' own style sheet makes of them.
package openfiler

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
)

// Options are the settings of the target.
type Options struct {
	// IQN begins the name of each target: "iqn.2006-01.com.openfiler:tsn" or
	// one of your own. A colon and the volume's name follow.
	IQN string

	// Portals are the addresses at which initiators reach the machine.
	Portals []onevolume.Portal

	// Root is put before the names of files on the array; tests set it.
	Root string
}

// New makes an array of a machine with volumes in the volume group. Its error
// is Invalid and says what is wrong with the options.
func New(m linux.Options, vg string, o Options) (*linux.Machine, error) {
	if err := linux.CheckTarget(o.IQN, o.Portals); err != nil {
		return nil, err
	}
	return linux.New(m, linux.OldLVM{VG: vg}, &target{opt: o, vg: vg, host: m.Host}), nil
}

type target struct {
	opt      Options
	vg, host string
}

var (
	_ linux.Target = (*target)(nil)
	_ linux.Keeper = (*target)(nil)
)

//go:embed scripts/*.sh
var scripts embed.FS

func text(name string) string {
	data, err := scripts.ReadFile("scripts/" + name + ".sh")
	if err != nil {
		panic(err) // the file is part of the program
	}
	return linux.Text(data)
}

var readScript, writeScript, rulesScript, lookScript, accountsScript, dropScript = text("read"), text("write"), text("rules"), text("look"), text("accounts"), text("drop")

// How the scripts end.
const (
	exitSessions   = 12
	exitNoService  = 44
	exitNotAsWas   = 75
	lun            = "0"
	serialLength   = 16 // SCSI_SN_LEN of IET; of the ScsiId as much is left
	longestRule    = 4000
	firstWithNames = "1.4.18"
	firstThatLists = "0.4.17"
)

func (t *target) Model() string { return "Openfiler" }

func (t *target) CHAP() array.CHAPScope { return array.CHAPPerTarget }

func (t *target) Mutual() bool { return false }

func (t *target) Extend() array.Extend { return array.ExtendOffline }

// Target as in linux.Target.
func (t *target) Target(id array.ID) onevolume.Target { return t.export(id, "").Target }

func (t *target) iqn(id array.ID) onevolume.IQN { return onevolume.IQN(t.opt.IQN + ":" + id.Name()) }

func serial(id array.ID) string { return id.Hex()[:serialLength] }

func (t *target) export(id array.ID, initiator onevolume.IQN) array.Export {
	return array.Export{
		Initiator: initiator,
		Target:    onevolume.Target{IQN: t.iqn(id), LUN: 0, Portals: slices.Clone(t.opt.Portals)},
		Identity:  onevolume.Identity{Serial: serial(id)},
	}
}

// unit is how the volume is mapped.
func (t *target) unit(u linux.Unit) unit {
	return unit{id: lun, path: u.Device, kind: "blockio", scsiID: serial(u.ID), serial: serial(u.ID), mode: "wt"}
}

// Export as in linux.Target. The master file comes first, so that whatever is
// in force stands there, however the call ends.
func (t *target) Export(ctx context.Context, o *linux.Op, u linux.Unit, g array.Grant) (e array.Export, err error) {
	switch {
	case g.CHAP.UserIn != "":
		return e, o.Fail(array.Unsupported, "IET has one outgoing user for all initiators of a target")
	case strings.Contains(g.CHAP.User+g.CHAP.Secret, ","):
		return e, o.Fail(array.Invalid, "CHAP users and secrets of IET have no comma")
	}
	now, err := t.look(ctx, o)
	if err != nil {
		return e, err
	}
	mine := now.find(t.iqn(u.ID))
	if err := t.free(o, u, now, mine); err != nil {
		return e, err
	}
	var r record
	err = t.save(ctx, o, u.ID, func(there bool, was *record) error {
		if there && slices.ContainsFunc(was.units, func(x unit) bool { return x.path != u.Device || x.id != lun }) {
			return o.Fail(array.Exists, "the target %s of the web pages has other units", t.iqn(u.ID)).
				WithHint("onevolume takes over nothing that it did not make: remove the target, or create the volume anew")
		}
		was.units = []unit{t.unit(u)}
		was.grant(g)
		r = *was
		return nil
	})
	if err == nil {
		err = t.apply(ctx, o, u, now, mine, r)
	}
	if err != nil {
		return e, err
	}
	e = t.export(u.ID, g.Initiator)
	e.Target.CHAP = g.CHAP
	return e, nil
}

// Unexport as in linux.Target. The master file comes last.
func (t *target) Unexport(ctx context.Context, o *linux.Op, id array.ID, initiator onevolume.IQN, force bool) error {
	now, err := t.look(ctx, o)
	if err != nil {
		return err
	}
	mine := now.find(t.iqn(id))
	if !force && mine != nil {
		for _, s := range mine.Sessions {
			if s.Initiator == string(initiator) {
				return array.InUse("volume "+string(id), array.Holders{Sessions: []onevolume.IQN{initiator}})
			}
		}
	}
	files, err := t.read(ctx, o)
	if err != nil {
		return err
	}
	_, r := files.settings.find(t.iqn(id))
	r.revoke(initiator)
	if err := t.withdraw(ctx, o, id, now, mine, r, initiator, force); err != nil {
		return err
	}
	err = t.save(ctx, o, id, func(there bool, was *record) error {
		was.revoke(initiator)
		return nil
	})
	if err != nil || len(r.grants) > 0 {
		return err
	}
	return t.rules(ctx, o, id, nil, false)
}

// Exports as in linux.Target. Whatever IET has stands in the master file.
func (t *target) Exports(ctx context.Context, o *linux.Op, id array.ID) ([]array.Export, []array.Session, error) {
	files, err := t.read(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	now, err := t.look(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	var exports []array.Export
	_, r := files.settings.find(t.iqn(id))
	for _, g := range r.grants {
		e := t.export(id, g.Initiator)
		e.Target.CHAP.User = g.CHAP.User
		exports = append(exports, e)
	}
	var sessions []array.Session
	if mine := now.find(t.iqn(id)); mine != nil {
		for _, s := range mine.Sessions {
			address := ""
			if a, err := netip.ParseAddr(s.Address); err == nil {
				address = a.Unmap().String()
			}
			sessions = append(sessions, array.Session{Initiator: onevolume.IQN(s.Initiator), Address: address})
		}
	}
	return exports, sessions, nil
}

// Grown maps the unit anew, in which nobody is logged in.
func (t *target) Grown(ctx context.Context, o *linux.Op, u linux.Unit) error {
	now, err := t.look(ctx, o)
	if err != nil {
		return err
	}
	mine := now.find(t.iqn(u.ID))
	if mine == nil {
		return nil
	}
	if mine.Paths[0] != "" {
		if err := t.ietadm(ctx, o, "--op", "delete", fmt.Sprintf("--tid=%d", mine.TID), "--lun="+lun); err != nil {
			return err
		}
	}
	return t.mapped(ctx, o, u, mine.TID)
}
