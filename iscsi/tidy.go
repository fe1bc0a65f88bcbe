package iscsi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"onevolume"
	"onevolume/command"
)

// The calls in this file put right what others left on a host. Each has a
// twin that gives its commands, for people to see before; both come from one
// place. All may be repeated.

// SetManual keeps the host from logging in by the record when it boots.
func (i *Initiator) SetManual(ctx context.Context, h command.Host, r Record) error {
	return tidy(ctx, h, "setting the node record of "+r.Name+" to manual", ManualCommands(r), exitNoObjects)
}

// ManualCommands are SetManual's.
func ManualCommands(r Record) []command.Cmd {
	return []command.Cmd{node(r, "-o", "update", "-n", "node.startup", "-v", "manual")}
}

// Forget deletes a node record. One that a session uses is refused with the
// code Held; one that is gone is success.
func (i *Initiator) Forget(ctx context.Context, h command.Host, r Record) error {
	return tidy(ctx, h, "deleting the node record of "+r.Name, ForgetCommands(r), exitNoObjects)
}

// ForgetCommands are Forget's.
func ForgetCommands(r Record) []command.Cmd { return []command.Cmd{node(r, "-o", "delete")} }

func node(r Record, words ...string) command.Cmd {
	return root(append([]string{"iscsiadm", "-m", "node", "-T", r.Name, "-p", r.At}, words...)...)
}

// RemoveLink removes a link that leads to no disk, and nothing else: find
// looks again in the moment it deletes.
func (i *Initiator) RemoveLink(ctx context.Context, h command.Host, l Link) error {
	if _, ok := ParseLink(l.Path); !ok || l.File {
		return onevolume.Errorf(onevolume.Invalid, "host %s: %q is no link of udev's to a disk of iSCSI", h.Name(), l.Path)
	}
	return tidy(ctx, h, "removing the link "+l.Path, LinkCommands(l), 1) // 1: it is gone
}

// LinkCommands are RemoveLink's.
func LinkCommands(l Link) []command.Cmd {
	return []command.Cmd{root("find", l.Path, "-maxdepth", "0", "-type", "l", "!", "-xtype", "b", "-delete")}
}

// Rename gives the host's initiator another name. The caller has seen to it
// that the host has no session. iscsid reads the name when it starts and
// never again (open-iscsi 2.1.8), so it is ended; systemd, or iscsiadm by
// iscsid.startup, starts it when it is wanted next.
func (i *Initiator) Rename(ctx context.Context, h command.Host, name onevolume.IQN) error {
	if _, err := onevolume.ParseIQN(string(name)); err != nil {
		return err
	}
	return tidy(ctx, h, "giving the initiator a name of its own", RenameCommands(name), exitISCSIDNotConn)
}

// RenameCommands are Rename's.
func RenameCommands(name onevolume.IQN) []command.Cmd {
	set := root("tee", "/etc/iscsi/initiatorname.iscsi")
	set.Stdin, set.Plain = command.Secret(fmt.Sprintf("InitiatorName=%s\n", name)), true
	return []command.Cmd{set, root("iscsiadm", "-k", "0")}
}

// OwnName makes an initiator's name for a host: the authority of the old one,
// as iscsi-iname keeps it, and twelve digits that no other host of the cloud
// gets. It is always the same, so that what was shown is what is done.
func OwnName(old onevolume.IQN, host string) onevolume.IQN {
	sum := sha256.Sum256([]byte(string(old) + " " + host))
	authority := "iqn.2016-04.com.open-iscsi" // iscsi-iname's own
	if at := strings.LastIndexByte(string(old), ':'); at > 0 {
		if _, err := onevolume.ParseIQN(string(old)); err == nil {
			authority = string(old[:at])
		}
	}
	return onevolume.IQN(authority + ":" + hex.EncodeToString(sum[:6]))
}

// tidy runs commands one after the other. ok are exit statuses besides 0 that
// say that there is nothing to do.
func tidy(ctx context.Context, h command.Host, doing string, cmds []command.Cmd, ok ...int) error {
	for _, c := range cmds {
		res, err := command.Do(ctx, h, c, ok...)
		if err == nil && !command.SudoRefused(res) {
			continue
		}
		code, hint := onevolume.Refused, "look at what the host says of it"
		switch {
		case command.SudoRefused(res):
			hint = hintSudo
		case res.Code == exitSessExists:
			code, hint = onevolume.Held, "a session uses it; see iscsiadm -m session on the host"
		case res.Code == 0 || res.Code == -1:
			code, hint = onevolume.Unknown, "look at the host again before anything else is done"
		}
		if err == nil { // 1 is an exit status of find's too
			err = command.Check(h.Name(), c, res, nil)
		}
		return onevolume.Errorf(code, "host %s: %s: %w", h.Name(), doing, err).WithHint("%s", hint)
	}
	return nil
}
