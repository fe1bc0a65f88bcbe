package inventory_test

import (
	"context"
	"testing"

	"onevolume"
)

// town knows alice, her group, and nobody else. Like oned it takes -1 for
// whoever asks.
type town struct{}

func (town) UserName(_ context.Context, _ string, uid int) (string, error) {
	if uid == alice.UID || uid == -1 {
		return alice.User, nil
	}
	return "", onevolume.Missing("user", uid)
}

func (town) GroupName(_ context.Context, _ string, gid int) (string, error) {
	if gid == alice.GID || gid == -1 {
		return alice.Group, nil
	}
	return "", onevolume.Missing("group", gid)
}

func (town) MayManageUser(context.Context, string, int) error { return nil }

func TestQuotaRights(t *testing.T) {
	b := newBench(t)
	b.People = town{}
	ctx := t.Context()
	of := func(kind onevolume.QuotaKind, id int) onevolume.QuotaOf { return onevolume.QuotaOf{Kind: kind, ID: id} }
	const user, group, everyUser, everyGroup = onevolume.UserQuota, onevolume.GroupQuota, onevolume.DefaultUserQuota, onevolume.DefaultGroupQuota
	for _, c := range []struct {
		who onevolume.Caller
		of  onevolume.QuotaOf
		is  onevolume.QuotaOf // who is meant; an empty kind when it may not be seen
	}{
		{alice, of(user, -1), of(user, 5)},
		{alice, of(user, 5), of(user, 5)},
		{alice, of(user, 6), onevolume.QuotaOf{}},
		{alice, of(user, -2), onevolume.QuotaOf{}},
		{alice, of(group, -1), of(group, 100)},
		{alice, of(group, 100), of(group, 100)},
		{alice, of(group, 101), onevolume.QuotaOf{}},
		{alice, of(everyUser, 7), of(everyUser, -1)},
		{bob, of(everyGroup, -1), of(everyGroup, -1)},
		{admin, of(user, 6), of(user, 6)},
		{admin, of(group, 101), of(group, 101)},
		{root, of(user, -1), of(user, 0)},
		{root, of(user, 12345), of(user, 12345)},
	} {
		q, err := b.Quota(ctx, c.who, c.of)
		switch {
		case c.is.Kind == "":
			b.wants(err, onevolume.Forbidden, "Not authorized to perform USE")
		case err != nil || q.Of != c.is:
			t.Errorf("%s sees %+v of %+v, %v; want %+v", c.who.User, q, c.of, err, c.is)
		}
	}
	_, err := b.Quota(ctx, root, of(user, -2))
	b.wants(err, onevolume.NotFound)

	const text = "VOLUME = [ VOLUMES = 3, SIZE = 1024 ]"
	b.wants(b.SetQuota(ctx, alice, "s", of(user, 5), text), onevolume.Forbidden, "User [5] : Not authorized to perform ADMIN USER [5].")
	b.wants(b.SetQuota(ctx, admin, "s", of(user, 6), text), onevolume.NotFound, "Error getting user [6].")
	b.wants(b.SetQuota(ctx, admin, "s", of(group, 6), text), onevolume.NotFound, "Error getting group [6].")
	// -1 is neither the administrator nor the default.
	b.wants(b.SetQuota(ctx, admin, "s", of(user, -1), text), onevolume.NotFound)
	b.wants(b.SetQuota(ctx, admin, "s", of(group, -1), text), onevolume.NotFound)
	for _, kind := range []onevolume.QuotaKind{everyUser, everyGroup} {
		if q, err := b.Quota(ctx, root, of(kind, -1)); err != nil || q.Limits != onevolume.NoLimits() {
			t.Errorf("%s is %+v, %v", kind, q, err)
		}
	}
	if err := b.SetQuota(ctx, admin, "s", of(group, 100), text); err != nil {
		t.Error(err)
	}
}

func TestSetQuota(t *testing.T) {
	b := newBench(t)
	b.People = town{}
	ctx, hers := t.Context(), onevolume.QuotaOf{Kind: onevolume.UserQuota, ID: alice.UID}
	for _, c := range []struct {
		text string
		want onevolume.Limits
	}{
		{"VOLUME = [ VOLUMES = 3, SIZE = 1024 ]", onevolume.Limits{Volumes: 3, SizeMB: 1024}},
		{"volume = [ size = \"-2\" ]", onevolume.Limits{Volumes: 3, SizeMB: -2}},
		{"<TEMPLATE><VOLUME><VOLUMES>0</VOLUMES></VOLUME></TEMPLATE>", onevolume.Limits{Volumes: 0, SizeMB: -2}},
		{"VOLUME = [ VOLUMES = -1, SIZE = 9223372036854775807 ]", onevolume.Limits{Volumes: -1, SizeMB: 1<<63 - 1}},
	} {
		if err := b.SetQuota(ctx, root, "s", hers, c.text); err != nil {
			t.Errorf("%s: %v", c.text, err)
		}
		if q, err := b.Quota(ctx, alice, hers); err != nil || q.Limits != c.want {
			t.Errorf("%s set %+v, %v; want %+v", c.text, q.Limits, err, c.want)
		}
	}
	before, _ := b.Quota(ctx, alice, hers)
	b.wants(b.SetQuota(ctx, root, "s", hers, "VOLUME = ["), onevolume.Internal, "Parse error")
	for text, word := range map[string]string{
		"":                        "one vector attribute VOLUME",
		"VOLUMES = 3":             "one vector attribute VOLUME",
		"VOLUME = 3":              "one vector attribute VOLUME",
		"VOLUME = [ ]":            "one vector attribute VOLUME",
		"IMAGE = [ VOLUMES = 3 ]": "one vector attribute VOLUME",
		"VOLUME = [ VOLUMES = 3 ]\nVOLUME = [ SIZE = 3 ]": "one vector attribute VOLUME",
		"VOLUME = [ CPU = 3 ]":                            "VOLUMES and SIZE, not CPU",
		"VOLUME = [ VOLUMES = 3, VOLUMES = 4 ]":           "given twice",
		"VOLUME = [ VOLUMES = -3 ]":                       `VOLUMES "-3" is no limit`,
		"VOLUME = [ SIZE = 10G ]":                         `SIZE "10G" is no limit`,
		"VOLUME = [ SIZE = 1.5 ]":                         `SIZE "1.5" is no limit`,
		"VOLUME = [ SIZE = \"\" ]":                        `SIZE "" is no limit`,
	} {
		b.wants(b.SetQuota(ctx, root, "s", hers, text), onevolume.Invalid, word)
	}
	if after, _ := b.Quota(ctx, alice, hers); after != before {
		t.Errorf("refused quotas changed %+v to %+v", before, after)
	}
}
