package xmlrpc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"onevolume"
)

func TestEveryMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(asRoot)
	ctx := t.Context()
	id, err := c.Allocate(ctx, template("disk")+"COLOUR = \"]]> <b> & \\\"ü\\\"\"")
	if err != nil || id != 0 {
		t.Fatal(id, err)
	}
	if err := c.Rename(ctx, id, "größe <&>"); err == nil {
		t.Error("a name with < was taken")
	}
	for name, err := range map[string]error{
		"rename": c.Rename(ctx, id, "größe"),
		"update": c.Update(ctx, id, "SIZE = 128", true),
		"chmod":  c.Chmod(ctx, id, [9]int{-1, -1, -1, 1, -1, -1, 1, -1, 0}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, err := c.Info(ctx, id)
	if err != nil || v.Name != "größe" || v.Size != 128*onevolume.MiB || v.Permissions != 0o644 ||
		v.Attributes["COLOUR"] != `]]> <b> & "ü"` || v.Target.CHAP.User != "u" || v.Target.CHAP.Secret != "" || v.Home.UID != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := c.Update(ctx, id, "A = 1", false); err != nil {
		t.Error(err)
	}
	list, err := c.Pool(ctx, -2, -1, -1)
	if err != nil || len(list) != 1 || list[0].ID != id || len(list[0].Attributes) != 1 || list[0].Attributes["A"] != "1" {
		t.Errorf("%+v, %v", list, err)
	}
	if got, err := c.Attach(ctx, 17, -1, 3*onevolume.GiB, "EXACT = YES\nARRAY = of1"); err != nil || got != 42 {
		t.Error(got, err)
	}
	if want := (onevolume.Pick{Size: 3 * onevolume.GiB, Exact: true, Array: "of1"}); w.op.pick != want || w.op.vm != 17 ||
		w.op.session != asRoot || w.op.who.UID != 0 {
		t.Errorf("operator was asked for %+v", w.op)
	}
	if _, err := c.Attach(ctx, 17, 0, 0, ""); err != nil || w.op.pick != (onevolume.Pick{Volume: "0"}) {
		t.Errorf("operator was asked for %+v, %v", w.op.pick, err)
	}
	if err := c.Detach(ctx, 18, 3, "FORMAT = ext4"); err != nil || w.op.vm != 18 || w.op.volume != 3 || w.op.leave != onevolume.LeaveExt4 {
		t.Errorf("operator was asked for %+v, %v", w.op, err)
	}
	w.op.err = onevolume.Errorf(onevolume.Action, "not now").WithHint("wait")
	w.wants(c.Detach(ctx, 18, 3, ""), onevolume.Action, "[one.volume.detach] not now. Wait.")
	if err := c.Delete(ctx, id); err != nil {
		t.Error(err)
	}
	_, err = c.Info(ctx, id)
	w.wants(err, onevolume.NotFound, fmt.Sprintf("[one.volume.info] Error getting volume [%d].", id))
}

// The methods say what they are, as xmlrpc-c's do.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(asRoot)
	names, err := c.Wire.Call(t.Context(), "system.listMethods")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"allocate", "info", "update", "rename", "chmod", "delete", "attach", "detach",
		"operation", "reserve", "journal", "confirm", "release", "resume", "abort", "recover", "lift", "history", "health", "running"} {
		if !slices.Contains(names.([]any), any("one.volume."+want)) {
			t.Errorf("no one.volume.%s in %v", want, names)
		}
	}
	for _, name := range names.([]any) {
		if help, err := c.Wire.Call(t.Context(), "system.methodHelp", name); err != nil || help == "" {
			t.Errorf("%s has no help: %v", name, err)
		}
		if _, err := c.Wire.Call(t.Context(), "system.methodSignature", name); err != nil {
			t.Errorf("%s has no signature: %v", name, err)
		}
	}
}

func call(method string, params ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<?xml version=\"1.0\"?>\n<methodCall><methodName>%s</methodName><params>", method)
	for _, p := range params {
		fmt.Fprintf(&b, "<param><value>%s</value></param>", p)
	}
	return b.String() + "</params></methodCall>"
}

func str(s string) string { return "<string>" + s + "</string>" }
func num(n int) string    { return fmt.Sprintf("<i4>%d</i4>", n) }

// failed is the body with which oned refuses (recorded: five elements).
func failed(method, message string, code, object int) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<methodResponse>
<params>
<param><value><array><data>
<value><boolean>0</boolean></value>
<value><string>[%s] %s</string></value>
<value><i4>%d</i4></value>
<value><i4>%d</i4></value>
<value><i8>-1</i8></value>
</data></array></value></param>
</params>
</methodResponse>
`, method, message, code, object)
}

// done is the body with which oned says that it did something to an object.
func done(id int) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<methodResponse>
<params>
<param><value><array><data>
<value><boolean>1</boolean></value>
<value><i4>%d</i4></value>
<value><i4>0</i4></value>
</data></array></value></param>
</params>
</methodResponse>
`, id)
}

func normal(body string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(body), "\r\n", "\n"), "\n", "")
}

