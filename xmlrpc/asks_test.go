package xmlrpc

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"onevolume/xmlrpc/wire"
)

// Wherever a secret stands in a template that can be read, and whatever stands
// around it, the audit's text has it not.
func TestAsksTellNoSecret(t *testing.T) {
	t.Parallel()
	const secret = `S3cr3t\"=[] <x>`
	rapid.Check(t, func(t *rapid.T) {
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret) + `"`
		key := rapid.SampledFrom([]string{"CHAP_SECRET", "CHAP_SECRET_IN", "chap_secret", "PASSWORD", "CHAP_SECERT"})
		var b strings.Builder
		for range rapid.IntRange(1, 4).Draw(t, "secrets") {
			b.WriteString(rapid.StringMatching(`(NAME = [a-z]{0,5}\n)?`).Draw(t, "before") + key.Draw(t, "key") + " = " + quoted + "\n")
		}
		b.WriteString("CHAP_SECRET = " + quoted + "\nNAME = " + quoted + "\nARRAY = " + quoted) // and where it does not belong
		for _, a := range []asked{
			asksAllocate(wire.Call{Params: []any{"s:pw", b.String()}}), asksUpdate(wire.Call{Params: []any{"s:pw", 1, b.String(), 1}}),
		} {
			if strings.Contains(a.text, "S3cr3t") || strings.Contains(a.text, "s:pw") {
				t.Fatalf("%q tells", a.text)
			}
			if got := a.masked("bad: " + secret); strings.Contains(got, "S3cr3t") {
				t.Fatalf("%q tells", got)
			}
		}
	})
}

// No parameter of anybody's makes the audit fail, or its line long or more
// than one; and what a peer sends as a document is read or refused.
func TestAsksOfAnything(t *testing.T) {
	t.Parallel()
	part := rapid.SampledFrom([]string{"NAME", "CHAP_SECRET", "EXACT", "SIZE_BYTES", "=", "[", "]", "\"", "\n", " ", "#", "7", "x", "\x1b[31m", "\xff", "\x00",
		"<TEMPLATE>", "</TEMPLATE>", "<NAME>", "</NAME>", "<REQUEST>", "</REQUEST>", "<KIND>", "</KIND>", "<VOLUME>", "</VOLUME>", "<VM>", "</VM>", "<ID>", "</ID>",
		"<RECOVERY>", "</RECOVERY>", "<STATUS>", "</STATUS>", "<OPERATION>", "</OPERATION>", "<RECORD>", "</RECORD>", "<DEED_POOL>", "</DEED_POOL>",
		"<CHECKUP>", "</CHECKUP>", "<ENTRY>", "</ENTRY>", "<![CDATA[", "]]>", "&amp;", "ATTACHED", "attach", strings.Repeat("long", 500)})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(part, 0, 20).Draw(t, "parts"), "") + rapid.String().Draw(t, "text")
		n, m := rapid.Int().Draw(t, "n"), rapid.Int().Draw(t, "m")
		const s = "a:session"
		for name, a := range map[string]asked{
			"allocate": asksAllocate(wire.Call{Params: []any{s, text}}), "update": asksUpdate(wire.Call{Params: []any{s, n, text, m}}),
			"rename": asksRename(wire.Call{Params: []any{s, n, text}}), "chmod": asksChmod(wire.Call{Params: []any{s, n, m, n, m}}),
			"attach": asksAttach(wire.Call{Params: []any{s, n, m, n, text}}), "detach": asksDetach(wire.Call{Params: []any{s, n, m, text}}),
			"reserve": asksReserve(wire.Call{Params: []any{s, text}}), "recover": asksRecover(wire.Call{Params: []any{s, n, text}}),
			"journal": asksJournal(wire.Call{Params: []any{s, n, m, text}}), "delete": asksDelete(wire.Call{Params: []any{s}}),
		} {
			l := line(a.text)
			if a.action == "" || len(a.action) > 32 || len(l) > maxLine || strings.ContainsAny(l, "\n\r\x1b\x00") || strings.Contains(l, s) {
				t.Errorf("%s: action %q, %d bytes: %q", name, a.action, len(l), l)
			}
		}
		var op operationDocument
		var rec recordDocument
		var pool deedPoolDocument
		var check checkupDocument
		if unmarshal(text, &op) == nil {
			op.operation()
		}
		if unmarshal(text, &rec) == nil {
			entries(rec.Entries)
		}
		if unmarshal(text, &pool) == nil {
			pool.deeds()
		}
		if unmarshal(text, &check) == nil {
			check.health()
		}
	})
}
