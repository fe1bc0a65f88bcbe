package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// Moves is what OpenNebula's own scripts and hooks say to the daemon (package
// xmlrpc, which documents each method).
type Moves interface {
	Premigrate(ctx context.Context, vm onevolume.VMID, host string) (int, error)
	Postmigrate(ctx context.Context, vm onevolume.VMID, host string) (int, error)
	Failmigrate(ctx context.Context, vm onevolume.VMID, host string) (int, error)
	Prerestore(ctx context.Context, vm onevolume.VMID, host string) (int, error)
	Predeploy(ctx context.Context, vm onevolume.VMID, host string) (int, error)
	Hint(ctx context.Context, kind string, id int) error
}

// Hooks are oned's.
type Hooks interface {
	// Shown is how many volumes the VM's own template shows.
	Shown(ctx context.Context, vm onevolume.VMID) (int, error)
	Hooks(ctx context.Context) ([]onevolume.Hook, error)
	AllocateHook(ctx context.Context, h onevolume.Hook) error
	DeleteHook(ctx context.Context, id int) error
}

func (a *App) hookCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "hook", Short: "What OpenNebula's scripts and hooks call, and how they come to call it", Args: cobra.NoArgs}
	cmd.AddCommand(
		a.moveHook("pre-migrate", "Get the volumes of a VM ready on the host that it is about to move to while it runs",
			"It answers when all are there and proven; with an error none is, and the VM must not move.", "moved", Moves.Premigrate),
		a.moveHook("post-migrate", "Say that a VM has moved",
			"The daemon looks for itself where the VM is, and logs out where it is not.", "", Moves.Postmigrate),
		a.moveHook("fail-migrate", "Say that a VM did not move",
			"The daemon looks for itself where the VM is, and logs out where it is not.", "", Moves.Failmigrate),
		a.moveHook("pre-restore", "Get the volumes of a saved VM ready on the host that it is about to be restored on",
			"It answers when all are there and proven; with an error the VM must not be restored there.", "restored", Moves.Prerestore),
		a.moveHook("pre-deploy", "Log former hosts out before a VM is started anew on a host",
			"The volumes are plugged when the VM runs. With an error a domain on another host has one, and the VM must not be started.", "started", Moves.Predeploy),
		a.hintHook("vm", "VM", "Say that a VM has changed its state"),
		a.hintHook("host", "HOST", "Say that a host has changed its state"),
		a.hookInstallCommand(), a.hookRemoveCommand(), a.hookCheckCommand())
	return cmd
}

// moveTime bounds what the daemon bounds itself, at 90 seconds.
const moveTime = 2 * time.Minute

// moveHook is a command that is awaited while a VM waits. What is to become of
// the VM with an error is done; without a word for it the error changes
// nothing about the VM.
func (a *App) moveHook(name, short, long, done string, say func(Moves, context.Context, onevolume.VMID, string) (int, error)) *cobra.Command {
	if done != "" {
		long += "\nWhen onevolumed does not answer, the VM's own template tells whether it has volumes (ONEVOLUME): without one it goes on\n" +
			"with a warning, with one the VM must not be " + done + "."
	}
	return &cobra.Command{
		Use: name + " <vm> <host>", Short: short,
		Long:    long + "\nThe exit status is 0 or 255; what is wrong is said in one line on standard error. It may be repeated.",
		Example: "  onevolume hook " + name + " 17 host02",
		Args:    arguments("vm", "host"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.moves(cmd.Context(), args, done, say)
			if err == nil {
				return nil
			}
			// One line, since OpenNebula shows it as the VM's error.
			text := oneLine(strings.TrimSpace(err.Error()))
			if hint := onevolume.HintOf(err); hint != "" && !strings.Contains(text, hint) {
				text += " (" + oneLine(hint) + ")"
			}
			fmt.Fprintln(a.Err, text)
			return &quietError{err}
		},
	}
}

func (a *App) moves(ctx context.Context, args []string, done string, say func(Moves, context.Context, onevolume.VMID, string) (int, error)) error {
	id, err := strconv.Atoi(args[0])
	vm, host := onevolume.VMID(id), args[1]
	if err != nil || id < 0 {
		return onevolume.Errorf(onevolume.Invalid, "%q is no VM's id", args[0])
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	bound, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	n, err := say(s.Daemon, bound, vm, host)
	switch code := onevolume.CodeOf(err); {
	case err == nil:
		a.say("VM %d: %s", vm, counted(n, "volume"))
		return nil
	case code != onevolume.Unreachable && code != onevolume.Unknown:
		return err // it answered, and knows better than any label
	}
	silent := err
	// What is left of the time is not for this.
	bound, cancel = context.WithTimeout(ctx, shownTime)
	defer cancel()
	shown, err := s.Cloud.Shown(bound, vm)
	switch {
	case done == "" && err == nil && shown == 0:
		return nil
	case done == "":
		return onevolume.Errorf(onevolume.CodeOf(silent), "onevolumed does not answer; when it is back it looks for itself where VM %d is: %w", vm, silent)
	case err != nil:
		return onevolume.Errorf(onevolume.Unreachable, "VM %d must not be %s: onevolumed does not answer, and whether the VM has volumes cannot be told: %w", vm, done, errors.Join(silent, err))
	case shown > 0:
		return onevolume.Errorf(onevolume.CodeOf(silent), "VM %d has %s and must not be %s while onevolumed does not answer: %w", vm, counted(shown, "volume"), done, silent)
	}
	fmt.Fprintf(a.Err, "onevolumed does not answer; VM %d shows no volume and may be %s: %s\n", vm, done, oneLine(silent.Error()))
	return nil
}

// shownTime bounds the question to oned for the VM's template.
const shownTime = 15 * time.Second
