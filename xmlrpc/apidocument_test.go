package xmlrpc_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/inventory"
	"onevolume/xmlrpc/wire"
)

var update = flag.Bool("update", false, "rewrite docs/api.md")

const apiDocument = "../docs/api.md"

// yielding is an operator that answers with the volume that is asked for.
type yielding struct{ *operator }

func (y yielding) Attach(_ context.Context, _ onevolume.Caller, _ string, _ onevolume.VMID, pick onevolume.Pick) (onevolume.VolumeID, error) {
	n, err := strconv.Atoi(pick.Volume)
	return onevolume.VolumeID(n), err
}

// granting is an array that lets everybody in.
type granting struct{}

func (granting) Grant(context.Context, onevolume.OperationRef, onevolume.IQN) (onevolume.Access, error) {
	return onevolume.Access{CHAP: onevolume.CHAP{User: "ov1f0c9e2dQw3rTy", Secret: "8Jk2mNp4Rs6Tv9Xz"},
		Identity: onevolume.Identity{Serial: "1f0c9e2d-6a1b-4c3d-8e5f-7a9b0c1d2e3f", WWID: "naa.60014051f0c9e2d6a1b4c3d8e5f7a9b0"}}, nil
}

func (granting) Revoke(context.Context, onevolume.OperationRef, onevolume.IQN) error { return nil }

func (granting) Compare(context.Context, string) ([]string, error) { return nil, nil }

