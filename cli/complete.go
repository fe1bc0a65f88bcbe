package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// Whoever presses the tabulator key waits for the answer: it is given up after
// a while, and nothing is said of what went wrong.
const (
	suggestTime = 2 * time.Second
	// suggestMost is how many volumes are suggested, the newest.
	suggestMost = 500
)

// suggest lists what could be typed, each with what it is after a tab. typed
// is what is there already.
type suggest func(ctx context.Context, s *Session, typed string) []string

// completion is what cobra asks for suggestions.
type completion = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// complete makes suggestions for a command's first argument.
func (a *App) complete(what suggest) completion { return a.completeAt(0, what) }

// completeAt makes suggestions for the argument with that index.
func (a *App) completeAt(index int, what suggest) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) != index {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.suggestions(cmd, what, typed)
	}
}

// completeThenFile is complete for a command whose second argument is a file.
func (a *App) completeThenFile(what suggest) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return a.complete(what)(cmd, args, typed)
	}
}

// completeList is complete for an argument that is a list with commas: what
// stands before the last comma stays.
func (a *App) completeList(what suggest) completion {
	return a.complete(func(ctx context.Context, s *Session, typed string) []string {
		before := typed[:strings.LastIndexByte(typed, ',')+1]
		list := what(ctx, s, typed[len(before):])
		for i := range list {
			list[i] = before + list[i]
		}
		return list
	})
}

// completeFlag makes suggestions for a flag's value.
func (a *App) completeFlag(cmd *cobra.Command, flag string, what suggest) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.suggestions(cmd, what, typed)
	})
	if err != nil {
		panic(err) // a flag that the command does not have
	}
}

func (a *App) suggestions(cmd *cobra.Command, what suggest, typed string) ([]string, cobra.ShellCompDirective) {
	if a.opts.User != "" && a.opts.Password == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp // no time to ask for a password
	}
	s, err := a.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), suggestTime)
	defer cancel()
	return what(ctx, s, typed), cobra.ShellCompDirectiveNoFileComp
}

func words(list ...string) suggest {
	return func(context.Context, *Session, string) []string { return list }
}

// volumeRefs are the names of the caller's volumes; and their ids when a digit
// is typed, as the completion of OpenNebula's tools has it.
func volumeRefs(ctx context.Context, s *Session, typed string) []string {
	list := volumeNames(ctx, s, typed)
	if typed == "" || typed[0] < '0' || typed[0] > '9' {
		return list
	}
	return append(volumesWhere(ctx, s, func(v *onevolume.Volume) string {
		return fmt.Sprintf("%d\t%s %s %s", v.ID, v.Name, v.Size, v.State)
	}), list...)
}

// volumeNames are the names of the caller's volumes.
func volumeNames(ctx context.Context, s *Session, _ string) []string {
	return volumesWhere(ctx, s, func(v *onevolume.Volume) string {
		return fmt.Sprintf("%s\t%s %s", v.Name, v.Size, v.State)
	})
}

// parkedOperations are those of volumes in ERROR.
func parkedOperations(ctx context.Context, s *Session, _ string) []string {
	return volumesWhere(ctx, s, func(v *onevolume.Volume) string {
		if v.State != onevolume.Failed || v.Operation == 0 {
			return ""
		}
		return fmt.Sprintf("%d\tof volume %d (%s)", v.Operation, v.ID, v.Name)
	})
}

func volumesWhere(ctx context.Context, s *Session, text func(*onevolume.Volume) string) []string {
	list, err := s.Daemon.Pool(ctx, -2, 0, -suggestMost)
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
