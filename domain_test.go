package onevolume_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"onevolume"
)

func TestParseIQN(t *testing.T) {
	good := map[string]onevolume.IQN{
		"iqn.2026-11.lab.onevolume:open1":         "iqn.2026-11.lab.onevolume:open1",
		"IQN.2001-04.com.Example:Disk1":           "iqn.2001-04.com.example:disk1",
		"iqn.2001-04.com.example":                 "iqn.2001-04.com.example",
		"iqn.2001-04.com.example:a:b.c-d":         "iqn.2001-04.com.example:a:b.c-d",
		"eui.02004567A425678D":                    "eui.02004567a425678d",
		"naa.52004567BA64678D":                    "naa.52004567ba64678d",
		"naa.62004567BA64678D0123456789ABCDEF":    "naa.62004567ba64678d0123456789abcdef",
		"iqn.2006-01.com.openfiler:tsn.0123abcde": "iqn.2006-01.com.openfiler:tsn.0123abcde",
	}
	for in, want := range good {
		if got, err := onevolume.ParseIQN(in); err != nil || got != want {
			t.Errorf("ParseIQN(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	bad := []string{"", "iqn", "iqn.", "iqn.2026-13.a:b", "iqn.2026-00.a", "iqn.26-01.a", "iqn.2026-01", "iqn.2026-01.",
		"iqn.2026-01.:x", "iqn.2026-01.a..b", "iqn.2026-01.a b", "iqn.2026-01.a:b'c", "iqn.2026-01.a:$(reboot)", "iqn.2026-01.a:b\n",
		"iqn.2026-01.a:ü", "iqn.2026-01.a/b", "eui.123", "eui.02004567A425678G", "naa.1", "scsi.1",
		"iqn.2026-01.a:" + strings.Repeat("x", 223)}
	for _, in := range bad {
		if got, err := onevolume.ParseIQN(in); err == nil {
			t.Errorf("ParseIQN(%q) = %q, want an error", in, got)
		} else if onevolume.CodeOf(err) != onevolume.Invalid || onevolume.HintOf(err) == "" {
			t.Errorf("ParseIQN(%q): error %v has no code Invalid or no hint", in, err)
		}
	}
}

func TestParsePortals(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1":                          "10.0.0.1:3260",
		"10.0.0.1:3261,1":                   "10.0.0.1:3261",
		"10.0.0.1:3260,1 10.0.0.2:3260,2":   "10.0.0.1:3260,10.0.0.2:3260",
		"10.0.0.1,,10.0.0.1:3260":           "10.0.0.1:3260",
		"[FD00::1]:3260, fd00::2":           "[fd00::1]:3260,[fd00::2]:3260",
		"::ffff:10.0.0.1":                   "10.0.0.1:3260",
		"10.0.0.1:3260,4294967295 10.0.0.2": "10.0.0.1:3260,10.0.0.2:3260",
	} {
		if got, err := onevolume.ParsePortals(in); err != nil || onevolume.JoinPortals(got) != want {
			t.Errorf("ParsePortals(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", " , ", "host:3260", "10.0.0.1:0", "10.0.0.1:99999", "0.0.0.0", "10.0.0", "10.0.0.1;reboot", "224.0.0.1", "[]:port"} {
		if got, err := onevolume.ParsePortals(in); err == nil {
			t.Errorf("ParsePortals(%q) = %v, want an error", in, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]onevolume.Size{
		"64": 64 << 20, "64M": 64 << 20, "64MB": 64 << 20, "64MiB": 64 << 20, "64g": 64 << 30, "1.5T": 3 << 39,
		"67108864B": 64 << 20, "0.5K": 512, " 2G ": 2 << 30, "0.1T": 0,
	} {
		got, err := onevolume.ParseSize(in)
		if want == 0 {
			if err == nil {
				t.Errorf("ParseSize(%q) = %d, want an error: it is no whole number of sectors", in, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "-1", "G", "64X", "1e3", "64 G 1", "1/2", "9999999999P", "1.2.3", "100B", "inf", "0x10"} {
		if got, err := onevolume.ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestSizePrints(t *testing.T) {
	for in, want := range map[onevolume.Size]string{
		64 << 20: "64M", 1536 << 20: "1.5G", 1 << 40: "1T", 512: "0.5K", 1<<50 + 1<<49: "1.5P",
	} {
		if got := in.String(); got != want {
			t.Errorf("Size(%d) prints as %s, want %s", in, got, want)
		}
	}
	for in, want := range map[onevolume.Size]int64{0: 0, 1: 1, 1 << 20: 1, 1<<20 + 1: 2, math.MaxInt64: 1 << 43} {
		if got := in.MB(); got != want {
			t.Errorf("Size(%d) has %d MB, want %d", in, got, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, ok := range []string{"disk1", "web data", "größe", "a", "1.5T", strings.Repeat("é", 128)} {
		if err := onevolume.CheckName(ok); err != nil {
			t.Errorf("CheckName(%q): %v", ok, err)
		}
	}
	for _, bad := range []string{"", "17", " a", "a ", "a;b", "a$(b)", "a'b", `a"b`, "a\nb", "a|b", "a/b", "<a>", "a\x00", "\xff",
		strings.Repeat("é", 129)} {
		if err := onevolume.CheckName(bad); onevolume.CodeOf(err) != onevolume.Allocate {
			t.Errorf("CheckName(%q): %v, want an Allocate error", bad, err)
		}
	}
}

// No walk through the state table ends where nothing leads out, and no state
// is reached in which a volume could be picked while somebody uses it.
func TestStateTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := onevolume.Available
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			var next []onevolume.State
			for _, n := range onevolume.States() {
				if n != s && s.CanBecome(n) {
					next = append(next, n)
				}
			}
			if len(next) == 0 {
				t.Fatalf("nothing leads out of %s", s)
			}
			was := s
			s = rapid.SampledFrom(next).Draw(t, "next")
			// CHANGING goes back to what it was, which its operation keeps.
			if s == onevolume.Available && was != onevolume.Attaching && was != onevolume.Wiping && was != onevolume.Changing {
				t.Fatalf("%s became AVAILABLE without being wiped", was)
			}
			if s == onevolume.Attached && was != onevolume.Attaching && was != onevolume.Detaching {
				t.Fatalf("%s became ATTACHED", was)
			}
		}
	})
	for _, s := range onevolume.States() {
		if len(s.Short()) > 4 || s.Short() == "?" {
			t.Errorf("state %s has no short word", s)
		}
		if got, err := onevolume.ParseState(string(s)); got != s || err != nil {
			t.Errorf("ParseState(%s) = %s, %v", s, got, err)
		}
	}
}

func TestErrorsKeepCodeHintAndCause(t *testing.T) {
	cause := onevolume.Errorf(onevolume.Held, "held").WithHint("unmount it")
	err := onevolume.Errorf(onevolume.Held, "volume 3: %w", cause)
	if onevolume.CodeOf(err) != onevolume.Held || onevolume.HintOf(err) != "unmount it" || err.Error() != "volume 3: held" {
		t.Errorf("code %v, hint %q, text %q", onevolume.CodeOf(err), onevolume.HintOf(err), err)
	}
	for c := onevolume.Internal; c <= onevolume.Unknown; c++ {
		if strings.HasPrefix(c.String(), "Code(") || c.OnedCode() == 0 {
			t.Errorf("code %d has no word or no number", c)
		}
	}
}

func TestPermissions(t *testing.T) {
	if got := onevolume.Permissions(0o640).String(); got != "um- u-- ---" {
		t.Errorf("0640 prints as %q", got)
	}
	v := &onevolume.Volume{ID: 7, Owner: onevolume.Owner{UID: 5, GID: 100}, Permissions: 0o640}
	for name, c := range map[string]struct {
		who    onevolume.Caller
		use    bool
		manage bool
	}{
		"owner":            {onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: 1}, Groups: []int{1}}, true, true},
		"group":            {onevolume.Caller{Owner: onevolume.Owner{UID: 6, GID: 100}, Groups: []int{100}}, true, false},
		"second group":     {onevolume.Caller{Owner: onevolume.Owner{UID: 6, GID: 1}, Groups: []int{1, 100}}, true, false},
		"other":            {onevolume.Caller{Owner: onevolume.Owner{UID: 6, GID: 1}, Groups: []int{1}}, false, false},
		"oneadmin":         {onevolume.Caller{Groups: []int{0}}, true, true},
		"oneadmin's group": {onevolume.Caller{Owner: onevolume.Owner{UID: 9}, Groups: []int{1, 0}}, true, true},
	} {
		if c.who.May(onevolume.Use, v) != c.use || c.who.May(onevolume.Manage, v) != c.manage {
			t.Errorf("%s may use %v and manage %v", name, c.who.May(onevolume.Use, v), c.who.May(onevolume.Manage, v))
		}
	}
	stranger := onevolume.Caller{Owner: onevolume.Owner{UID: 6, GID: 1}, Groups: []int{1}, Umask: 0o177}
	if err := stranger.Check(onevolume.Use, v); err == nil || err.Error() != "User [6] : Not authorized to perform USE VOLUME [7]." {
		t.Errorf("a stranger gets %v", err)
	}
	for name, c := range map[string]struct {
		who  onevolume.Caller
		want onevolume.Permissions
	}{
		"a stranger":               {stranger, 0o600},
		"with 027":                 {onevolume.Caller{Owner: onevolume.Owner{UID: 6, GID: 1}, Umask: 0o27}, 0o640},
		"with 0":                   {onevolume.Caller{Owner: onevolume.Owner{UID: 6, GID: 1}}, 0o666},
		"oneadmin":                 {onevolume.Caller{Owner: onevolume.Owner{UID: 0, GID: 1}, Groups: []int{1}, Umask: 0o77}, 0o700},
		"primarily oneadmin's":     {onevolume.Caller{Owner: onevolume.Owner{UID: 9}, Groups: []int{0}, Umask: 0o137}, 0o640},
		"oneadmin's group as well": {onevolume.Caller{Owner: onevolume.Owner{UID: 9, GID: 1}, Groups: []int{1, 0}, Umask: 0o7}, 0o660},
	} {
		if p := c.who.NewPermissions(); p != c.want {
			t.Errorf("%s: new permissions %o, want %o", name, p, c.want)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c := onevolume.CHAP{User: "u", Secret: "topsecret12345", SecretIn: "alsosecret1234"}
	for _, text := range []string{c.String(), c.GoString()} {
		if strings.Contains(text, "secret12") || strings.Contains(text, "secret1234") {
			t.Errorf("%q shows a secret", text)
		}
	}
}
