package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"onevolume"
)

const quotaColumns = "kind, oid, volumes, size, version"

// quotaKey is a row's: the defaults are those of user or group -1.
func quotaKey(of onevolume.QuotaOf) (kind string, id int) {
	switch of.Kind {
	case onevolume.DefaultUserQuota:
		return string(onevolume.UserQuota), onevolume.DefaultID
	case onevolume.DefaultGroupQuota:
		return string(onevolume.GroupQuota), onevolume.DefaultID
	}
	return string(of.Kind), of.ID
}

// ownerColumn is the column of one_volume that a kind of quota counts by.
func ownerColumn(k onevolume.QuotaKind) string {
	if k == onevolume.GroupQuota {
		return "gid"
	}
	return "uid"
}

// readLimits reads somebody's own limits and the defaults.
func readLimits(ctx context.Context, q querier, of onevolume.QuotaOf) (own, defaults onevolume.Limits, err error) {
	own, defaults = onevolume.NoLimits(), onevolume.NoLimits()
	kind, id := quotaKey(of)
	rows, err := q.QueryContext(ctx, "SELECT oid, volumes, size FROM one_volume_quota WHERE kind = ? AND oid IN (?, ?)", kind, onevolume.DefaultID, id)
	if err != nil {
		return own, defaults, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var oid int
		var l onevolume.Limits
		if err := rows.Scan(&oid, &l.Volumes, &l.SizeMB); err != nil {
			return own, defaults, err
		}
		if oid == onevolume.DefaultID {
			defaults = l
		}
		if oid == id {
			own = l
		}
	}
	return own, defaults, rows.Err()
}

// used adds up what a user or a group owns.
func used(ctx context.Context, q querier, of onevolume.QuotaOf) (u onevolume.Usage, err error) {
	err = q.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM one_volume WHERE "+ownerColumn(of.Kind)+" = ?", of.ID).
		Scan(&u.Volumes, &u.Size)
	return u, err
}

// Quota reads somebody's limits, the defaults, and what they own.
func (s *Store) Quota(ctx context.Context, of onevolume.QuotaOf) (quota onevolume.Quota, err error) {
	err = s.persist(ctx, fmt.Sprintf("reading the quota of %s %d", of.Kind, of.ID), func() error {
		quota = onevolume.Quota{Of: of}
		var err error
		if quota.Limits, quota.Defaults, err = readLimits(ctx, s.db, of); err == nil && !of.Kind.Default() {
			quota.Used, err = used(ctx, s.db, of)
		}
		return err
	})
	return quota, err
}

// SetLimits changes somebody's limits, or the defaults. It takes nothing from
// those who own more already. A transaction that began before may still give
// them a volume by the old limits. The error of change is returned as it is.
func (s *Store) SetLimits(ctx context.Context, of onevolume.QuotaOf, change func(*onevolume.Limits) error) error {
	kind, id := quotaKey(of)
	if id == onevolume.DefaultID != of.Kind.Default() || id < onevolume.DefaultID {
		return onevolume.Errorf(onevolume.Invalid, "There is no quota of %s %d.", of.Kind, of.ID)
	}
	var own error // change's
	err := s.write(ctx, fmt.Sprintf("setting the quota of %s %d", of.Kind, of.ID), func(tx *transaction) error {
		if err := lineUp(ctx, tx, of); err != nil {
			return err
		}
		l, _, err := readLimits(ctx, tx, of)
		if err != nil {
			return err
		}
		if own = change(&l); own != nil {
			return errStop
		}
		_, err = tx.ExecContext(ctx, "UPDATE one_volume_quota SET volumes = ?, size = ? WHERE kind = ? AND oid = ?", l.Volumes, l.SizeMB, kind, id)
		if err != nil {
			return err
		}
		return s.asked(ctx, tx, onevolume.Deed{Volume: onevolume.NoVolume, VM: onevolume.NoVM, Result: "ok"})
	})
	if errors.Is(err, errStop) {
		return own
	}
	return err
}

