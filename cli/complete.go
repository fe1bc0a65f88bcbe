package cli

import (
	"context"
	"fmt"
	"strconv"
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

// typing is what stands on the command line so far: the arguments before, and
// the beginning of this one.
type typing struct {
	before []string
	word   string
}

// digits says whether an id is typed.
func (t typing) digits() bool { return t.word != "" && t.word[0] >= '0' && t.word[0] <= '9' }

// suggest lists what could be typed, each with what it is after a tab.
type suggest func(ctx context.Context, s *Session, t typing) []string

// completion is what cobra asks for suggestions.
type completion = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// complete makes suggestions for a command's arguments, one after the other;
// nil stands for a file.
func (a *App) complete(arguments ...suggest) completion {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(arguments) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		what := arguments[len(args)]
		if what == nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return a.suggestions(cmd, what, typing{args, word})
	}
}

// completeFlag makes suggestions for a flag's value.
func (a *App) completeFlag(cmd *cobra.Command, flag string, what suggest) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		return a.suggestions(cmd, what, typing{args, word})
	})
	if err != nil {
		panic(err) // a flag that the command does not have
	}
}

func (a *App) suggestions(cmd *cobra.Command, what suggest, t typing) ([]string, cobra.ShellCompDirective) {
	if a.opts.User != "" && a.opts.Password == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp // no time to ask for a password
	}
	s, err := a.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), suggestTime)
	defer cancel()
	return what(ctx, s, t), cobra.ShellCompDirectiveNoFileComp
}

func words(list ...string) suggest {
	return func(context.Context, *Session, typing) []string { return list }
}

// listOf suggests for a list with commas: what stands before the last comma
// stays.
func listOf(what suggest) suggest {
	return func(ctx context.Context, s *Session, t typing) []string {
		before := t.word[:strings.LastIndexByte(t.word, ',')+1]
		t.word = t.word[len(before):]
		list := what(ctx, s, t)
		for i := range list {
			list[i] = before + list[i]
		}
		return list
	}
}

// volumeRefs are the names of the caller's volumes; and their ids when a digit
// is typed, as the completion of OpenNebula's tools has it.
func volumeRefs(ctx context.Context, s *Session, t typing) []string {
	return refs(ctx, s, t, func(*onevolume.Volume) bool { return true })
}

// volumesIn are those that are in the VM of the argument before, or in any VM
// when that is no id.
func volumesIn(ctx context.Context, s *Session, t typing) []string {
	vm, err := strconv.Atoi(t.before[len(t.before)-1])
	return refs(ctx, s, t, func(v *onevolume.Volume) bool {
		return v.Attachment.VM != onevolume.NoVM && (err != nil || int(v.Attachment.VM) == vm)
	})
}

func refs(ctx context.Context, s *Session, t typing, which func(*onevolume.Volume) bool) []string {
	return volumesWhere(ctx, s, func(v *onevolume.Volume) []string {
		if !which(v) {
			return nil
		}
		byName := fmt.Sprintf("%s\t%s %s", v.Name, v.Size, v.State)
		if !t.digits() {
			return []string{byName}
		}
		return []string{fmt.Sprintf("%d\t%s %s %s", v.ID, v.Name, v.Size, v.State), byName}
	})
}

// volumeNames are the names of the caller's volumes, where a number would
// mean something else.
func volumeNames(ctx context.Context, s *Session, t typing) []string {
	return volumeRefs(ctx, s, typing{before: t.before})
}

// parkedOperations are those of volumes in ERROR.
func parkedOperations(ctx context.Context, s *Session, _ typing) []string {
	return volumesWhere(ctx, s, func(v *onevolume.Volume) []string {
		if v.State != onevolume.Failed || v.Operation == 0 {
			return nil
		}
		return []string{fmt.Sprintf("%d\tof volume %d (%s)", v.Operation, v.ID, v.Name)}
	})
}

func volumesWhere(ctx context.Context, s *Session, texts func(*onevolume.Volume) []string) []string {
	list, err := s.Daemon.Pool(ctx, -2, 0, -suggestMost)
	if err != nil {
		return nil
	}
	var out []string
	for i := range list {
		out = append(out, texts(&list[i])...)
	}
	return out
}

// vmRefs are the caller's VMs: ids with their names when a digit or nothing is
// typed, else names.
func vmRefs(ctx context.Context, s *Session, t typing) []string {
	list, err := s.Cloud.VMs(ctx)
	if err != nil {
		return nil
	}
	out := make([]string, len(list))
	for i, vm := range list {
		if t.digits() || t.word == "" {
			out[i] = fmt.Sprintf("%d\t%s", vm.ID, oneLine(vm.Name))
		} else {
			out[i] = fmt.Sprintf("%s\tVM %d", oneLine(vm.Name), vm.ID)
		}
	}
	return out
}

func userNames(ctx context.Context, s *Session, _ typing) []string {
	list, _ := s.Cloud.UserNames(ctx) // nothing to suggest is no failure
	return list
}

func groupNames(ctx context.Context, s *Session, _ typing) []string {
	list, _ := s.Cloud.GroupNames(ctx) // likewise
	return list
}
