package store

import (
	"context"
	"database/sql"
	"errors"

	"onevolume"
)

// Hold says why the inventory is held, or nothing when it is not. After a
// restore it does not know what was attached since the backup: such a volume
// looks free, and would be given to another, or wiped. Until Lift, Reserve
// refuses to attach, and to detach and wipe.
func (s *Store) Hold(ctx context.Context) (reason string, err error) {
	err = s.persist(ctx, "asking whether the inventory is held", func() error {
		reason, err = held(ctx, s.db)
		return err
	})
	return reason, err
}

// held reads the reason of the hold.
func held(ctx context.Context, q querier) (reason string, err error) {
	err = q.QueryRowContext(ctx, "SELECT detail FROM one_volume_control WHERE name = 'hold'").Scan(&reason)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return reason, err
}

// refuseHeld refuses what could lose data while the inventory is held.
func (s *Store) refuseHeld(ctx context.Context, q querier, kind onevolume.Kind, leave onevolume.Leave) error {
	if kind == onevolume.Replug || kind == onevolume.Release || kind == onevolume.Fence || kind == onevolume.Migrate || kind == onevolume.Grow || kind == onevolume.Detach && leave == onevolume.LeaveData {
		return nil // gives it to nobody else, and writes nothing to it
	}
	reason, err := held(ctx, q)
	if err != nil || reason == "" {
		return err
	}
	what := "Nothing is attached now"
	if kind == onevolume.Detach {
		what = "Nothing is wiped now"
	}
	return onevolume.Errorf(onevolume.Action, "%s: the inventory is held: %s", what, reason).
		WithHint("an administrator compares the inventory with all hosts by onevolume doctor, which lifts the hold")
}

// Lift ends the hold. Without one it does nothing.
func (s *Store) Lift(ctx context.Context) error {
	return s.write(ctx, "lifting the hold on the inventory", func(tx *transaction) error {
		err := changed(tx.ExecContext(ctx, "DELETE FROM one_volume_control WHERE name = 'hold'"))
		if errors.Is(err, errLost) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.asked(ctx, tx, onevolume.Deed{Volume: onevolume.NoVolume, VM: onevolume.NoVM, Result: "ok"})
	})
}
