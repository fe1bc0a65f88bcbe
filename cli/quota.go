package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
	"onevolume/cli/document"
)

// Words for limits that are no number.
const (
	defaultWord   = "default"
	unlimitedWord = "unlimited"
)

func (a *App) quotaCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "quota", Short: "Show and set how many volumes users and groups may own, and how much they hold together", Args: cobra.NoArgs}
	cmd.AddCommand(a.quotaShowCommand(), a.quotaSetCommand())
	return cmd
}

// subjects are what can have a quota, as people write it.
var subjects = map[string]struct{ own, defaults onevolume.QuotaKind }{
	"user":  {onevolume.UserQuota, onevolume.DefaultUserQuota},
	"group": {onevolume.GroupQuota, onevolume.DefaultGroupQuota},
}

const ownID = -1

// quotaOf finds whose quota is meant: args are user or group, and perhaps an
// id or a name.
func quotaOf(ctx context.Context, s *Session, args []string, defaults bool) (of onevolume.QuotaOf, err error) {
	kinds, ok := subjects[args[0]]
	of = onevolume.QuotaOf{Kind: kinds.own, ID: ownID}
	switch {
	case !ok:
		return of, onevolume.Errorf(onevolume.Invalid, "%q has no quota", args[0]).WithHint("say user or group")
	case defaults && len(args) > 1:
		return of, onevolume.Errorf(onevolume.Invalid, "--default is for those who have no limits of their own, not for %s %s", args[0], args[1])
	case defaults:
		of.Kind = kinds.defaults
	case len(args) < 2:
	case of.Kind == onevolume.UserQuota:
		of.ID, err = s.Cloud.UserID(ctx, args[1])
	default:
		of.ID, err = s.Cloud.GroupID(ctx, args[1])
	}
	return of, err
}

// quotaShow is `onevolume quota show`.
type quotaShow struct {
	*App
	format
	defaults bool
}

func (a *App) quotaShowCommand() *cobra.Command {
	c := &quotaShow{App: a}
	cmd := &cobra.Command{
		Use:   "show [user|group [<name>]]",
		Short: "Show limits and what is used of them",
		Long: "Of a user or a group, by id or name; without one, the caller's own or the caller's primary group. Users see their own\n" +
			"quota and those of their groups.",
		Example:   "  onevolume quota show\n  onevolume quota show group staff\n  onevolume quota show user --default",
		Args:      arguments("[user|group]", "[name]"),
		ValidArgs: []string{"user", "group"},
		RunE:      c.run,
	}
	cmd.Flags().BoolVar(&c.defaults, "default", false, "show the limits of those who have none of their own")
	c.flags(cmd)
	return cmd
}

func (c *quotaShow) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	s, err := c.open()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"user"}
	}
	of, err := quotaOf(ctx, s, args, c.defaults)
	if err != nil {
		return err
	}
	if c.wanted() {
		text, err := s.Daemon.QuotaXML(ctx, of)
		if err != nil {
			return err
		}
		e, err := document.Parse(text)
		if err != nil {
			return err
		}
		return c.format.print(c.App, e, false)
	}
	q, err := s.Daemon.Quota(ctx, of)
	if err != nil {
		return err
	}
	c.describe(args[0], q)
	return nil
}

// describe prints a limit a line, with what is used of it.
func (c *quotaShow) describe(subject string, q onevolume.Quota) {
	title := fmt.Sprintf("VOLUME QUOTA OF %s %d", strings.ToUpper(subject), q.Of.ID)
	if q.Of.Kind.Default() {
		title = fmt.Sprintf("DEFAULT VOLUME QUOTA OF %sS", strings.ToUpper(subject))
	}
	c.head(title, true)
	sizes := func(mb int64) string {
		const most = int64(1) << 43 // what a Size takes; nobody has that
		if mb == 0 {
			return "0M"
		}
		return (onevolume.Size(min(mb, most-1)) * onevolume.MiB).String()
	}
	line := func(name, used string, own, otherwise int64, text func(int64) string) {
		limit, from := own, ""
		switch {
		case q.Of.Kind.Default():
		case q.Of.ID == 0: // oneadmin and its group, whatever is set
			limit = onevolume.Unlimited
		case own == onevolume.DefaultLimit && otherwise >= 0:
			limit, from = otherwise, " (by default)"
		}
		what := unlimitedWord
		if limit >= 0 {
			what = text(limit)
		}
		if q.Of.Kind.Default() {
			fmt.Fprintf(c.Out, "%-15s: %s\n", name, what)
			return
		}
		fmt.Fprintf(c.Out, "%-15s: %s of %s%s\n", name, used, what, from)
	}
	line("VOLUMES", strconv.FormatInt(q.Used.Volumes, 10), q.Limits.Volumes, q.Defaults.Volumes, func(n int64) string { return strconv.FormatInt(n, 10) })
	line("SIZE", sizes(q.Used.Size.MB()), q.Limits.SizeMB, q.Defaults.SizeMB, sizes)
}