// lineUp makes transactions that give something to the same owner wait for
// each other: it writes the quota's row, which stays locked until the
// transaction ends, so that whoever comes next reads what this one gave. On
// Galera, where each node locks for itself, the second fails at COMMIT and
// runs again. Rows are never deleted, else two could make the same one anew
// and not meet.
func lineUp(ctx context.Context, tx querier, of onevolume.QuotaOf) error {
	kind, id := quotaKey(of)
	err := changed(tx.ExecContext(ctx, "UPDATE one_volume_quota SET version = version + 1 WHERE kind = ? AND oid = ?", kind, id))
	if !errors.Is(err, errLost) {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO one_volume_quota ("+quotaColumns+") VALUES ("+marks(5)+")",
		kind, id, onevolume.DefaultLimit, onevolume.DefaultLimit, 1)
	if troubleOf(err) == duplicate {
		return errLost // somebody made it in between
	}
	return err
}

// gain is what a volume that changes from one row to another adds to a user's
// or a group's.
type gain struct {
	of onevolume.QuotaOf
	onevolume.Usage
}

// gains lists what the owner and the group of a volume have more of
// afterwards. before is nil for a new volume. As with oned, user 0 and group 0
// have no limits; and what somebody of oneadmin's group registers limits
// nobody: a logical unit must be known before it can be given to anyone.
func gains(before, after *onevolume.Volume) []gain {
	if before == nil && after.Owner.GID == 0 {
		return nil
	}
	whole, grown := onevolume.Usage{Volumes: 1, Size: after.Size}, onevolume.Usage{}
	if before != nil && after.Size > before.Size {
		grown.Size = after.Size - before.Size
	}
	user := gain{onevolume.QuotaOf{Kind: onevolume.UserQuota, ID: after.Owner.UID}, grown}
	if before == nil || before.Owner.UID != after.Owner.UID {
		user.Usage = whole
	}
	group := gain{onevolume.QuotaOf{Kind: onevolume.GroupQuota, ID: after.Owner.GID}, grown}
	if before == nil || before.Owner.GID != after.Owner.GID {
		group.Usage = whole
	}
	return slices.DeleteFunc([]gain{user, group}, func(g gain) bool { return g.of.ID == 0 || g.Usage == onevolume.Usage{} })
}

// admit refuses a change by which a user or a group would own more than their
// quota allows, with the code Forbidden and in oned's words. It comes before
// the volume's row is written. With holding, those who are limited line up
// until the transaction ends; without, the answer is for now only.
func admit(ctx context.Context, q querier, holding bool, who int, before, after *onevolume.Volume) error {
	unlimited := onevolume.Limits{Volumes: onevolume.Unlimited, SizeMB: onevolume.Unlimited}
	for _, g := range gains(before, after) {
		limits, err := limitsOf(ctx, q, g.of)
		if err == nil && holding && limits != unlimited {
			if err = lineUp(ctx, q, g.of); err == nil {
				limits, err = limitsOf(ctx, q, g.of)
			}
		}
		if err != nil {
			return err
		}
		if limits == unlimited {
			continue
		}
		sum, err := used(ctx, q, g.of)
		if err != nil {
			return err
		}
		if metric, limit := limits.Exceeded(sum, g.Usage); metric != "" {
			return onevolume.Errorf(onevolume.Forbidden, "User [%d] : %s [%d] limit of %d reached for %s quota in VOLUME.",
				who, strings.ToLower(string(g.of.Kind)), g.of.ID, limit, metric).
				WithHint("it owns %d volumes of %s together, and this is one of %s; oneadmin's group sets quotas", sum.Volumes, sum.Size, after.Size)
		}
	}
	return nil
}

// limitsOf are the limits that count for somebody.
func limitsOf(ctx context.Context, q querier, of onevolume.QuotaOf) (onevolume.Limits, error) {
	own, defaults, err := readLimits(ctx, q, of)
	return own.Over(defaults), err
}

// asking is the user who asks, or, when the context carries no ask, the one
// who would own the volume.
func asking(ctx context.Context, v *onevolume.Volume) int {
	if ask, ok := onevolume.AskOf(ctx); ok {
		return ask.By.UID
	}
	return v.Owner.UID
}