// The checks come in oned's order: the method's name, the session, the
// parameters, whether the object exists, the right on it, its state. Each
// line breaks one rule and all those after it.
func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := int(w.given("disk"))
	const rename = "one.volume.rename"
	for _, c := range []struct{ name, body, want string }{
		{"session", call(rename, str("who:knows"), str("x"), num(1)),
			failed(rename, "User couldn't be authenticated, aborting call.", 0x0100, -1)},
		{"session is no string", call(rename, num(1)), failed(rename, "User couldn't be authenticated, aborting call.", 0x0100, -1)},
		{"oned does not answer", call(rename, str("down:pw"), num(id), str("new")), failed(rename, "oned does not answer", 0x2000, -1)},
		{"existence", call(rename, str(asBob), num(9999), str("17")), failed(rename, "Error getting volume [9999].", 0x0400, 9999)},
		{"no id", call(rename, str(asBob), num(-1), str("17")), failed(rename, "Error getting volume Pool.", 0x0400, -1)},
		{"rights", call(rename, str(asBob), num(id), str("17")),
			failed(rename, fmt.Sprintf("User [6] : Not authorized to perform MANAGE VOLUME [%d].", id), 0x0200, -1)},
		{"done", call(rename, str(asAlice), num(id), str("new")), done(id)},
		{"more parameters than needed", call(rename, str(asAlice), num(id), str("newer"), str("more")), done(id)},
		{"allocate", call("one.volume.allocate", str(asAlice), str("junk [")),
			failed("one.volume.allocate", "User [5] : Not authorized to perform CREATE VOLUME. A volume is registered by oneadmin or by a storage machine.", 0x0200, -1)},
		{"template", call("one.volume.update", str(asAlice), num(id), str("A = 1"), num(7)), failed("one.volume.update", "Wrong update type", 0x1000, -1)},
		{"filter", call("one.volumepool.info", str(asAlice), num(-9), num(-1), num(-1)), failed("one.volumepool.info", "Incorrect filter_flag", 0x1000, -1)},
	} {
		if got := w.raw(c.body); normal(got) != normal(c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	for _, c := range []struct{ name, body, fault string }{
		{"method", call("one.volume.steal", num(1)), "-506"},
		{"no session", call(rename), "-500"},
		{"parameter of another type", call(rename, str(asBob), str("x"), str("17")), "-501"},
		{"too few parameters", call(rename, str(asBob), num(9999)), "-501"},
	} {
		if got := w.raw(c.body); !strings.Contains(got, "<fault>") || !strings.Contains(got, ">"+c.fault+"<") {
			t.Errorf("%s: want the fault %s, got %s", c.name, c.fault, got)
		}
	}
}

// A bad parameter is refused before anything is asked of the operator.
func TestOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(asAlice)
	for name, err := range map[string]error{
		"unknown option": func() error { _, err := c.Attach(t.Context(), 1, 2, 0, "FOO = 1"); return err }(),
		"nothing":        func() error { _, err := c.Attach(t.Context(), 1, -1, 0, ""); return err }(),
		"format":         c.Detach(t.Context(), 1, 2, "FORMAT = btrfs"),
		"no template":    c.Detach(t.Context(), 1, 2, "FORMAT = ["),
	} {
		if onevolume.CodeOf(err) != onevolume.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.op.session != "" {
		t.Errorf("the operator was asked: %+v", w.op)
	}
}

func TestSecretsInAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := int(w.given("disk"))
	const secret = "the-first-secret"
	decrypt := "<boolean>1</boolean>"
	var want []string // in the audit by now
	for _, c := range []struct {
		name, body string
		shown      bool
	}{
		{"info", call("one.volume.info", str(asRoot), num(id)), false},
		{"info by an owner who asks", call("one.volume.info", str(asAlice), num(id), decrypt), false},
		{"info by an administrator who asks", call("one.volume.info", str(asRoot), num(id), decrypt), true},
		{"pool", call("one.volumepool.info", str(asRoot), num(-2), num(-1), num(-1)), false},
		{"reserve by an owner", call("one.volume.reserve", str(asAlice), str("&lt;REQUEST/&gt;")), false},
	} {
		got := w.raw(c.body)
		if strings.Contains(got, secret) != c.shown {
			t.Errorf("%s shows the secret: %v, want %v", c.name, !c.shown, c.shown)
		}
		if !strings.Contains(c.name, "reserve") && !strings.Contains(got, "iqn.2026-11.test:disk") {
			t.Errorf("%s: %s", c.name, got)
		}
		var read []string
		for _, d := range w.deeds() {
			if d.Action == "decrypt" {
				read = append(read, fmt.Sprint(d.By.User, " ", d.Volume, " ", d.Result, " ", d.From != ""))
			}
		}
		if c.shown {
			want = append(want, fmt.Sprint("oneadmin ", id, " ok true"))
		}
		if !slices.Equal(read, want) {
			t.Errorf("%s: the audit has %q of secrets that were read, want %q", c.name, read, want)
		}
	}
}
