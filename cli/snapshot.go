package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"onevolume"
)

// snapshotCommands are named as oneimage's are.
func (a *App) snapshotCommands() []*cobra.Command {
	return []*cobra.Command{a.snapshotCreateCommand(), a.snapshotListCommand(),
		a.snapshotChangeCommand("delete", "Delete a snapshot of a volume",
			"Refused while volumes that were made from it need it.", func(s *Session) snapshotDeed { return s.Daemon.DeleteSnapshot }),
		a.snapshotChangeCommand("revert", "Make what is on a volume what was on it at a snapshot",
			"What is on it now is lost. The volume must be in no VM, and stays with whoever owned it then. Snapshots stay.",
			func(s *Session) snapshotDeed { return s.Daemon.RevertSnapshot }),
		a.cloneCommand()}
}

type snapshotDeed func(ctx context.Context, id onevolume.VolumeID, snapshot onevolume.SnapshotID) error

func (a *App) snapshotCreateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot-create <volumeid> <name>",
		Short: "Keep what is on a volume now as a snapshot",
		Long: "Of a volume that was made on an array with snapshots. It may be in a VM: the snapshot is then as after a power cut,\n" +
			"without what the guest has not written yet.",
		Example:           "  onevolume snapshot-create disk1 before-upgrade",
		Args:              arguments(oneVolume, "name"),
		ValidArgsFunction: a.complete(volumeRefs),
		RunE: a.makeOf(func(ctx context.Context, s *Session, id onevolume.VolumeID, name string) (int, error) {
			made, err := s.Daemon.CreateSnapshot(ctx, id, name)
			return int(made), err
		}),
	}
}

// makeOf runs a command that makes something of a volume under a name, and
// prints its id.
func (a *App) makeOf(do func(ctx context.Context, s *Session, id onevolume.VolumeID, name string) (int, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		id, err := s.volume(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		made, err := do(cmd.Context(), s, id, args[1])
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "ID: %d\n", made)
		return nil
	}
}

func (a *App) snapshotListCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "snapshot-list <volumeid>",
		Short:             "List the snapshots of a volume",
		Args:              arguments(oneVolume),
		ValidArgsFunction: a.complete(volumeRefs),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			id, err := s.volume(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			list, err := s.Daemon.Snapshots(cmd.Context(), id)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%4s %-32s %10s %s\n", "ID", "NAME", "SIZE", "TIME")
			for _, shot := range list {
				fmt.Fprintf(a.Out, "%4d %-32s %10s %s\n", shot.ID, oneLine(shot.Name), shot.Size, when(shot.Time))
			}
			return nil
		},
	}
}

func (a *App) snapshotChangeCommand(verb, short, long string, of func(*Session) snapshotDeed) *cobra.Command {
	return &cobra.Command{
		Use:               "snapshot-" + verb + " <volumeid> <snapshot>",
		Short:             short,
		Long:              long + "\nThe snapshot is given by its id or name.",
		Example:           "  onevolume snapshot-" + verb + " disk1 before-upgrade",
		Args:              arguments(oneVolume, "snapshot"),
		ValidArgsFunction: a.complete(volumeRefs),
		RunE: a.changeOne("snapshot-"+verb, func(_ context.Context, s *Session, args []string) (deed, error) {
			return func(ctx context.Context, id onevolume.VolumeID) error {
				shot, err := s.snapshot(ctx, id, args[0])
				if err != nil {
					return err
				}
				return of(s)(ctx, id, shot)
			}, nil
		}),
	}
}

// snapshot finds a snapshot of a volume by its id or name.
func (s *Session) snapshot(ctx context.Context, id onevolume.VolumeID, ref string) (onevolume.SnapshotID, error) {
	if n, err := strconv.Atoi(ref); err == nil && n >= 0 {
		return onevolume.SnapshotID(n), nil
	}
	list, err := s.Daemon.Snapshots(ctx, id)
	if err != nil {
		return 0, err
	}
	var ids []onevolume.SnapshotID
	for _, shot := range list {
		if shot.Name == ref {
			ids = append(ids, shot.ID)
		}
	}
	return onevolume.OnlyOne("SNAPSHOT", ref, ids)
}

func (a *App) cloneCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "clone <volumeid> <name>",
		Short: "Make a volume with what is on another one now, on the same array",
		Long: "Of a volume that was made on an array which copies. What a guest writes meanwhile is in the copy or not, as after a\n" +
			"power cut. The copy is the caller's.",
		Example:           "  onevolume clone disk1 disk1-copy",
		Args:              arguments(oneVolume, "name"),
		ValidArgsFunction: a.complete(volumeRefs),
		RunE: a.makeOf(func(ctx context.Context, s *Session, id onevolume.VolumeID, name string) (int, error) {
			made, err := s.Daemon.Clone(ctx, id, name)
			return int(made), err
		}),
	}
}
