package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"onevolume"
)

// deed changes one volume.
type deed func(ctx context.Context, id onevolume.VolumeID) error

// change makes a command that changes the volumes of its first argument,
// silent unless asked to speak, as OpenNebula's tools are. prepare reads the
// other arguments. What fails for one volume is said, and the others are done.
func (a *App) change(done string, prepare func(ctx context.Context, s *Session, args []string) (deed, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		s, err := a.open()
		if err != nil {
			return err
		}
		do, err := prepare(ctx, s, args[1:])
		if err != nil {
			return err
		}
		ids, err := s.volumeIDs(ctx, args[0])
		if err != nil {
			return err
		}
		var failed error
		for _, id := range ids {
			if err := do(ctx, id); err != nil {
				if ctx.Err() != nil {
					return err
				}
				a.complain(err)
				failed = &quietError{err}
				continue
			}
			a.did(id, done)
		}
		return failed
	}
}

// changeOne is change for a command that takes one volume.
func (a *App) changeOne(done string, prepare func(ctx context.Context, s *Session, args []string) (deed, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		s, err := a.open()
		if err != nil {
			return err
		}
		id, err := s.volume(ctx, args[0])
		if err != nil {
			return err
		}
		do, err := prepare(ctx, s, args[1:])
		if err != nil {
			return err
		}
		if err := do(ctx, id); err != nil {
			return err
		}
		a.did(id, done)
		return nil
	}
}

// did says what was done to a volume, to those who asked to hear it.
func (a *App) did(id onevolume.VolumeID, done string) {
	if a.opts.Verbose {
		fmt.Fprintf(a.Out, "VOLUME %d: %s\n", id, done)
	}
}

// simply makes a deed that needs no further arguments.
func simply(act func(s *Session) deed) func(context.Context, *Session, []string) (deed, error) {
	return func(_ context.Context, s *Session, _ []string) (deed, error) { return act(s), nil }
}

// Words for arguments, as OpenNebula's tools have them.
const (
	oneVolume   = "volumeid"
	manyVolumes = "range|volumeid_list"
)

func (a *App) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "delete <range|volumeid_list>",
		Short:             "Delete volumes on their arrays, or take registered ones out of the inventory",
		Long:              "What is on a volume that was made on an array is lost. The logical unit of a registered one is left alone.\n" + refsHelp,
		Example:           "  onevolume delete 4..7",
		Args:              arguments(manyVolumes),
		ValidArgsFunction: a.complete(listOf(volumeRefs)),
		RunE:              a.change("deleted", simply(func(s *Session) deed { return s.Daemon.Delete })),
	}
}

func (a *App) renameCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "rename <volumeid> <name>",
		Short:             "Give a volume another name",
		Args:              arguments(oneVolume, "name"),
		ValidArgsFunction: a.complete(volumeRefs),
		RunE: a.changeOne("renamed", func(_ context.Context, s *Session, args []string) (deed, error) {
			return func(ctx context.Context, id onevolume.VolumeID) error { return s.Daemon.Rename(ctx, id, args[0]) }, nil
		}),
	}
}

func (a *App) chmodCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "chmod <range|volumeid_list> <octet>",
		Short: "Set volumes' permissions: use, manage and admin for owner, group and others",
		Long: "Permissions are three octal digits for owner, group and others, in which 4 is use, 2 manage and 1 admin;\n" +
			"or letters: u=rw,g=r gives use and manage to the owner, use to the group, and nothing to others.\n" + refsHelp,
		Example:           "  onevolume chmod disk1 644\n  onevolume chmod 0..3 u=rw,g=r",
		Args:              arguments(manyVolumes, "octet"),
		ValidArgsFunction: a.complete(listOf(volumeRefs)),
		RunE: func(cmd *cobra.Command, args []string) error {
			bits, err := octet(args[1])
			if err != nil {
				return err
			}
			return a.change("Permissions changed", simply(func(s *Session) deed {
				return func(ctx context.Context, id onevolume.VolumeID) error { return s.Daemon.Chmod(ctx, id, bits) }
			}))(cmd, args)
		},
	}
}

func (a *App) enableCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "enable <range|volumeid_list>",
		Short:             "Let disabled volumes be attached again",
		Long:              refsHelp,
		Args:              arguments(manyVolumes),
		ValidArgsFunction: a.complete(listOf(volumeRefs)),
		RunE:              a.change("enabled", simply(enabling(true))),
	}
}

func (a *App) disableCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "disable <range|volumeid_list>",
		Short:             "Keep free volumes from being picked and attached",
		Long:              refsHelp,
		Args:              arguments(manyVolumes),
		ValidArgsFunction: a.complete(listOf(volumeRefs)),
		RunE:              a.change("disabled", simply(enabling(false))),
	}
}

func enabling(yes bool) func(s *Session) deed {
	return func(s *Session) deed {
		return func(ctx context.Context, id onevolume.VolumeID) error { return s.Daemon.Enable(ctx, id, yes) }
	}
}

func (a *App) resizeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resize <volumeid> <size>",
		Short: "Make a volume larger, or record that a registered one's logical unit was",
		Long: "A volume that was made on an array grows there to at least the size. Of a registered one the inventory alone is\n" +
			"changed: the size is what the logical unit has now, to the byte (64 is 64 MB; 64G, 1.5T,\n" +
			"67108864B), and the next attach proves it. In a VM that runs, under KVM, the host proves it now\n" +
			"and the guest sees it; the same size again brings a guest to it that does not. Volumes never shrink.",
		Example:           "  onevolume resize disk1 128G",
		Args:              arguments(oneVolume, "size"),
		ValidArgsFunction: a.complete(volumeRefs),
		RunE: func(cmd *cobra.Command, args []string) error {
			size, err := onevolume.ParseSize(args[1])
			if err != nil {
				return err
			}
			return a.changeOne("resized", simply(func(s *Session) deed {
				return func(ctx context.Context, id onevolume.VolumeID) error { return s.Daemon.Resize(ctx, id, size) }
			}))(cmd, args)
		},
	}
}
