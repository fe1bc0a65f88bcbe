package tgt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux"
	"onevolume/command"
)

// record is what the file of a volume says.
type record struct {
	device string
	grants []array.Grant
}

func (r *record) clone() record { return record{r.device, slices.Clone(r.grants)} }

func (r *record) grant(g array.Grant) {
	r.revoke(g.Initiator)
	r.grants = append(r.grants, g)
	slices.SortFunc(r.grants, func(a, b array.Grant) int { return strings.Compare(string(a.Initiator), string(b.Initiator)) })
}

func (r *record) revoke(initiator onevolume.IQN) {
	r.grants = slices.DeleteFunc(r.grants, func(g array.Grant) bool { return g.Initiator == initiator })
}

func (r *record) has(initiator onevolume.IQN) bool {
	return slices.ContainsFunc(r.grants, func(g array.Grant) bool { return g.Initiator == initiator })
}

// writable says whether tgt-admin reads a word back as it is.
func writable(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:+@") == ""
}

// ours marks the lines that we read back. To tgt-admin they are comments.
const ours = "#onevolume "

// nobody is an address that no initiator has. With names alone in the file,
// tgt-admin lets in everybody; names and addresses are alternatives.
const nobody = "255.255.255.255"

// render makes the file's text, as targets.conf(5) has it.
func (t *target) render(id array.ID, r record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by onevolume, which writes it anew; changes are lost.\n%sdevice %s\n", ours, r.device)
	for _, g := range r.grants {
		fmt.Fprintf(&b, "%sgrant %s %s %s\n", ours, g.Initiator, g.CHAP.User, g.CHAP.Secret)
	}
	fmt.Fprintf(&b, "<target %s>\n    <backing-store %s>\n        lun %d\n        scsi_sn %s\n        scsi_id %s\n    </backing-store>\n",
		t.iqn(id), r.device, lun, serial(id), scsiID(id))
	for _, g := range r.grants {
		fmt.Fprintf(&b, "    incominguser %s %s\n", g.CHAP.User, g.CHAP.Secret)
	}
	for _, g := range r.grants {
		fmt.Fprintf(&b, "    initiator-name %s\n", g.Initiator)
	}
	fmt.Fprintf(&b, "    initiator-address %s\n</target>\n", nobody)
	return b.String()
}

// parseRecord reads our lines of it.
func parseRecord(text string) (r record, err error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), ours)
		if !ok {
			continue
		}
		f := strings.Split(rest, " ")
		switch {
		case f[0] == "device" && len(f) == 2:
			r.device = f[1]
		case f[0] == "grant" && len(f) == 4:
			g := array.Grant{Initiator: onevolume.IQN(f[1]), CHAP: onevolume.CHAP{User: f[2], Secret: f[3]}}
			if err := array.CheckGrant(g); err != nil {
				return r, err
			}
			r.grant(g)
		default:
			return r, fmt.Errorf("one of its lines that begin with %q is not ours", strings.TrimSpace(ours))
		}
	}
	return r, nil
}

// The names of the scripts.
const (
	nameRead  = "tgt-read"
	nameWrite = "tgt-write"
)

const readScript = `[ ! -e "$1" ] || cat "$1"
`

// writeScript replaces the file at once, or removes it when there is nothing
// to say.
const writeScript = `file=$1
umask 077
if [ "$2" = remove ]; then
	[ -e "$file" ] || exit 0
	rm -f "$file" && sync "${file%/*}"
	exit
fi
cat >"$file.new" && sync "$file.new" && mv -f "$file.new" "$file" && sync "${file%/*}"
`

func (t *target) file(id array.ID) string { return t.opt.ConfDir + "/onevolume-" + id.Name() + ".conf" }

func (t *target) read(ctx context.Context, o *linux.Op, id array.ID) (r record, err error) {
	res, err := o.Do(ctx, linux.Script(nameRead, readScript, true, t.file(id)))
	if err != nil {
		return r, err
	}
	if r, err = parseRecord(string(res.Stdout)); err != nil {
		return r, o.Fail(array.Refused, "%s: %w", t.file(id), err).WithHint("put the file right, or away when nobody uses the volume")
	}
	return r, nil
}

func (t *target) write(ctx context.Context, o *linux.Op, id array.ID, r record) error {
	if len(r.grants) == 0 {
		_, err := o.Do(ctx, linux.Script(nameWrite, linux.Text([]byte(writeScript)), false, t.file(id), "remove"))
		return err
	}
	c := linux.Script(nameWrite, linux.Text([]byte(writeScript)), false, t.file(id), "write")
	c.Stdin = command.Secret(t.render(id, r))
	_, err := o.Do(ctx, c)
	return err
}
