package openfiler

import (
	"context"
	"fmt"
	"strings"

	"onevolume/array"
	"onevolume/array/linux"
	"onevolume/command"
)

// The files of the web pages. Where iscsi_settings.xml is has differed: the
// first that exists is taken.
const (
	volumesFile = "/opt/openfiler/etc/volumes.xml"
	confFile    = "/etc/ietd.conf"
)

var settingsFiles = []string{
	"/opt/openfiler/etc/iscsi/targets/iscsi_settings.xml",
	"/opt/openfiler/etc/iscsi_settings.xml",
}

const (
	nameRead  = "openfiler-read"
	nameWrite = "openfiler-write"
)

// attempts is how often a file is read anew when somebody else wrote it
// meanwhile.
const attempts = 5

// files are the settings of targets, and what is made of them.
type files struct {
	settings     settings
	master, conf file
}

func (t *target) files(ctx context.Context, o *linux.Op, names ...string) ([]file, error) {
	for i := range names {
		names[i] = t.opt.Root + names[i]
	}
	r, err := o.Do(ctx, linux.Script(nameRead, readScript, true, names...))
	if err != nil {
		return nil, err
	}
	list, err := parseFiles(r.Stdout)
	if err != nil || len(list) != len(names) {
		return nil, o.Fail(array.Refused, "%s could not be read: %w", strings.Join(names, ", "), err)
	}
	return list, nil
}

func (t *target) read(ctx context.Context, o *linux.Op) (f files, err error) {
	list, err := t.files(ctx, o, settingsFiles[0], settingsFiles[1], confFile)
	if err != nil {
		return f, err
	}
	f.master, f.conf = list[0], list[2]
	if f.master.sum == "none" {
		f.master = list[1]
	}
	if f.master.sum == "none" {
		return f, o.Fail(array.Refused, "there is no %s and no %s", settingsFiles[0], settingsFiles[1]).
			WithHint("is %s an Openfiler? Its pages make the file when the target service is first used", t.host)
	}
	if f.settings, err = parseSettings(f.master.text); err != nil {
		return f, t.unread(o, f.master, err)
	}
	return f, nil
}

func (t *target) unread(o *linux.Op, f file, err error) error {
	return o.Fail(array.Refused, "%s: %w", f.name, err).
		WithHint("it may have been written at this moment: try again; else put it right")
}

// write replaces a file, unless somebody else wrote it meanwhile.
func (t *target) write(ctx context.Context, o *linux.Op, f file, text string) (done bool, err error) {
	c := linux.Script(nameWrite, writeScript, false, f.name, f.sum)
	c.Stdin = command.Secret(text)
	r, err := o.Do(ctx, c, exitNotAsWas)
	return r.Code == 0, err
}

func (t *target) contended(o *linux.Op, f file) error {
	return o.Lost(fmt.Errorf("%s is being changed by somebody else all the time", f.name))
}

// save changes what the master file has of the volume's target, and brings
// ietd.conf up to it: whoever died between the two is made up for.
func (t *target) save(ctx context.Context, o *linux.Op, id array.ID, change func(there bool, r *record) error) error {
	var last file
	for range attempts {
		f, err := t.read(ctx, o)
		if err != nil {
			return err
		}
		old, r := f.settings.find(t.iqn(id))
		if err := change(old != nil, &r); err != nil {
			return err
		}
		text := f.settings.put(old, "    ", r.element(t.iqn(id)))
		if last = f.master; text != f.master.text {
			if done, err := t.write(ctx, o, f.master, text); err != nil {
				return err
			} else if !done {
				continue
			}
		}
		now, err := parseSettings(text)
		if err != nil {
			return t.unread(o, f.master, err)
		}
		if last = f.conf; now.conf() == f.conf.text {
			return nil
		}
		if done, err := t.write(ctx, o, f.conf, now.conf()); done || err != nil {
			return err
		}
	}
	return t.contended(o, last)
}

// Keep as in linux.Keeper: the volume is in volumes.xml, as volumes_create.html
// writes it.
func (t *target) Keep(ctx context.Context, o *linux.Op, u linux.Unit) error {
	label := u.Label
	if label == "" {
		label = u.Name
	}
	return t.volumes(ctx, o, u.ID, fmt.Sprintf("<volume id=\"%s\" name=\"%s\" mountpoint=\"\" vg=\"%s\" fstype=\"iscsi\" />",
		quoted(u.Name), quoted(label), quoted(t.vg)))
}

// Strike as in linux.Keeper.
func (t *target) Strike(ctx context.Context, o *linux.Op, id array.ID) error {
	return t.volumes(ctx, o, id, "")
}

// volumes puts the entry into volumes.xml, unless there is one for the volume;
// an empty one takes it out.
func (t *target) volumes(ctx context.Context, o *linux.Op, id array.ID, entry string) error {
	var f file
	for range attempts {
		list, err := t.files(ctx, o, volumesFile)
		if err != nil {
			return err
		}
		if f = list[0]; f.sum == "none" {
			f.text = "<?xml version=\"1.0\" ?>\n<volumes>\n</volumes>\n\n"
		}
		d, err := newDocument(f.text, "volumes", "")
		if err != nil {
			return t.unread(o, f, err)
		}
		var old *node
		for _, v := range d.list.all("volume") {
			if v.attr("id") == id.Name() && v.attr("vg") == t.vg {
				old = v
			}
		}
		if (old != nil) == (entry != "") {
			return nil
		}
		if done, err := t.write(ctx, o, f, d.put(old, "\t", entry)); done || err != nil {
			return err
		}
	}
	return t.contended(o, f)
}
