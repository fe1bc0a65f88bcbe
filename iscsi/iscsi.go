// Package iscsi is the iSCSI initiator of a hypervisor host, worked from
// afar: it logs the host in to a target, makes exactly one logical unit
// appear, proves that the block device is the volume it should be, and takes
// all of it away again.
//
// Three rules stand above the others. A device that has not proven its
// identity is never handed out. What a call that fails has changed on the
// host, it changes back. And since a process on the host (sudo above all)
// costs far more than anything else, each step is one script that starts as
// few of them as it can; sysfs, which every user may read, answers whatever
// it knows.
//
// It works with open-iscsi from 2.0.874 and the rights that OpenNebula's
// sudoers give on a host (ONE_SCSI). Records are made statically, never by
// discovery: that would reset the records of every other target of the
// portal.
package iscsi

import (
	"context"
	"strings"
	"time"

	"onevolume"
	"onevolume/command"
)

// Options are the settings of an Initiator. Zero values mean the defaults.
type Options struct {
	// LoginTimeout is how long the target may take for one login attempt:
	// 10 s. LoginRetries is how often iscsid tries again: once. iscsid's
	// own defaults would keep a caller waiting for two minutes.
	LoginTimeout time.Duration
	LoginRetries int

	// ReplacementTimeout is how long reads and writes wait for a session
	// that was lost, before they fail: 120 s, iscsid's own default. There
	// is one path only, and a guest that is stopped on errors is worse off
	// than one that waits.
	ReplacementTimeout time.Duration

	// ScanBudget is how long a logical unit and its link may take to appear
	// after login: 20 s.
	ScanBudget time.Duration

	// RecoveryWait is how long Connect waits for a lost session to come
	// back before it says so: 5 s.
	RecoveryWait time.Duration

	// FlushTimeout is how long a disk's last writes may take on release:
	// 300 s, as in OpenStack's os-brick.
	FlushTimeout time.Duration
}

// Initiator connects hosts to targets. It keeps no state and may be used from
// several goroutines.
type Initiator struct{ opt Options }

// New makes an Initiator.
func New(o Options) *Initiator {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.LoginTimeout, 10*time.Second)
	def(&o.ReplacementTimeout, 120*time.Second)
	def(&o.ScanBudget, 20*time.Second)
	def(&o.RecoveryWait, 5*time.Second)
	def(&o.FlushTimeout, 300*time.Second)
	if o.LoginRetries <= 0 {
		o.LoginRetries = 1
	}
	return &Initiator{o}
}

// LockName is the lock on the host that the caller of Connect, Prove and
// Release holds, from before the first call until the device is plugged or
// gone. All logical units of a target share it, since they share a session.
func (i *Initiator) LockName(t onevolume.Target) string {
	return command.LockName("iqn-" + string(t.IQN))
}

// Path is the link that the device will have when the session goes to the
// target's first portal. Find and Connect give the one it really has.
func (i *Initiator) Path(t onevolume.Target) string {
	p := t.Portals[0]
	return "/dev/disk/by-path/ip-" + p.Addr().String() + ":" + port(p) + "-iscsi-" + string(t.IQN) + "-lun-" + pathLUN(t.LUN)
}

// Find gives the devices that the host has of the logical unit, in any
// session with the target. None is no error. It changes nothing.
func (i *Initiator) Find(ctx context.Context, h command.Host, t onevolume.Target) ([]Device, error) {
	rep, err := i.look(ctx, h, t, false)
	if err != nil {
		return nil, err
	}
	var list []Device
	for _, d := range rep.disks {
		list = append(list, rep.device(d))
	}
	return list, nil
}

// Prove checks the device that the host has of the volume as Connect does,
// and changes nothing. Codes as for Connect; Refused also when there is none.
func (i *Initiator) Prove(ctx context.Context, h command.Host, t onevolume.Target, w Want) (Device, error) {
	c := &call{Initiator: i, h: h, t: t, w: w}
	if err := check(t); err != nil {
		return Device{}, err
	}
	rep, err := c.run(ctx, "look at", lookCmd(t, false))
	if err != nil {
		return Device{}, err
	}
	s := rep.best(t)
	if s == nil {
		return Device{}, c.errorf(onevolume.Refused, "the host has no session with it")
	}
	return c.judge(rep, s.id)
}

// look asks what there is.
func (i *Initiator) look(ctx context.Context, h command.Host, t onevolume.Target, brief bool) (*report, error) {
	if err := check(t); err != nil {
		return nil, err
	}
	c := &call{Initiator: i, h: h, t: t}
	return c.run(ctx, "look at", lookCmd(t, brief))
}

// check refuses a target that could not be worked with. The characters of
// secrets are those that a line of a node record can carry.
func check(t onevolume.Target) error {
	if _, err := onevolume.ParseIQN(string(t.IQN)); err != nil {
		return err
	}
	if _, err := onevolume.ParseLUN(int(t.LUN)); err != nil {
		return err
	}
	if len(t.Portals) == 0 {
		return onevolume.Errorf(onevolume.Invalid, "target %s has no portal", t.IQN).
			WithHint("give the volume the address its target listens on")
	}
	for _, v := range []struct{ name, text string }{
		{"user", t.CHAP.User}, {"secret", t.CHAP.Secret},
		{"mutual user", t.CHAP.UserIn}, {"mutual secret", t.CHAP.SecretIn},
	} {
		if why := badCredential(v.text); why != "" {
			return onevolume.Errorf(onevolume.Invalid, "the CHAP %s of target %s %s", v.name, t.IQN, why)
		}
	}
	if (t.CHAP.User == "") != (t.CHAP.Secret == "") || (t.CHAP.UserIn == "") != (t.CHAP.SecretIn == "") {
		return onevolume.Errorf(onevolume.Invalid, "the CHAP credentials of target %s lack the user or the secret", t.IQN)
	}
	if t.CHAP.User == "" && t.CHAP.UserIn != "" {
		return onevolume.Errorf(onevolume.Invalid, "target %s has mutual CHAP credentials without the initiator's own", t.IQN).
			WithHint("mutual CHAP needs both pairs (RFC 7143, section 12.1.3)")
	}
	return nil
}

// badCredential says what open-iscsi could not carry in s. Its fields hold
// 255 bytes (AUTH_STR_MAX_LEN).
func badCredential(s string) string {
	switch {
	case len(s) > 255:
		return "is longer than 255 bytes"
	case strings.TrimSpace(s) != s:
		return "begins or ends with a blank"
	case strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		return "holds a control character"
	case s == "<empty>":
		return "is the word with which open-iscsi marks an empty value"
	}
	return ""
}