// TestAPIDocument holds docs/api.md to the methods: it is written from their
// table and from calls of every one. With -update it is rewritten.
func TestAPIDocument(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) })
	w.Operator = yielding{w.op}
	w.Access, w.Moves, w.Hints = granting{}, &mover{n: 1}, &heard{}
	w.Fencer = fencer{list: []onevolume.Fenced{{Volume: 0, Name: "data", VM: 17}}}
	c := w.client(asRoot).Wire
	names, err := c.Call(t.Context(), "system.listMethods")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names.([]any) {
		known := slices.ContainsFunc(references, func(r reference) bool { return r.method == name })
		if !known && !strings.HasPrefix(name.(string), "system.") {
			t.Errorf("%s has no reference", name)
		}
	}
	text := bytes.NewBufferString(apiIntroduction())
	for _, r := range references {
		if err := w.describe(text, c, r); err != nil {
			t.Errorf("%s: %v", r.method, err)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(apiDocument, text.Bytes(), 0o644); err != nil { //nolint:gosec // a document for everybody
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(apiDocument)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was, text.Bytes()) {
		t.Errorf("%s is out of date: go test ./xmlrpc -run TestAPIDocument -update", apiDocument)
	}
}

// describe writes a method's section, and makes its example come true.
func (w *world) describe(text *bytes.Buffer, c *wire.Client, r reference) error {
	help, err := c.Call(w.Context(), "system.methodHelp", r.method)
	if err != nil {
		return err
	}
	signature, err := c.Call(w.Context(), "system.methodSignature", r.method)
	if err != nil {
		return err
	}
	types := signature.([]any)[0].([]any)[1:]
	if len(types) != len(r.params)+1 {
		return fmt.Errorf("%d parameters are described, it takes %d beside the session", len(r.params), len(types)-1)
	}
	fmt.Fprintf(text, "\n## %s\n\n%s.\n\n", r.method, help)
	if len(r.params) > 0 {
		text.WriteString("| parameter | type | |\n|---|---|---|\n")
	}
	least := w.least(r, len(types))
	for i, p := range r.params {
		optional := ""
		if i+1 >= least {
			optional = ", may be left out"
		}
		fmt.Fprintf(text, "| `%s` | %s%s | %s |\n", p.name, types[i+1], optional, p.about)
	}
	fmt.Fprintf(text, "\nFor: %s. Answers with: %s.\n", r.needs, r.gives)
	if len(r.errors) > 0 {
		text.WriteString("Errors of its own:")
		for i, e := range r.errors {
			if i > 0 {
				text.WriteString(";")
			}
			fmt.Fprintf(text, " %s, %s", e.code, e.when)
		}
		text.WriteString(".\n")
	}
	w.prepare(r.method)
	v, err := c.Call(w.Context(), r.method, append([]any{r.session}, r.args...)...)
	var api *wire.APIError
	if err != nil && !errors.As(err, &api) {
		return err
	}
	args := []string{strconv.Quote(strings.Split(r.session, ":")[0] + ":…")}
	for _, a := range r.args {
		args = append(args, literal(a))
	}
	fmt.Fprintf(text, "\n```\n%s\n", fold(r.method+"("+strings.Join(args, ", ")+")"))
	switch {
	case api != nil && !strings.Contains(r.method, ".array") && !strings.Contains(r.method, ".snapshot") && r.method != "one.volume.clone": // nothing is configured here
		return err
	case api != nil:
		fmt.Fprintf(text, "→ false, %s, %d, %d\n```\n", literal(api.Message), api.Code, api.ObjectID)
	default:
		fmt.Fprintf(text, "→ true, %s, 0\n```\n", fold(literal(v)))
	}
	return nil
}

// least is how few parameters the server takes, the session included.
func (w *world) least(r reference, all int) int {
	for n := 1; n < all; n++ {
		if !strings.Contains(w.raw(call(r.method, w.example(r, n)...)), "Not enough parameters") {
			return n
		}
	}
	return all
}

// example are the first n parameters of a call that changes nothing: nobody
// may, and everything that it names does not exist.
func (w *world) example(r reference, n int) []string {
	params := []string{str(asBob)}
	for _, a := range r.types(w)[1:n] {
		params = append(params, map[string]string{"int": num(-7), "string": str(""), "boolean": "<boolean>0</boolean>"}[a])
	}
	return params
}

func (r reference) types(w *world) []string {
	v, err := w.client(asRoot).Wire.Call(w.Context(), "system.methodSignature", r.method)
	if err != nil {
		w.Fatal(err)
	}
	var list []string
	for _, t := range v.([]any)[0].([]any)[1:] {
		list = append(list, t.(string))
	}
	return list
}

// prepare makes what the examples need and no method of theirs makes.
func (w *world) prepare(method string) {
	service := w.Inventory.(*inventory.Service)
	switch method {
	case "one.volume.release": // another volume, in an operation that fails
		if _, err := service.Allocate(w.Context(), root, strings.ReplaceAll(unit, "disk3", "disk4")); err != nil {
			w.Fatal(err)
		}
		_, _, err := service.Ledger(root).Reserve(w.Context(), onevolume.Request{Kind: onevolume.Attach, Owner: "onevolume@admin pid 4243", Lease: time.Minute,
			VM: onevolume.VM{ID: 18, Host: "node4"}, Pick: onevolume.Pick{Volume: "disk4"}})
		if err != nil {
			w.Fatal(err)
		}
	}
}

// literal is a value as the document has it.
func literal(v any) string {
	if s, ok := v.(string); ok {
		if strings.HasPrefix(s, "<") {
			return s
		}
		return strconv.Quote(s)
	}
	return fmt.Sprint(v)
}

// fold breaks a long document before elements.
func fold(s string) string {
	const width = 120
	var b strings.Builder
	column := 0
	marked := strings.ReplaceAll(strings.ReplaceAll(s, "><", ">\x00<"), ">\x00</", "></")
	for piece := range strings.SplitSeq(marked, "\x00") {
		if column > 0 && column+len(piece) > width {
			b.WriteString("\n  ")
			column = 2
		}
		b.WriteString(piece)
		column += len(piece)
	}
	return b.String()
}

// apiIntroduction is what all methods have in common, with the tables that the
// code knows.
func apiIntroduction() string {
	states := make([]string, 0, len(onevolume.States()))
	for _, s := range onevolume.States() {
		states = append(states, fmt.Sprintf("%d %s", s.Number(), s))
	}
	return `# The API of onevolumed

This file is written by ` + "`go test ./xmlrpc -run TestAPIDocument -update`" + ` from the table of methods, and each example is a call that was made.

XML-RPC as oned speaks it: ` + "`POST /RPC2`" + ` on port 2475, the session (` + "`user:password` or `user:token`" + `) first, the answer an array of *true, value, 0* or *false, message, code, object id, -1*; the object id is -1 unless it is what does not exist. A message begins with the method's name in brackets. Parameters beyond those of the method are ignored. ` + "`system.listMethods`, `system.methodHelp`, `system.methodSignature` and `system.multicall`" + ` are there as well.

The checks come in oned's order: the method's name, the session, the number and types of parameters (these three but the session answer with an XML-RPC fault), whether the object exists, locks and rights, and then the rest.

| code | | |
|---|---|---|
| AUTHENTICATION | 256 | oned does not know the session |
| AUTHORIZATION | 512 | a right is missing, the volume is locked, or a quota is exceeded |
| NO_EXISTS | 1024 | there is no such object |
| ACTION | 2048 | not possible now |
| RPC_API | 4096 | a parameter's value is wrong |
| INTERNAL | 8192 | a template cannot be parsed, oned or the database does not answer, or a fault of the daemon's |
| ALLOCATE | 16384 | the volume cannot be made so |
| LOCKED | 32768 | the operation is somebody else's now |

**Rights** are those of the owner, the group and others, any of which is enough; administrators (oneadmin and oneadmin's group) have all. ACL rules of OpenNebula do not count for volumes: none can name them, and one about images or datastores says nothing of them; those about VMs do for attach and detach. A new volume permits what its maker's umask leaves of 777 (of 666, when the maker is neither user 0 nor primarily in group 0): UMASK of the user's template, else ` + "`default_umask`" + ` of the daemon's configuration. A session for one group alone has that group's. A **lock** keeps from what needs its right or a higher one, administrators too: level 1 from USE, MANAGE and ADMIN, 2 from MANAGE and ADMIN, 3 from ADMIN.

**States** (` + "`STATE` and `STATUS`" + `): ` + strings.Join(states, ", ") + `. ` + "`DISABLED`" + ` is 1 for a volume that is kept from being attached.

**Documents** have elements in upper case and no attributes; free text is in CDATA. Their schemas are in [packaging/xsd](../packaging/xsd), installed in ` + "`/usr/share/one/schemas/xsd`" + `. Times of ` + "`VOLUME`" + ` are in seconds since 1970, all others in milliseconds. -1 stands for no volume and no VM, 0 for no operation and no time.

Methods that **change** something leave a line in ` + "`one.volume.history`" + ` with who asked, from which address, for what, and what came of it; what is refused leaves one too. No line holds a CHAP secret or a session, and of a template only the inventory's own attributes have their values there.
`
}
