package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"onevolume"
)

// suggest lists what could be typed, each with what it is after a tab.
type suggest func(ctx context.Context, s *Session) []string

// completion is what cobra asks for suggestions.
type completion = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// complete makes suggestions for a command's first argument.
func (a *App) complete(what suggest) completion { return a.completeAt(0, what) }

// completeAt makes suggestions for the argument with that index.
func (a *App) completeAt(index int, what suggest) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) != index {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s, err := a.open()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return what(cmd.Context(), s), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag makes suggestions for a flag's value.
func (a *App) completeFlag(cmd *cobra.Command, flag string, what suggest) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		s, err := a.open()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return what(cmd.Context(), s), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // a flag that the command does not have
	}
}

func words(list ...string) suggest {
	return func(context.Context, *Session) []string { return list }
}

// volumeNames are the names of the caller's volumes.
func volumeNames(ctx context.Context, s *Session) []string {
	return volumesWhere(ctx, s, func(v *onevolume.Volume) string {
		return fmt.Sprintf("%s\t%s %s", v.Name, v.Size, v.State)
	})
}

// parkedOperations are those of volumes in ERROR.
func parkedOperations(ctx context.Context, s *Session) []string {
	return volumesWhere(ctx, s, func(v *onevolume.Volume) string {
		if v.State != onevolume.Failed || v.Operation == 0 {
			return ""
		}
		return fmt.Sprintf("%d\tof volume %d (%s)", v.Operation, v.ID, v.Name)
	})
}

func volumesWhere(ctx context.Context, s *Session, text func(*onevolume.Volume) string) []string {
	list, err := s.Daemon.Pool(ctx, -2, -1, -1)
	if err != nil {
		return nil
	}
	var out []string
	for i := range list {
		if t := text(&list[i]); t != "" {
			out = append(out, t)
		}
	}
	return out
}
