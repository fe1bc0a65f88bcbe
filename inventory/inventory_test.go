package inventory_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"onevolume"
	"onevolume/inventory"
	"onevolume/store"
)

var (
	root  = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}, Umask: 0o177}
	admin = onevolume.Caller{Owner: onevolume.Owner{UID: 9, GID: 100, User: "eve", Group: "users"}, Groups: []int{100, 0}, Umask: 0o177}
	alice = onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: 100, User: "alice", Group: "users"}, Groups: []int{100}, Umask: 0o177}
	bob   = onevolume.Caller{Owner: onevolume.Owner{UID: 6, GID: 101, User: "bob", Group: "other"}, Groups: []int{101}, Umask: 0o177}
)

// bench is a service on a real inventory.
type bench struct {
	*testing.T
	db *store.Store
	*inventory.Service
	next int
}

func newBench(t *testing.T) *bench {
	t.Parallel()
	db, err := store.Open(t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &bench{T: t, db: db, Service: &inventory.Service{Store: db}}
}

// everything is all that a caller sees.
var everything = onevolume.Filter{Flag: -2, FirstID: -1, LastID: -1}

const (
	secret   = "the-first-secret"
	secretIn = "the-other-secret"
	chap     = "CHAP_USER = u\nCHAP_SECRET = " + secret + "\nCHAP_USER_IN = v\nCHAP_SECRET_IN = " + secretIn + "\n"
)

// text is a template of a logical unit of its own, with more lines.
func (b *bench) text(more string) string {
	b.next++
	return fmt.Sprintf("NAME = disk-%d\nIQN = \"iqn.2026-11.test:%d\"\nPORTALS = \"10.0.0.1\"\nSIZE = 64\n%s", b.next, b.next, more)
}

// given registers a volume and gives it to somebody.
func (b *bench) given(to onevolume.Caller, more string) onevolume.VolumeID {
	b.Helper()
	id, err := b.Allocate(b.Context(), root, b.text(more))
	if err != nil {
		b.Fatal(err)
	}
	err = b.db.Update(b.Context(), id, func(v *onevolume.Volume) error {
		v.Owner, v.Permissions = to.Owner, 0o600
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

func (b *bench) read(id onevolume.VolumeID) onevolume.Volume {
	b.Helper()
	v, err := b.db.Volume(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// wants asks for an error with the code, whose text has the words and none of
// the secrets.
func (b *bench) wants(err error, code onevolume.Code, words ...string) {
	b.Helper()
	if err == nil || onevolume.CodeOf(err) != code {
		b.Errorf("code %s, want %s: %v", onevolume.CodeOf(err), code, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.Errorf("no %q in %q", w, err)
		}
	}
	if strings.Contains(err.Error(), "secret-") || strings.Contains(err.Error(), "-secret") {
		b.Errorf("%q tells a secret", err)
	}
}

func TestAllocate(t *testing.T) {
	b := newBench(t)
	id, err := b.Allocate(t.Context(), root, "name = disk\nIqn = \"IQN.2026-11.test:x\"\nlun = 3\nportals = \"10.0.0.1 10.0.0.2:3261\"\n"+
		"SIZE = \"1.5G\"\nARRAY = of1\nUNIT_SERIAL = S1\nWWID = naa.1\nCOLOUR = \"deep blue\"\n"+chap)
	if err != nil {
		t.Fatal(err)
	}
	v := b.read(id)
	if v.Name != "disk" || v.Target.IQN != "iqn.2026-11.test:x" || v.Target.LUN != 3 ||
		onevolume.JoinPortals(v.Target.Portals) != "10.0.0.1:3260,10.0.0.2:3261" || v.Size != 3<<29 || v.Array != "of1" ||
		v.Identity != (onevolume.Identity{Serial: "S1", WWID: "naa.1"}) || v.State != onevolume.Available || v.Attachment.VM != onevolume.NoVM {
		t.Errorf("volume %+v", v)
	}
	if v.Target.CHAP != (onevolume.CHAP{User: "u", Secret: secret, UserIn: "v", SecretIn: secretIn}) {
		t.Error("the CHAP credentials are others")
	}
	if v.Owner != root.Owner || v.Home != root.Owner || v.Permissions != 0o600 {
		t.Errorf("owner %+v, home %+v, permissions %s", v.Owner, v.Home, v.Permissions)
	}
	if !maps.Equal(v.Attributes, map[string]string{"COLOUR": "deep blue"}) {
		t.Errorf("attributes %v", v.Attributes)
	}
	if _, err := b.Allocate(t.Context(), admin, b.text("")); err != nil {
		t.Errorf("a member of oneadmin's group: %v", err)
	}
}

func TestAllocateRefuses(t *testing.T) {
	b := newBench(t)
	b.given(root, "")
	without := func(name string) string {
		var kept []string
		for line := range strings.Lines(b.text("")) {
			if !strings.HasPrefix(line, name) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	}
	for _, c := range []struct {
		text string
		code onevolume.Code
		word string
	}{
		{without("NAME"), onevolume.Allocate, "Invalid NAME, it cannot be empty"},
		{without("IQN"), onevolume.Allocate, "No IQN in template"},
		{without("PORTALS"), onevolume.Allocate, "No PORTALS in template"},
		{without("SIZE"), onevolume.Allocate, "No SIZE in template"},
		{without("NAME") + "NAME = 17", onevolume.Allocate, "17"},
		{without("IQN") + `IQN = "disk1"`, onevolume.Invalid, "disk1"},
		{without("PORTALS") + `PORTALS = "a name"`, onevolume.Invalid, ""},
		{without("SIZE") + "SIZE = 0", onevolume.Invalid, ""},
		{b.text("LUN = x"), onevolume.Invalid, "not a number"},
		{b.text("LUN = -1"), onevolume.Invalid, ""},
		{b.text("LUN = 99999"), onevolume.Invalid, ""},
		{b.text("SIZE = 65"), onevolume.Invalid, "twice"},
		{b.text("X = [ A = 1 ]"), onevolume.Invalid, "vector"},
		{b.text("X = \"unfinished"), onevolume.Internal, ""},
		{b.text("ARRAY = \"two words\""), onevolume.Invalid, "ARRAY"},
		{b.text("CHAP_USER = u"), onevolume.Invalid, "go together"},
		{b.text("CHAP_SECRET = " + secret), onevolume.Invalid, "go together"},
		{b.text("CHAP_USER = u\nCHAP_SECRET = -secret"), onevolume.Invalid, "12"},
		{b.text("CHAP_USER = u\nCHAP_SECRET = " + strings.Repeat("secret-", 37)), onevolume.Invalid, "255"},
		{b.text("CHAP_USER = u\nCHAP_SECRET = \"the secret- has blanks\""), onevolume.Invalid, "printable"},
		{b.text("CHAP_USER = u\nCHAP_SECRET = geheim-secret-ü"), onevolume.Invalid, "printable"},
		{b.text("CHAP_USER_IN = u\nCHAP_SECRET_IN = " + secret), onevolume.Invalid, "without CHAP_USER"},
		{b.text("CHAP_USER = \"a b\"\nCHAP_SECRET = " + secret), onevolume.Invalid, "CHAP_USER"},
		{b.text(strings.ReplaceAll(chap, secretIn, secret)), onevolume.Invalid, "the same"},
		{strings.Replace(b.text(""), fmt.Sprint(":", b.next), ":1", 1), onevolume.Allocate, ""}, // that unit is registered
	} {
		_, err := b.Allocate(t.Context(), root, c.text)
		b.wants(err, c.code, c.word)
	}
	for _, who := range []onevolume.Caller{alice, bob} {
		_, err := b.Allocate(t.Context(), who, b.text(""))
		b.wants(err, onevolume.Forbidden, "Not authorized to perform CREATE VOLUME")
		_, err = b.Allocate(t.Context(), who, "not a template [")
		b.wants(err, onevolume.Forbidden) // whoever may not, learns nothing else
	}
	if list, err := b.Pool(t.Context(), root, everything); err != nil || len(list) != 1 {
		t.Errorf("%d volumes, want the first alone; %v", len(list), err)
	}
}

func TestSecretsAreForAdministratorsWhoAsk(t *testing.T) {
	b := newBench(t)
	id := b.given(alice, chap)
	for _, c := range []struct {
		who  onevolume.Caller
		asks bool
		gets bool
	}{{root, true, true}, {admin, true, true}, {root, false, false}, {alice, true, false}, {alice, false, false}} {
		v, err := b.Info(t.Context(), c.who, id, c.asks)
		got := v.Target.CHAP.Secret == secret && v.Target.CHAP.SecretIn == secretIn
		none := v.Target.CHAP.Secret == "" && v.Target.CHAP.SecretIn == ""
		if err != nil || got != c.gets || none == c.gets || v.Target.CHAP.User != "u" {
			t.Errorf("%s asks %v: %v, secrets %v", c.who.User, c.asks, err, got)
		}
	}
	for _, who := range []onevolume.Caller{root, alice} {
		list, err := b.Pool(t.Context(), who, everything)
		if err != nil || len(list) != 1 || list[0].Target.CHAP.Secret != "" || list[0].Target.CHAP.SecretIn != "" {
			t.Errorf("the pool shows %s %d volumes with secrets; %v", who.User, len(list), err)
		}
	}
	if v := b.read(id); v.Target.CHAP.Secret != secret {
		t.Error("leaving a secret out of an answer took it from the inventory")
	}
}

// Who may do what: each method by a stranger, a member of the volume's group,
// the owner and an administrator, with permissions that differ.
func TestRights(t *testing.T) {
	member := alice
	member.UID = 7
	calls := map[string]func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error{
		"info": func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			_, err := b.Info(b.Context(), who, id, false)
			return err
		},
		"rename": func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Rename(b.Context(), who, id, fmt.Sprintf("new-%d", id))
		},
		"update": func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Update(b.Context(), who, id, "A = 1", onevolume.Replace)
		},
		"chmod": func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Chmod(b.Context(), who, id, [9]int{-1, -1, -1, -1, -1, -1, -1, -1, -1})
		},
		"delete": func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Delete(b.Context(), who, id)
		},
	}
	b := newBench(t)
	for name, call := range calls {
		for _, c := range []struct {
			who  onevolume.Caller
			bits onevolume.Permissions
			use  bool
			all  bool
		}{
			{root, 0, true, true}, {admin, 0, true, true},
			{alice, 0o600, true, true}, {alice, 0o400, true, false}, {alice, 0o000, false, false},
			{member, 0o640, true, false}, {member, 0o660, true, true}, {member, 0o600, false, false},
			{bob, 0o660, false, false}, {bob, 0o664, true, false}, {bob, 0o666, true, true},
		} {
			id := b.given(alice, "")
			if err := b.db.Update(t.Context(), id, func(v *onevolume.Volume) error { v.Permissions = c.bits; return nil }); err != nil {
				t.Fatal(err)
			}
			err := call(b, c.who, id)
			if may := c.all || name == "info" && c.use; may != (err == nil) {
				t.Errorf("%s by %s on %s: %v", name, c.who.User, c.bits, err)
			} else if err != nil {
				b.wants(err, onevolume.Forbidden, fmt.Sprintf("User [%d] : Not authorized to perform", c.who.UID), fmt.Sprintf("VOLUME [%d].", id))
			}
		}
		for _, id := range []onevolume.VolumeID{-1, 9999} {
			b.wants(call(b, bob, id), onevolume.NotFound, "Error getting volume")
		}
	}
}
