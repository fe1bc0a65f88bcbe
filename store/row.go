package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"onevolume"
)

const volumeTable = "one_volume"

// volumeColumns are what is known of a volume, in the order of scanVolume and
// of row.values.
const volumeColumns = "oid, name, home_name, " +
	"iqn, lun, portals, chap_user, chap_secret, chap_user_in, chap_secret_in, " +
	"size, unit_serial, wwid, array_name, status, reason, " +
	"uid, gid, uname, gname, home_uid, home_gid, home_uname, home_gname, permissions, " +
	"lock_level, lock_uid, lock_time, disabled, array_id, " +
	"vm_id, host, device, source, serial, attributes, operation, regtime, modtime, version"

// derivedColumns follow from the others and are only written: see derived.
const (
	derivedColumns = "group_use, others_use"
	writtenColumns = volumeColumns + ", " + derivedColumns
)

// row is a volume with what only the database knows of it.
type row struct {
	onevolume.Volume
	homeName string
	// The secrets as they were read. They are written back as they are when
	// they did not change: sealing again would only wear the key.
	read             onevolume.CHAP
	sealed, sealedIn string
	readVersion      int
	// was are the values of the row as it was read in a transaction, to write
	// back only what changed; nil when it was read outside of one.
	was []any
}

// scanner is *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// scanVolume reads a row and opens its secrets.
func (s *Store) scanVolume(from scanner) (row, error) {
	var r row
	var portals, attributes string
	var registered, modified, locked int64
	v := &r.Volume
	err := from.Scan(&v.ID, &v.Name, &r.homeName,
		&v.Target.IQN, &v.Target.LUN, &portals, &v.Target.CHAP.User, &r.sealed, &v.Target.CHAP.UserIn, &r.sealedIn,
		&v.Size, &v.Identity.Serial, &v.Identity.WWID, &v.Array, &v.State, &v.Reason,
		&v.Owner.UID, &v.Owner.GID, &v.Owner.User, &v.Owner.Group,
		&v.Home.UID, &v.Home.GID, &v.Home.User, &v.Home.Group, &v.Permissions,
		&v.Lock.Level, &v.Lock.UID, &locked, &v.Disabled, &v.ArrayID,
		&v.Attachment.VM, &v.Attachment.Host, &v.Attachment.Device, &v.Attachment.Source, &v.Attachment.Serial,
		&attributes, &v.Operation, &registered, &modified, &v.Version)
	if err != nil {
		return r, err
	}
	v.Registered, v.Modified, r.readVersion = fromMillis(registered), fromMillis(modified), v.Version
	v.Lock.Time = fromMillis(locked)
	if v.Lock.Level == onevolume.NoLock {
		v.Lock = onevolume.Lock{}
	}
	if v.Target.Portals, err = onevolume.ParsePortals(portals); err != nil {
		return r, fmt.Errorf("volume %d: portals in the database: %w", v.ID, err)
	}
	if attributes == "{}" {
		// Most have none.
	} else if err := json.Unmarshal([]byte(attributes), &v.Attributes); err != nil {
		return r, fmt.Errorf("volume %d: attributes in the database: %w", v.ID, err)
	}
	if len(v.Attributes) == 0 {
		v.Attributes = nil
	}
	return r, s.openSecrets(&r)
}

func (s *Store) openSecrets(r *row) error {
	var err error
	c := &r.Target.CHAP
	if c.Secret, err = s.seal.open(r.sealed, place(volumeTable, r.ID, "chap_secret")); err != nil {
		return fmt.Errorf("volume %d: %w", r.ID, err)
	}
	if c.SecretIn, err = s.seal.open(r.sealedIn, place(volumeTable, r.ID, "chap_secret_in")); err != nil {
		return fmt.Errorf("volume %d: %w", r.ID, err)
	}
	r.read = *c
	return nil
}

// derived are what derivedColumns hold.
func (r *row) derived() []any {
	may := func(of onevolume.Right) int {
		if int(r.Permissions)&int(of) == 0 {
			return 0
		}
		return 1
	}
	return []any{may(onevolume.Use << 3), may(onevolume.Use)}
}

