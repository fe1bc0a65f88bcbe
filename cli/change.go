package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"onevolume"
)

// change makes a command that changes one volume: silent unless asked to
// speak, as OpenNebula's tools are.
func (a *App) change(done string, act func(cmd *cobra.Command, s *Session, id onevolume.VolumeID, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		id, err := s.volume(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if err := act(cmd, s, id, args[1:]); err != nil {
			return err
		}
		a.say("VOLUME %d: %s", id, done)
		return nil
	}
}

func (a *App) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "delete <volume_id>",
		Short:             "Take a volume out of the inventory; its logical unit is left alone",
		Args:              arguments("volume_id"),
		ValidArgsFunction: a.complete(volumeNames),
		RunE: a.change("deleted", func(cmd *cobra.Command, s *Session, id onevolume.VolumeID, _ []string) error {
			return s.Daemon.Delete(cmd.Context(), id)
		}),
	}
}

func (a *App) renameCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "rename <volume_id> <name>",
		Short:             "Give a volume another name",
		Args:              arguments("volume_id", "name"),
		ValidArgsFunction: a.complete(volumeNames),
		RunE: a.change("renamed", func(cmd *cobra.Command, s *Session, id onevolume.VolumeID, args []string) error {
			return s.Daemon.Rename(cmd.Context(), id, args[0])
		}),
	}
}

func (a *App) updateCommand() *cobra.Command {
	var appending bool
	cmd := &cobra.Command{
		Use:   "update <volume_id> <file>",
		Short: "Replace a volume's attributes by those of a template file (- for standard input)",
		Long: "Replaces the volume's own attributes, or adds to them with --append. Administrators may also give\n" +
			"PORTALS, SIZE, ARRAY, UNIT_SERIAL, WWID, CHAP_USER, CHAP_SECRET, CHAP_USER_IN and CHAP_SECRET_IN\n" +
			"while the volume is in no VM; these stay as they are when they are not given.",
		Args:              arguments("volume_id", "file"),
		ValidArgsFunction: a.complete(volumeNames),
		RunE: a.change("updated", func(cmd *cobra.Command, s *Session, id onevolume.VolumeID, args []string) error {
			text, err := a.readText(args[0])
			if err != nil {
				return err
			}
			return s.Daemon.Update(cmd.Context(), id, text, appending)
		}),
	}
	cmd.Flags().BoolVarP(&appending, "append", "a", false, "add to the attributes there are")
	return cmd
}

func (a *App) chmodCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "chmod <volume_id> <octet>",
		Short:             "Set a volume's permissions: use, manage and admin for owner, group and others",
		Example:           "  onevolume chmod disk1 644",
		Args:              arguments("volume_id", "octet"),
		ValidArgsFunction: a.complete(volumeNames),
		RunE: a.change("permissions changed", func(cmd *cobra.Command, s *Session, id onevolume.VolumeID, args []string) error {
			n, err := strconv.ParseUint(args[0], 8, 16)
			if err != nil || n > 0o777 {
				return fmt.Errorf("octet %q: must be three digits from 0 to 7, such as 640", args[0])
			}
			var bits [9]int
			for i := range bits {
				bits[i] = int(n) >> (8 - i) & 1
			}
			return s.Daemon.Chmod(cmd.Context(), id, bits)
		}),
	}
}
