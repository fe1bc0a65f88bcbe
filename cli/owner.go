package cli

import (
	"context"

	"github.com/spf13/cobra"

	"onevolume"
)

// unchangedID leaves the user or the group of a volume as it is.
const unchangedID = -1

func (a *App) chownCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "chown <range|volumeid_list> <userid> [<groupid>]",
		Short:             "Give volumes to another user, and to a group if one is named",
		Long:              "User and group are given by id or name.\n" + refsHelp,
		Example:           "  onevolume chown 0..3 alice users",
		Args:              arguments(manyVolumes, "userid", "[groupid]"),
		ValidArgsFunction: a.complete(listOf(volumeRefs), userNames, groupNames),
		RunE: a.change("Owner/Group changed", func(ctx context.Context, s *Session, args []string) (deed, error) {
			uid, err := s.Cloud.UserID(ctx, args[0])
			if err != nil {
				return nil, err
			}
			gid := unchangedID
			if len(args) > 1 {
				if gid, err = s.Cloud.GroupID(ctx, args[1]); err != nil {
					return nil, err
				}
			}
			return chowning(s, uid, gid), nil
		}),
	}
}

func (a *App) chgrpCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "chgrp <range|volumeid_list> <groupid>",
		Short:             "Give volumes to another group",
		Long:              "The group is given by id or name.\n" + refsHelp,
		Args:              arguments(manyVolumes, "groupid"),
		ValidArgsFunction: a.complete(listOf(volumeRefs), groupNames),
		RunE: a.change("Group changed", func(ctx context.Context, s *Session, args []string) (deed, error) {
			gid, err := s.Cloud.GroupID(ctx, args[0])
			return chowning(s, unchangedID, gid), err
		}),
	}
}

func chowning(s *Session, uid, gid int) deed {
	return func(ctx context.Context, id onevolume.VolumeID) error { return s.Daemon.Chown(ctx, id, uid, gid) }
}
