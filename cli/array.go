package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"onevolume"
)

func (a *App) arrayCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "array", Short: "Look after the storage machines that the daemon works with", Args: cobra.NoArgs}
	cmd.AddCommand(a.arrayListCommand(),
		a.arrayShowCommand("show", "Show what is known of an array that makes volumes", knownSpace),
		a.arrayShowCommand("stats", "Show how much room an array has, as it said last", knownSpace),
		a.arrayShowCommand("check", "Ask an array that makes volumes how it is, and in what it differs from the inventory, now", checkedSpace),
		a.arraySyncCommand())
	return cmd
}

func (a *App) arraySyncCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sync <name>",
		Short: "Bring the inventory to what an array of the daemon's configuration says, now",
		Long: "The daemon reads what the array exports: new logical units become volumes, and of free volumes the size, portals,\n" +
			"serial number and CHAP are corrected. A volume that has vanished from the array becomes ERROR with the reason; none\n" +
			"is deleted. Of a volume that is in use it is only told what differs. Nothing is changed on the array.\n\n" +
			"The exit status is 0 when nothing is left to look at, 1 when something is, 255 when it could not be told.",
		Example: "  onevolume array sync store1",
		Args:    arguments("name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			done, err := s.Daemon.SyncArray(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			a.tellSync(done)
			if n := done.Reported(); n > 0 {
				return &differError{quietError{fmt.Errorf("%d to look at", n)}}
			}
			return nil
		},
	}
}

// tellSync prints a line for each change, and the sum.
func (a *App) tellSync(done onevolume.Synced) {
	for _, c := range done.Changes {
		what := ""
		if c.Volume != onevolume.NoVolume {
			what = fmt.Sprintf(" volume %d (%s)", c.Volume, oneLine(c.Name))
		}
		fmt.Fprintf(a.Out, "%s%s: %s LUN %d: %s\n", upper(string(c.What)), what, oneLine(c.Target), c.LUN, oneLine(c.Text))
	}
	fmt.Fprintf(a.Out, "Array %s has %s; the inventory had %s of it.", done.Array, counted(done.Units, "logical unit"), counted(done.Volumes, "volume"))
	if n := done.Reported(); n > 0 {
		fmt.Fprintf(a.Out, " %d to look at.", n)
	}
	fmt.Fprintln(a.Out)
}
