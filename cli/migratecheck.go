package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"onevolume"
)

// migrateCheckCommand is `onevolume migrate-check`.
func (a *App) migrateCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate-check <vm> <host>",
		Short: "Tell whether a VM with its volumes could migrate to a host",
		Long: "onevolumed asks oned for the host, both hosts for their initiators' names and their hypervisors' versions, and has each\n" +
			"volume of the VM logged in on the host and proven there as before a live migration; then it is logged out again. The\n" +
			"VM is not touched. It is for oneadmin's group.\n\n" +
			"The exit status is 0 when nothing is in the way, 1 when something is, 255 when it could not be told.",
		Example: "  onevolume migrate-check web host02",
		Args:    arguments("vm", "host"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			vm, err := s.Cloud.VMID(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			list, err := s.Daemon.MigrateCheck(cmd.Context(), vm, args[1])
			if err != nil {
				return err
			}
			if n := a.tellChecks(list); n > 0 {
				return &differError{quietError{fmt.Errorf("%d in the way", n)}}
			}
			return nil
		},

		ValidArgsFunction: a.complete(vmRefs),
	}
}

// tellChecks prints a line for each check, with what to do under one that
// failed, and gives the number of those.
func (a *App) tellChecks(list []onevolume.Check) (failed int) {
	for _, c := range list {
		word := "ok  "
		if !c.OK {
			word, failed = "FAIL", failed+1
		}
		fmt.Fprintf(a.Out, "%s %-10s %s\n", word, oneLine(c.What), oneLine(c.Text))
		if !c.OK && c.Hint != "" {
			fmt.Fprintf(a.Out, "     %-10s %s\n", "", oneLine(c.Hint))
		}
	}
	return failed
}
