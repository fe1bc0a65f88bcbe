package iscsi

import (
	"fmt"
	"strings"

	"onevolume"
)

// judge gives the device of the session if it is the volume and can be used.
// Whoever holds it comes first: such a device must not even be looked at more
// closely, let alone be removed for showing the wrong identity.
func (c *call) judge(r *report, session int) (Device, error) {
	d := r.in(session, c.t.LUN)
	if d == nil {
		return Device{}, c.noUnit(r.byID(session))
	}
	dev := r.device(*d)
	if err := c.held(r); err != nil {
		return dev, err
	}
	if why := differs(dev, c.w); why != "" {
		return dev, c.errorf(onevolume.Mismatch, "%s is not the volume: %s", dev.Name, why).
			WithHint("nothing was plugged; compare the logical unit on the array with what onevolume show says of the volume")
	}
	if dev.Identity == (onevolume.Identity{}) {
		return dev, c.errorf(onevolume.Refused, "%s shows neither a unit serial number nor a WWID, so nothing could prove later that it is the volume", dev.Name).
			WithHint("give the logical unit a serial number on the array")
	}
	return dev, c.usable(d)
}

// differs says what of the device is not as recorded, with both values. What
// was recorded and does not show is a difference too.
func differs(d Device, w Want) string {
	var why []string
	if w.Size != 0 && d.Size != w.Size {
		why = append(why, fmt.Sprintf("its size is %s, recorded is %s", d.Size.Exact(), w.Size.Exact()))
	}
	compare := func(what, is, want string) {
		switch {
		case want == "" || is == want:
		case is == "":
			why = append(why, fmt.Sprintf("it shows no %s, recorded is %q", what, want))
		default:
			why = append(why, fmt.Sprintf("its %s is %q, recorded is %q", what, is, want))
		}
	}
	compare("serial number", d.Identity.Serial, w.Identity.Serial)
	compare("WWID", d.Identity.WWID, w.Identity.WWID)
	return strings.Join(why, "; ")
}

// usable says why the right device cannot be used as it is.
func (c *call) usable(d *disk) error {
	switch {
	case d.state != "running":
		return c.errorf(onevolume.Unreachable, "the kernel has %s in the state %q", d.name, d.state).
			WithHint("look at dmesg on host %s", c.h.Name())
	case d.read == -1:
		return c.errorf(onevolume.Refused, "there is no block device /dev/%s", d.name).
			WithHint("is devtmpfs mounted on host %s?", c.h.Name())
	case d.read != 0:
		return c.errorf(onevolume.Refused, "the first block of /dev/%s could not be read%s", d.name, c.said()).
			WithHint("the user must be in group disk on host %s, and the array must answer", c.h.Name())
	case d.link == "":
		return c.errorf(onevolume.Refused, "udev made no link %s for it", linkFor(c.t)).
			WithHint("look after systemd-udevd on host %s", c.h.Name())
	}
	return nil
}

// linkFor is the link's pattern, since the portal is told elsewhere.
func linkFor(t onevolume.Target) string {
	return "/dev/disk/by-path/ip-…-iscsi-" + string(t.IQN) + "-lun-" + pathLUN(t.LUN)
}

// held says who on the host has any device of the volume.
func (c *call) held(r *report) error {
	for _, d := range r.disks {
		if len(d.holders) == 0 {
			continue
		}
		err := c.errorf(onevolume.Held, "%s is in use on the host: %s", d.name, strings.Join(d.holders, ", "))
		hint := "unmount it on host %s, or whatever gave it back"
		if strings.HasPrefix(d.holders[0], "device-mapper") {
			hint = "keep LVM and multipath of host %s away from the disks of guests (global_filter, blacklist) and give it back: dmsetup ls"
		}
		return err.WithHint(hint, c.h.Name())
	}
	return nil
}

// noUnit says that the session does not have the logical unit.
func (c *call) noUnit(s *session) error {
	if s == nil {
		return c.errorf(onevolume.Unreachable, "the session ended while the disk was waited for").
			WithHint("look at dmesg on host %s", c.h.Name())
	}
	if s.state != loggedIn {
		return c.lost(s)
	}
	var shown []string
	for _, u := range s.units {
		word := fmt.Sprint(u.lun)
		if u.disk == "" {
			word += " (no disk)"
		}
		shown = append(shown, word)
	}
	list := "none"
	if len(shown) > 0 {
		list = strings.Join(shown, ", ")
	}
	return c.errorf(onevolume.Refused, "the target shows the host no disk with LUN %d within %s; LUNs the session has: %s", c.t.LUN, c.opt.ScanBudget, list).
		WithHint("map the logical unit to the initiator of host %s on the array, or correct the volume's LUN", c.h.Name())
}
