package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *App) typeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "type", Short: "Look at the types of volumes that are made", Args: cobra.NoArgs}
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the types of volumes, on which arrays they are made, and with which limits",
		Long:  "Types stand in the daemon's configuration. A volume keeps the limits that its type had when it was made.",
		Args:  arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			list, err := s.Daemon.Types(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%-16s %-24s %-24s %s\n", "NAME", "ARRAYS", "NEEDS", "LIMITS")
			for _, t := range list {
				arrays := strings.Join(t.Arrays, ",")
				if arrays == "" {
					arrays = "all"
				}
				fmt.Fprintf(a.Out, "%-16s %-24s %-24s %s\n", t.Name, arrays, orDash(strings.Join(t.Needs, ",")), orDash(t.Tune.String()))
			}
			return nil
		},
	})
	return cmd
}
