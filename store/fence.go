package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onevolume"
)

const (
	fenceTable   = "one_volume_fence"
	fenceColumns = "host, volume, time, operation, vm_id, vm_hypervisor, vm_deploy_id, iqn, lun, portals, source"
)

// Fences lists the hosts that were cut off from volumes and are not clean yet,
// by host and volume.
func (s *Store) Fences(ctx context.Context) (list []onevolume.FenceRecord, err error) {
	err = s.persist(ctx, "listing fenced hosts", func() error {
		list, err = fences(ctx, s.db, "")
		return err
	})
	return list, err
}

func fences(ctx context.Context, q querier, where string, args ...any) (list []onevolume.FenceRecord, err error) {
	rows, err := q.QueryContext(ctx, "SELECT "+fenceColumns+" FROM "+fenceTable+where+" ORDER BY host, volume", args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var f onevolume.FenceRecord
		var at int64
		var portals string
		err := rows.Scan(&f.Host, &f.Volume, &at, &f.Operation, &f.VM.ID, &f.VM.Hypervisor, &f.VM.DeployID, &f.Target.IQN, &f.Target.LUN, &portals, &f.Source)
		if err == nil {
			f.Target.Portals, err = onevolume.ParsePortals(portals)
		}
		if err != nil {
			return nil, fmt.Errorf("a record of a fenced host: %w", err)
		}
		f.Since, f.VM.Host = fromMillis(at), f.Host
		list = append(list, f)
	}
	return list, rows.Err()
}

// OnHost lists the volumes that are on record on a host, whatever their state,
// for the daemon itself.
func (s *Store) OnHost(ctx context.Context, host string) (list []onevolume.Volume, err error) {
	err = s.persist(ctx, "listing the volumes on host "+host, func() error {
		found, err := s.list(ctx, s.read, "SELECT "+volumeColumns+" FROM one_volume WHERE host = ? ORDER BY oid", host)
		list = nil
		for i := range found {
			list = append(list, found[i].Volume)
		}
		return err
	})
	return list, err
}

// putFence puts on record that the operation's host was cut off from a volume.
func putFence(ctx context.Context, tx *transaction, o *operation, v *onevolume.Volume, now time.Time) error {
	// The host may have been cut off before, and not be clean since.
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+fenceTable+" WHERE host = ? AND volume = ?", o.VM.Host, int(v.ID)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+fenceTable+" ("+fenceColumns+") VALUES ("+marks(11)+")", o.VM.Host, int(v.ID), millis(now), o.ID,
		int(o.VM.ID), o.VM.Hypervisor, o.VM.DeployID, string(v.Target.IQN), int(v.Target.LUN), onevolume.JoinPortals(v.Target.Portals), v.Attachment.Source)
	return err
}

// Clean takes the record away: the host has been cleaned of the volume that it
// was cut off from by that operation. It may be repeated.
func (s *Store) Clean(ctx context.Context, f onevolume.FenceRecord) error {
	return s.write(ctx, fmt.Sprintf("noting that host %s is clean of volume %d", f.Host, f.Volume), func(tx *transaction) error {
		err := changed(tx.ExecContext(ctx, "DELETE FROM "+fenceTable+" WHERE host = ? AND volume = ? AND operation = ?", f.Host, int(f.Volume), f.Operation))
		if errors.Is(err, errLost) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.deed(ctx, tx, onevolume.Deed{Ask: onevolume.Ask{By: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, From: "onevolumed", Action: "clean", Text: "host " + f.Host},
			Volume: f.Volume, VM: f.VM.ID, Operation: f.Operation, Result: "ok"})
	})
}

// refuseFenced refuses what would use a host that was cut off from volumes and
// is not clean of them.
func refuseFenced(ctx context.Context, q querier, r onevolume.Request) error {
	host := r.VM.Host
	switch r.Kind {
	case onevolume.Attach, onevolume.Replug, onevolume.Detach:
	case onevolume.Migrate:
		host = r.Destination
	default:
		return nil
	}
	list, err := fences(ctx, q, " WHERE host = ?", host)
	if err != nil || len(list) == 0 {
		return err
	}
	return onevolume.Errorf(onevolume.Action, "Host %s was fenced at %s: it was cut off from volume %d, and has not been cleaned of it.",
		host, list[0].Since.Format(time.RFC3339), list[0].Volume).
		WithHint("the daemon cleans it as soon as oned has it in sight again, and its log tells what is in the way; see: onevolume fence")
}

// mergeFences adds what a backup says to what is there: a host that was fenced
// by either may not be clean.
func mergeFences(ctx context.Context, file *Store, tx *transaction) error {
	is, err := fences(ctx, tx, "")
	if err != nil {
		return err
	}
	type key struct {
		host   string
		volume onevolume.VolumeID
	}
	there := map[key]bool{}
	for _, f := range is {
		there[key{f.Host, f.Volume}] = true
	}
	from, err := fences(ctx, file.db, "")
	if err != nil {
		return file.reading(readError{err})
	}
	for _, f := range from {
		if there[key{f.Host, f.Volume}] {
			continue
		}
		o := &operation{Operation: onevolume.Operation{ID: f.Operation, VM: f.VM}}
		v := onevolume.Volume{ID: f.Volume, Target: f.Target, Attachment: onevolume.Attachment{Source: f.Source}}
		if err := putFence(ctx, tx, o, &v, f.Since); err != nil {
			return err
		}
	}
	return nil
}
