package inventory

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/template"
)

// quotaStore keeps limits, and adds up what is owned (package store).
type quotaStore interface {
	Quota(ctx context.Context, of onevolume.QuotaOf) (onevolume.Quota, error)
	SetLimits(ctx context.Context, of onevolume.QuotaOf, change func(*onevolume.Limits) error) error
}

// own puts the caller, or the caller's primary group, in the place of -1.
func own(who onevolume.Caller, of onevolume.QuotaOf) onevolume.QuotaOf {
	switch {
	case of.Kind.Default():
		of.ID = onevolume.DefaultID
	case of.ID == -1 && of.Kind == onevolume.UserQuota:
		of.ID = who.UID
	case of.ID == -1:
		of.ID = who.GID
	}
	return of
}

// Quota gives somebody's limits and what they own. An id of -1 means the
// caller, or the caller's primary group. Callers see their own and their
// groups' quotas and the defaults, administrators all. Codes: Forbidden,
// Invalid.
func (s *Service) Quota(ctx context.Context, who onevolume.Caller, of onevolume.QuotaOf) (onevolume.Quota, error) {
	of = own(who, of)
	sees := who.IsAdmin() || of.Kind.Default()
	switch of.Kind {
	case onevolume.UserQuota:
		sees = sees || of.ID == who.UID
	case onevolume.GroupQuota:
		sees = sees || slices.Contains(who.Groups, of.ID)
	}
	if !sees {
		return onevolume.Quota{}, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform USE %s [%d].", who.UID, of.Kind, of.ID)
	}
	if of.ID < 0 && !of.Kind.Default() {
		return onevolume.Quota{}, onevolume.Missing(strings.ToLower(string(of.Kind)), of.ID)
	}
	return s.Store.Quota(ctx, of)
}

// SetQuota sets limits by a template as oned's quotas have it:
//
//	VOLUME = [ VOLUMES = 10, SIZE = 204800 ]
//
// with the number of volumes and their size together in MB, -1 for the
// default and -2 for no limit; what is not named stays. Only administrators
// may. Codes: Forbidden, NotFound (no such user or group), Internal (template
// syntax, as oned), Invalid (a value).
func (s *Service) SetQuota(ctx context.Context, who onevolume.Caller, session string, of onevolume.QuotaOf, text string) error {
	if !who.IsAdmin() {
		return onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN %s [%d].", who.UID, of.Kind, of.ID).
			WithHint("only oneadmin's group sets quotas")
	}
	set, err := parseLimits(text)
	if err != nil {
		return err
	}
	switch {
	case of.Kind.Default():
		of.ID = onevolume.DefaultID
	case of.ID < 0: // oned would take it for the caller's own
		err = onevolume.Missing(strings.ToLower(string(of.Kind)), of.ID)
	case of.Kind == onevolume.UserQuota:
		_, err = s.People.UserName(ctx, session, of.ID)
	default:
		_, err = s.People.GroupName(ctx, session, of.ID)
	}
	if err != nil {
		return err
	}
	return s.Store.SetLimits(ctx, of, func(l *onevolume.Limits) error {
		for key, field := range map[string]*int64{"VOLUMES": &l.Volumes, "SIZE": &l.SizeMB} {
			if n, ok := set[key]; ok {
				*field = n
			}
		}
		return nil
	})
}

// parseLimits reads the template of a quota.
func parseLimits(text string) (map[string]int64, error) {
	list, err := template.Parse(text)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Internal, "Parse error: %w", err)
	}
	bad := func(format string, args ...any) (map[string]int64, error) {
		return nil, onevolume.Errorf(onevolume.Invalid, format, args...).WithHint("write VOLUME = [ VOLUMES = 10, SIZE = 204800 ], the size in MB")
	}
	if len(list) != 1 || list[0].Key != "VOLUME" || len(list[0].Vector) == 0 {
		return bad("a quota is one vector attribute VOLUME")
	}
	set := map[string]int64{}
	for _, p := range list[0].Vector {
		n, err := strconv.ParseInt(p.Value, 10, 64)
		_, twice := set[p.Key]
		switch {
		case p.Key != "VOLUMES" && p.Key != "SIZE":
			return bad("a quota of volumes limits VOLUMES and SIZE, not %s", p.Key)
		case twice:
			return bad("%s is given twice", p.Key)
		case err != nil || n < onevolume.Unlimited:
			return bad("%s %q is no limit: it must be a whole number from 0 up, -1 (the default) or -2 (unlimited)", p.Key, p.Value)
		}
		set[p.Key] = n
	}
	return set, nil
}
