package linux

import (
	"context"
	"fmt"
	"path"
	"strings"

	"onevolume"
	"onevolume/array"
	"onevolume/command"
)

// Files keeps volumes as sparse files in a directory, which is an absolute
// path. It has neither snapshots nor copies: a file that is written to cannot
// be copied as it is at one moment.
//
// Beside the file NAME.img stands NAME.id, with the ID and the label in one
// line. An image without it is not ours; one without an image is a volume
// that was not made to the end, or not removed to the end.
type Files struct{ Dir string }

func (f Files) open(o Options) pool { return &files{f, o} }

type files struct {
	Files
	opt Options
}

// fileGranule is what files are rounded to: tgt would take a sector.
const fileGranule = onevolume.MiB

// maxFileLabel keeps the line of an .id file short.
const maxFileLabel = 255

// The names of the scripts.
const (
	NameFilesLook   = "files-look"
	nameFilesCreate = "files-create"
	nameFilesRemove = "files-remove"
)

const filesLook = `cd "$1" || exit 1
echo fs $(df -B1 --output=size,avail . | tail -n 1)
set -- ov-*.img
[ ! -e "$1" ] || stat -c 'file %n %s %b %B' "$@" || exit
for f in ov-*.id; do
	[ -e "$f" ] || continue
	IFS= read -r line <"$f"
	printf 'id %s %s\n' "$f" "$line"
done
echo end
`

// The image appears at once, with its whole size: ln does not replace.
const filesCreate = `cd "$1" || exit 1
umask 077
cat >".$2.tmp" && sync ".$2.tmp" && mv -f ".$2.tmp" "$2.id" || exit 1
rm -f ".$2.new"
truncate -s "$3" ".$2.new" && ln ".$2.new" "$2.img"
rc=$?
rm -f ".$2.new"
[ $rc = 0 ] || rm -f "$2.id"
sync .
exit $rc
`

const filesRemove = `cd "$1" || exit 1
rm -f "$2.img" && sync . && rm -f "$2.id" && sync .
`

func (p *files) look(ctx context.Context, o *Op) (*content, error) {
	r, err := o.Do(ctx, Script(NameFilesLook, Text([]byte(filesLook)), true, p.Dir))
	if err != nil {
		return nil, err
	}
	c, err := p.parse(string(r.Stdout))
	if err != nil {
		return nil, o.Fail(array.Refused, "%s: %w", p.opt.Host, err)
	}
	return c, nil
}

func (p *files) parse(out string) (*content, error) {
	c := &content{caps: array.Capabilities{Granule: fileGranule, MinSize: fileGranule, MaxLabel: maxFileLabel, Thin: true, Zeroed: true}}
	ids := map[string]string{}
	var provisioned onevolume.Size
	ended := false
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		kind, rest, _ := strings.Cut(line, " ")
		f := strings.Fields(rest)
		switch {
		case kind == "fs" && len(f) == 2:
			var total, avail onevolume.Size
			if err := sizes(f[0], &total, f[1], &avail); err != nil {
				return nil, err
			}
			p.space(c, total, avail)
		case kind == "file" && len(f) == 4:
			var size, blocks, block onevolume.Size
			if err := sizes(f[1], &size, f[2], &blocks, f[3], &block); err != nil {
				return nil, err
			}
			provisioned += size
			c.units = append(c.units, Unit{
				Name: strings.TrimSuffix(f[0], ".img"), Size: size, Device: path.Join(p.Dir, f[0]),
				Used: array.Known(blocks * block), Active: true,
			})
		case kind == "id" && len(f) >= 2:
			name, value, _ := strings.Cut(rest, " ")
			ids[strings.TrimSuffix(name, ".id")] = value
		case kind == "id": // of a file that was cut off by a crash
		case line == "end":
			ended = true
		default:
			return nil, fmt.Errorf("what it lists has the line %q", line)
		}
	}
	if !ended {
		return nil, fmt.Errorf("what it lists has no end")
	}
	for i := range c.units {
		u := &c.units[i]
		id, label, _ := strings.Cut(ids[u.Name], " ")
		if parsed, err := array.ParseID(id); err == nil {
			u.ID, u.Label = parsed, label
		}
	}
	c.stats.Provisioned = array.Known(provisioned)
	return c, nil
}

func (p *files) space(c *content, total, avail onevolume.Size) {
	c.stats = array.Stats{
		Model: "files", Total: array.Known(total), Free: array.Known(avail), Used: array.Known(total - avail),
		Limit: array.Known(onevolume.Size(float64(total) * p.opt.Overprovision)),
	}
	if total > 0 && float64(avail)*100/float64(total) < p.opt.MinFree {
		c.stats.Trouble = fmt.Sprintf("%s is almost full", p.Dir)
		c.room = array.Errorf(array.NoSpace, "%s has %s left of %s, and %g %% are kept free", p.Dir, avail, total, p.opt.MinFree)
	}
}

func (p *files) create(ctx context.Context, o *Op, u Unit) error {
	c := Script(nameFilesCreate, Text([]byte(filesCreate)), false, p.Dir, u.Name, fmt.Sprint(int64(u.Size)))
	line := string(u.ID)
	if u.Label != "" {
		line += " " + u.Label
	}
	c.Stdin, c.Plain = command.Secret(line+"\n"), true
	_, err := o.Do(ctx, c)
	return err
}

func (p *files) copy(_ context.Context, o *Op, _, _ Unit) error {
	return o.Fail(array.Unsupported, "files are not copied")
}

func (p *files) extend(ctx context.Context, o *Op, u Unit, size onevolume.Size) error {
	_, err := o.Do(ctx, command.Cmd{Argv: []string{"truncate", "-s", fmt.Sprint(int64(size)), u.Device}, Sudo: true})
	return err
}

// activate has nothing to do: a file is there.
func (p *files) activate(context.Context, *Op, Unit) error { return nil }

func (p *files) remove(ctx context.Context, o *Op, u Unit) error {
	_, err := o.Do(ctx, Script(nameFilesRemove, Text([]byte(filesRemove)), false, p.Dir, u.Name))
	return err
}

// succeed is never asked for where nothing is copied.
func (p *files) succeed(_ context.Context, o *Op, _ Unit) error {
	return o.Fail(array.Unsupported, "files are not copied")
}
