package onevolume

// Quotas limit how many volumes a user or a group may own and how much they
// may hold together, as OpenNebula's quotas limit images. What is used is
// what the volumes' rows add up to; nobody keeps count.

// QuotaKind says whose quota is meant. Its values are words of the wire.
type QuotaKind string

// The kinds of quotas. The defaults are for users and groups that have no
// limits of their own, as oned's DEFAULT_USER_QUOTAS.
const (
	UserQuota         QuotaKind = "USER"
	GroupQuota        QuotaKind = "GROUP"
	DefaultUserQuota  QuotaKind = "DEFAULT_USER"
	DefaultGroupQuota QuotaKind = "DEFAULT_GROUP"
)

// ParseQuotaKind reads a kind's word; its error has the code Invalid.
func ParseQuotaKind(s string) (QuotaKind, error) {
	switch k := QuotaKind(s); k {
	case UserQuota, GroupQuota, DefaultUserQuota, DefaultGroupQuota:
		return k, nil
	}
	return "", Errorf(Invalid, "no such kind of quota: %q", s).WithHint("there are USER, GROUP, DEFAULT_USER and DEFAULT_GROUP")
}

// Default says whether the kind is one of the defaults.
func (k QuotaKind) Default() bool { return k == DefaultUserQuota || k == DefaultGroupQuota }

// DefaultID stands where the quota is a default and so of nobody.
const DefaultID = -1

// QuotaOf names whose quota is meant. ID is a user's or a group's, and
// DefaultID for the defaults.
type QuotaOf struct {
	Kind QuotaKind
	ID   int
}

// Limits that are no number, as oned has them (Quotas.h). A default of
// DefaultLimit limits nothing either.
const (
	DefaultLimit = -1
	Unlimited    = -2
)

// Limits are the most that may be owned: the number of volumes, and their
// sizes together in MB. 0 allows nothing.
type Limits struct {
	Volumes int64
	SizeMB  int64
}

// NoLimits are those of whoever has none of their own.
func NoLimits() Limits { return Limits{DefaultLimit, DefaultLimit} }

// Over gives the limits that count: the defaults where there is none of its
// own, and Unlimited where there is none at all.
func (l Limits) Over(defaults Limits) Limits {
	pick := func(own, otherwise int64) int64 {
		if own == DefaultLimit {
			own = otherwise
		}
		if own < 0 {
			return Unlimited
		}
		return own
	}
	return Limits{pick(l.Volumes, defaults.Volumes), pick(l.SizeMB, defaults.SizeMB)}
}

// Usage is what somebody owns.
type Usage struct {
	Volumes int64
	Size    Size
}

// Exceeded says which limit somebody would be above who owns used and gets
// more, in the word that oned's text has for it, and the limit; an empty word
// for none. What they get nothing of is not looked at: a limit that was
// lowered below what somebody owns takes nothing away. l must be what Over
// gives.
func (l Limits) Exceeded(used, more Usage) (metric string, limit int64) {
	switch {
	case l.Volumes >= 0 && more.Volumes > 0 && used.Volumes+more.Volumes > l.Volumes:
		return "VOLUMES", l.Volumes
	// Compared in MB, rounded up: a limit may be larger than any Size.
	case l.SizeMB >= 0 && more.Size > 0 && (used.Size+more.Size).MB() > l.SizeMB:
		return "SIZE", l.SizeMB
	}
	return "", 0
}

// Quota is somebody's limits beside what they own.
type Quota struct {
	Of       QuotaOf
	Limits   Limits
	Defaults Limits
	// Used is empty for the defaults.
	Used Usage
}
