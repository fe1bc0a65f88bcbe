package cli

import (
	"context"

	"github.com/spf13/cobra"

	"onevolume"
)

// lockAll is the level of --all. oned takes it and makes it USE.
const lockAll onevolume.LockLevel = 4

func (a *App) lockCommand() *cobra.Command {
	var use, manage, admin, all bool
	cmd := &cobra.Command{
		Use:   "lock <range|volumeid_list>",
		Short: "Lock volumes, so that nobody changes or uses them",
		Long: "Levels, each also for administrators until the lock is taken off:\n" +
			"  use     nothing can be done with the volume (the default)\n" +
			"  manage  what needs MANAGE or ADMIN cannot\n" +
			"  admin   what needs ADMIN cannot\n" +
			"Volumes can be shown and unlocked all the same.\n" + refsHelp,
		Args:              arguments(manyVolumes),
		ValidArgsFunction: a.complete(listOf(volumeRefs)),
		RunE: a.change("Volume locked", simply(func(s *Session) deed {
			level := onevolume.LockUse
			switch { // in the order of OpenNebula's tools, when several are given
			case use:
			case manage:
				level = onevolume.LockManage
			case admin:
				level = onevolume.LockAdmin
			case all:
				level = lockAll
			}
			return func(ctx context.Context, id onevolume.VolumeID) error { return s.Daemon.Lock(ctx, id, level, false) }
		})),
	}
	f := cmd.Flags()
	f.BoolVar(&use, "use", false, "lock use actions")
	f.BoolVar(&manage, "manage", false, "lock manage actions")
	f.BoolVar(&admin, "admin", false, "lock admin actions")
	f.BoolVar(&all, "all", false, "lock all actions")
	return cmd
}

func (a *App) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "unlock <range|volumeid_list>",
		Short:             "Take the locks of volumes off",
		Long:              refsHelp,
		Args:              arguments(manyVolumes),
		ValidArgsFunction: a.complete(listOf(volumeRefs)),
		RunE:              a.change("Volume unlocked", simply(func(s *Session) deed { return s.Daemon.Unlock })),
	}
}
