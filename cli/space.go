package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
)

func (a *App) arrayListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the arrays that make volumes, and how much room they have",
		Long: "As they said last; the daemon asks them in an interval. ROOM is how much more may be provisioned. What is not known\n" +
			"is \"?\", and STAT is \"on\", \"err\" when the array did not answer last, or \"new\" when it never did.",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			list, err := s.Daemon.Arrays(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%-16s %-6s %8s %8s %8s %8s %7s %s\n", "NAME", "KIND", "TOTAL", "FREE", "PROV", "ROOM", "VOLUMES", "STAT")
			for _, x := range list {
				room := onevolume.UnknownSize
				if n, known := x.Room(); known {
					room = n
				}
				fmt.Fprintf(a.Out, "%-16s %-6s %8s %8s %8s %8s %7d %s\n", x.Array, x.Kind, figure(x.Total), figure(x.Free),
					figure(x.Provisioned), figure(room), x.Volumes, stat(x))
			}
			return nil
		},
	}
}

// figure is a size, or a question mark.
func figure(n onevolume.Size) string {
	if n < 0 {
		return "?"
	}
	return n.String()
}

func stat(x onevolume.Space) string {
	switch {
	case x.Error != "":
		return "err"
	case x.Time.IsZero():
		return "new"
	}
	return "on"
}

// arrayShowCommand is show, and stats, which is the same for one array.
func (a *App) arrayShowCommand(name, short string, look func(*Session, *cobra.Command, string) (onevolume.Space, error)) *cobra.Command {
	return &cobra.Command{
		Use: name + " <name>", Short: short, Args: arguments("name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			x, err := look(s, cmd, args[0])
			if err != nil {
				return err
			}
			a.tellSpace(x)
			if name == "check" && (x.Trouble != "" || len(x.Findings) > 0) {
				return &differError{quietError{errors.New("there is something to look at")}}
			}
			return nil
		},
	}
}

// knownSpace finds what is known of an array.
func knownSpace(s *Session, cmd *cobra.Command, name string) (onevolume.Space, error) {
	list, err := s.Daemon.Arrays(cmd.Context())
	if err != nil {
		return onevolume.Space{}, err
	}
	for _, x := range list {
		if x.Array == name {
			return x, nil
		}
	}
	return onevolume.Space{}, onevolume.Errorf(onevolume.NotFound, "There is no array %q that makes volumes.", name).WithHint("onevolume array list")
}

// checkedSpace has the array asked now.
func checkedSpace(s *Session, cmd *cobra.Command, name string) (onevolume.Space, error) {
	return s.Daemon.CheckArray(cmd.Context(), name)
}

func (a *App) tellSpace(x onevolume.Space) {
	line := func(name, text string) { fmt.Fprintf(a.Out, "%-15s: %s\n", name, oneLine(text)) }
	line("NAME", x.Array)
	line("KIND", x.Kind)
	line("MODEL", orDash(x.Vendor+" "+x.Model+" "+x.Version))
	for _, f := range []struct {
		name string
		size onevolume.Size
	}{{"TOTAL", x.Total}, {"FREE", x.Free}, {"USED", x.Used}, {"PROVISIONED", x.Provisioned}, {"LIMIT", x.Limit}} {
		line(f.name, figure(f.size))
	}
	line("VOLUMES", fmt.Sprint(x.Volumes))
	line("HAS", orDash(strings.Join(x.Has, ", ")))
	line("USERS", yesNo(x.Users))
	line("AUTO_CREATE", yesNo(x.AutoCreate))
	asked := "never"
	if !x.Time.IsZero() {
		asked = when(x.Time)
	}
	line("ANSWERED", asked)
	if x.Trouble != "" {
		line("TROUBLE", x.Trouble)
	}
	if x.Error != "" {
		line("ERROR", x.Error)
	}
	for _, text := range x.Findings {
		line("FINDING", text)
	}
}