// quotaSet is `onevolume quota set`.
type quotaSet struct {
	*App
	volumes, size string
	defaults      bool
}

func (a *App) quotaSetCommand() *cobra.Command {
	c := &quotaSet{App: a}
	cmd := &cobra.Command{
		Use:   "set user|group [<name>]",
		Short: "Limit a user or a group, or with --default all that have no limits of their own; for oneadmin's group",
		Long: "Limits are a number, \"default\" or \"unlimited\" (-1 and -2 as with OpenNebula's quotas); 0 allows nothing. What is not\n" +
			"given stays. A lower limit takes nothing away from who has more.",
		Example:   "  onevolume quota set user alice --volumes 10 --size 2T\n  onevolume quota set group --default --volumes 100",
		Args:      arguments("user|group", "[name]"),
		ValidArgs: []string{"user", "group"},
		RunE:      c.run,
	}
	f := cmd.Flags()
	f.StringVar(&c.volumes, "volumes", "", "how many volumes (`number`, default or unlimited)")
	f.StringVar(&c.size, "size", "", "how much they hold together (`size`: 64 is 64 MB; 64G, 1.5T; default or unlimited)")
	f.BoolVar(&c.defaults, "default", false, "set the limits of those who have none of their own")
	return cmd
}

func (c *quotaSet) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	var set []string
	for _, l := range []struct {
		key, text string
		read      func(string) (int64, error)
	}{{"VOLUMES", c.volumes, readNumber}, {"SIZE", c.size, readMB}} {
		if l.text == "" {
			continue
		}
		n, err := readLimit(l.text, l.read)
		if err != nil {
			return onevolume.Errorf(onevolume.Invalid, "option %s: %w", strings.ToLower(l.key), err)
		}
		set = append(set, fmt.Sprintf("%s = %d", l.key, n))
	}
	switch {
	case len(set) == 0:
		return onevolume.Errorf(onevolume.Invalid, "No limit is given.").WithHint("say --volumes, --size or both")
	case len(args) < 2 && !c.defaults:
		return onevolume.Errorf(onevolume.Invalid, "Which %s is missing.", args[0]).WithHint("name one, or say --default")
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	of, err := quotaOf(ctx, s, args, c.defaults)
	if err != nil {
		return err
	}
	if err := s.Daemon.SetQuota(ctx, of, "VOLUME = [ "+strings.Join(set, ", ")+" ]"); err != nil {
		return err
	}
	if c.opts.Verbose {
		fmt.Fprintf(c.Out, "%s: quota set\n", strings.ToUpper(strings.Join(args, " ")))
	}
	return nil
}

// readLimit reads a limit: a word, oned's number for it, or what read takes.
func readLimit(text string, read func(string) (int64, error)) (int64, error) {
	switch strings.ToLower(text) {
	case defaultWord, strconv.Itoa(onevolume.DefaultLimit):
		return onevolume.DefaultLimit, nil
	case unlimitedWord, strconv.Itoa(onevolume.Unlimited):
		return onevolume.Unlimited, nil
	case "0":
		return 0, nil
	}
	return read(text)
}

func readNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no number of volumes", text)
	}
	return n, nil
}

// readMB reads a size in whole MB, which quotas are in.
func readMB(text string) (int64, error) {
	size, err := onevolume.ParseSize(text)
	if err == nil && size%onevolume.MiB != 0 {
		err = fmt.Errorf("%q is not whole MB", text)
	}
	return size.MB(), err
}
