package xmlrpc_test

import (
	"testing"

	"onevolume"
)

// The documents are oned's: a user's with the quota and the defaults, the
// defaults alone.
func TestQuotaMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, hers := w.client(asRoot), w.client(asAlice)
	ctx := t.Context()
	of := func(kind onevolume.QuotaKind, id int) onevolume.QuotaOf { return onevolume.QuotaOf{Kind: kind, ID: id} }
	w.given("first") // 64 MB
	for _, set := range []struct {
		of   onevolume.QuotaOf
		text string
	}{
		{of(onevolume.DefaultUserQuota, -1), "VOLUME = [ VOLUMES = 9, SIZE = 9000 ]"},
		{of(onevolume.DefaultGroupQuota, -1), "VOLUME = [ SIZE = -2 ]"},
		{of(onevolume.UserQuota, alice.UID), "VOLUME = [ VOLUMES = 1 ]"},
	} {
		if err := c.SetQuota(ctx, set.of, set.text); err != nil {
			t.Fatal(err)
		}
	}
	text, err := hers.QuotaXML(ctx, of(onevolume.UserQuota, -1))
	if want := "<USER><ID>5</ID><VOLUME_QUOTA><VOLUME><SIZE>-1</SIZE><SIZE_USED>64</SIZE_USED><VOLUMES>1</VOLUMES><VOLUMES_USED>1</VOLUMES_USED></VOLUME></VOLUME_QUOTA>" +
		"<DEFAULT_USER_QUOTAS><VOLUME_QUOTA><VOLUME><SIZE>9000</SIZE><VOLUMES>9</VOLUMES></VOLUME></VOLUME_QUOTA></DEFAULT_USER_QUOTAS></USER>"; err != nil || text != want {
		t.Errorf("\n got %s, %v\nwant %s", text, err, want)
	}
	text, err = hers.QuotaXML(ctx, of(onevolume.DefaultGroupQuota, -1))
	if want := "<DEFAULT_GROUP_QUOTAS><VOLUME_QUOTA><VOLUME><SIZE>-2</SIZE><VOLUMES>-1</VOLUMES></VOLUME></VOLUME_QUOTA></DEFAULT_GROUP_QUOTAS>"; err != nil || text != want {
		t.Errorf("\n got %s, %v\nwant %s", text, err, want)
	}
	for _, ask := range []onevolume.QuotaOf{of(onevolume.UserQuota, -1), of(onevolume.GroupQuota, 100), of(onevolume.DefaultUserQuota, -1)} {
		got, err := hers.Quota(ctx, ask)
		want, wantErr := w.Inventory.Quota(ctx, alice, ask)
		if err != nil || wantErr != nil || got != want {
			t.Errorf("%+v, %v over the wire, %+v, %v from the inventory", got, err, want, wantErr)
		}
	}
	_, err = hers.Quota(ctx, of(onevolume.UserQuota, bob.UID))
	w.wants(err, onevolume.Forbidden, "[one.volumequota.info] User [5] : Not authorized to perform USE USER [6].")
	_, err = hers.Quota(ctx, of("HOST", 1))
	w.wants(err, onevolume.Invalid, `no such kind of quota: "HOST"`)
	// The text that oned's users know, whoever would have given it to her.
	id, err := c.Allocate(ctx, template("second"))
	if err != nil {
		t.Fatal(err)
	}
	w.wants(c.Chown(ctx, id, alice.UID, -1), onevolume.Forbidden,
		"[one.volume.chown] User [0] : user [5] limit of 1 reached for VOLUMES quota in VOLUME.")
}