// values are what volumeColumns and derivedColumns hold.
func (s *Store) values(r *row) ([]any, error) {
	v := &r.Volume
	attributes := "{}"
	if len(v.Attributes) > 0 {
		b, err := json.Marshal(v.Attributes)
		if err != nil {
			return nil, fmt.Errorf("volume %d: attributes: %w", v.ID, err)
		}
		attributes = string(b)
	}
	lock, disabled := v.Lock, 0
	if lock.Level == onevolume.NoLock {
		lock.UID = -1
	}
	if v.Disabled {
		disabled = 1
	}
	c := v.Target.CHAP
	if r.sealed == "" || c.Secret != r.read.Secret {
		r.sealed = s.seal.seal(c.Secret, place(volumeTable, v.ID, "chap_secret"))
	}
	if r.sealedIn == "" || c.SecretIn != r.read.SecretIn {
		r.sealedIn = s.seal.seal(c.SecretIn, place(volumeTable, v.ID, "chap_secret_in"))
	}
	return append([]any{int(v.ID), v.Name, r.homeName,
		string(v.Target.IQN), int(v.Target.LUN), onevolume.JoinPortals(v.Target.Portals), c.User, r.sealed, c.UserIn, r.sealedIn,
		int64(v.Size), v.Identity.Serial, v.Identity.WWID, v.Array, string(v.State), v.Reason,
		v.Owner.UID, v.Owner.GID, v.Owner.User, v.Owner.Group,
		v.Home.UID, v.Home.GID, v.Home.User, v.Home.Group, int(v.Permissions),
		int(lock.Level), lock.UID, millis(lock.Time), disabled, v.ArrayID,
		int(v.Attachment.VM), v.Attachment.Host, v.Attachment.Device, v.Attachment.Source, v.Attachment.Serial,
		attributes, v.Operation, millis(v.Registered), millis(v.Modified), v.Version}, r.derived()...), nil
}

// insert writes a new row.
func (s *Store) insert(ctx context.Context, tx *transaction, r *row) error {
	values, err := s.values(r)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO one_volume ("+writtenColumns+") VALUES ("+marks(len(values))+")", values...)
	if err == nil {
		tx.wrote(r)
	}
	return err
}

// written are the columns of values.
var written = strings.Split(writtenColumns, ", ")

// save writes a row back if it still is the one that was read, else it fails
// with errLost. It names only the columns that changed: the others' indexes,
// which SQLite would write anew even with the same content, stay as they are.
func (s *Store) save(ctx context.Context, tx *transaction, r *row, now time.Time) error {
	r.Version, r.Modified = r.readVersion+1, now
	values, err := s.values(r)
	if err != nil {
		return err
	}
	set, args := "", make([]any, 0, len(values)+2)
	for i, v := range values {
		if r.was == nil || v != r.was[i] {
			set, args = set+", "+written[i]+" = ?", append(args, v)
		}
	}
	err = changed(tx.ExecContext(ctx, "UPDATE one_volume SET "+set[2:]+" WHERE oid = ? AND version = ?", append(args, int(r.ID), r.readVersion)...))
	if err == nil {
		r.readVersion, r.read, r.was = r.Version, r.Target.CHAP, values
		tx.wrote(r)
	}
	return err
}

// remember makes save write only what changes from now on, when the row was
// read in a transaction.
func (s *Store) remember(q querier, r *row) error {
	if _, ok := q.(*transaction); !ok {
		return nil
	}
	var err error
	r.was, err = s.values(r)
	return err
}

// get reads one volume. Its error has the code NotFound when there is none.
func (s *Store) get(ctx context.Context, q querier, id onevolume.VolumeID) (row, error) {
	r, err := s.scanVolume(q.QueryRowContext(ctx, "SELECT "+volumeColumns+" FROM one_volume WHERE oid = ?", int(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return r, onevolume.Missing("volume", int(id))
	}
	if err == nil {
		err = s.remember(q, &r)
	}
	return r, err
}

// list reads the volumes that a query with volumeColumns finds.
func (s *Store) list(ctx context.Context, q querier, query string, args ...any) (found []row, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r, err := s.scanVolume(rows)
		if err == nil {
			err = s.remember(q, &r)
		}
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}
