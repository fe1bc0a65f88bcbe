package store

import (
	"context"
	"errors"
	"fmt"

	"onevolume"
)

const labelTable = "one_volume_label"

// VMs that show their volumes to onevm's users: package labels keeps them so.
// A row is written before the VM's template is, and goes when the template
// surely shows nothing any more, so that a label is never forgotten.

// Labelled lists, in order, the VMs that have volumes or may show some.
func (s *Store) Labelled(ctx context.Context) (list []onevolume.VMID, err error) {
	err = s.persist(ctx, "listing VMs with volumes", func() error {
		list, err = vmIDs(ctx, s.db, "SELECT vm_id FROM "+labelTable+" UNION SELECT vm_id FROM one_volume WHERE vm_id >= 0 ORDER BY vm_id")
		return err
	})
	return list, err
}

// vmIDs reads a query of one column of ids.
func vmIDs(ctx context.Context, q querier, query string, args ...any) (list []onevolume.VMID, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id onevolume.VMID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, rows.Err()
}

// VolumesIn lists the volumes on record in a VM, by their ids.
func (s *Store) VolumesIn(ctx context.Context, vm onevolume.VMID) (list []onevolume.Volume, err error) {
	err = s.persist(ctx, "listing the volumes of a VM", func() error {
		found, err := s.list(ctx, s.read, "SELECT "+volumeColumns+" FROM one_volume WHERE vm_id = ? ORDER BY oid", int(vm))
		list = nil
		for i := range found {
			list = append(list, found[i].Volume)
		}
		return err
	})
	return list, err
}

// SetLabelled notes that a VM may show volumes from now on, or that it shows
// none any more. It may be repeated, and then writes nothing.
func (s *Store) SetLabelled(ctx context.Context, vm onevolume.VMID, may bool) error {
	doing := fmt.Sprintf("noting whether VM %d shows volumes", vm)
	var is bool
	err := s.persist(ctx, doing, func() error {
		list, err := vmIDs(ctx, s.db, "SELECT vm_id FROM "+labelTable+" WHERE vm_id = ?", int(vm))
		is = len(list) > 0
		return err
	})
	if err != nil || is == may {
		return err
	}
	return s.write(ctx, doing, func(tx *transaction) error {
		if !may {
			_, err := tx.ExecContext(ctx, "DELETE FROM "+labelTable+" WHERE vm_id = ?", int(vm))
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO "+labelTable+" (vm_id) VALUES (?)", int(vm))
		if troubleOf(err) == duplicate {
			return nil // another daemon noted it in between
		}
		return err
	})
}

// mergeLabels adds the VMs of a backup to those there: any of them may show
// volumes.
func mergeLabels(ctx context.Context, file *Store, tx *transaction) error {
	query := "SELECT vm_id FROM " + labelTable + " ORDER BY vm_id"
	is, err := vmIDs(ctx, tx, query)
	if err != nil {
		return err
	}
	there := map[onevolume.VMID]bool{}
	for _, vm := range is {
		there[vm] = true
	}
	from, err := vmIDs(ctx, file.db, query)
	if err != nil {
		return file.reading(readError{err})
	}
	for _, vm := range from {
		if there[vm] {
			continue
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+labelTable+" (vm_id) VALUES (?)", int(vm)); err != nil {
			return err
		}
	}
	return nil
}
