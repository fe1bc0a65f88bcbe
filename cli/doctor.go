package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"onevolume"
	"onevolume/doctor"
)

// Differences is the exit status of doctor when it found some that are still
// there.
const Differences = 1

// differError says that the inventory and its hosts differ; that has been
// printed already.
type differError struct{ quietError }

func (e *differError) Unwrap() error { return &e.quietError }

// checkup is `onevolume doctor`.
type checkup struct {
	*App
	tableFlags
	format
	host, array, volume string
	fix, yes            bool
}

func (a *App) doctorCommand() *cobra.Command {
	c := &checkup{App: a}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Compare the inventory with what is true on hosts, and repair what differs",
		Long: "Asks all hosts for their sessions, node records, devices, links and domains, and tells each difference with its\n" +
			"cause, its risk and the commands that would put it right. It changes nothing, unless --fix is given: then it\n" +
			"shows the same, asks once, and runs what it has shown, one difference after the other, looking again before each.\n" +
			"Nothing of targets that are not in the inventory is touched. It works from here, over this user's SSH.\n\n" +
			"After the inventory was restored from a backup, it may give out volumes again when doctor has examined all hosts\n" +
			"and nothing dangerous is left.\n\n" +
			"With an option of tables (-l, --csv, --no-header ...) it prints a table of the differences instead. The columns may be\n" +
			"laid out in onevolume-doctor.yaml beside onevolume.yaml.\n\n" +
			"The exit status is 0 when nothing differs (any more), 1 when something does, 255 when it could not be told.",
		Example: "  onevolume doctor\n  onevolume doctor --host host01 --fix",
		Args:    arguments(),
		RunE:    c.run,
	}
	f := cmd.Flags()
	f.StringVar(&c.host, "host", "", "only this host")
	f.StringVar(&c.array, "array", "", "only volumes of this array")
	f.StringVar(&c.volume, "volume", "", "only this volume")
	f.BoolVar(&c.fix, "fix", false, "repair what can be repaired")
	f.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	c.layout(cmd)
	c.flags(cmd, "csv")
	for _, other := range append([]string{"xml", "json", "yaml"}, tableOptions...) {
		cmd.MarkFlagsMutuallyExclusive("fix", other)
	}
	return cmd
}

func (c *checkup) run(cmd *cobra.Command, _ []string) error {
	ctx := cmd.Context()
	t, err := rowsOf(c.App, &c.tableFlags, "doctor", findingColumns(c.CSV), standardFindings())
	if err != nil {
		return err
	}
	if c.describe {
		return c.describes(t.Describe())
	}
	if c.fix && !c.yes {
		if err := c.canAsk("doctor --fix"); err != nil {
			return err
		}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	who, err := s.Cloud.WhoAmI(ctx)
	if err != nil {
		return err
	}
	if !who.IsAdmin() {
		return onevolume.Errorf(onevolume.Forbidden, "doctor looks at all volumes and all hosts, which is for oneadmin's group alone").
			WithHint("onevolume explain tells what became of a volume of yours")
	}
	scope := doctor.Scope{Host: c.host, Array: c.array, Volume: onevolume.NoVolume}
	if c.volume != "" {
		if scope.Volume, err = s.volume(ctx, c.volume); err != nil {
			return err
		}
	}
	found, err := s.Doctor.Examine(ctx, scope)
	if err != nil {
		return err
	}
	if c.wanted() || c.asked(cmd) {
		print := func() error { return c.value(c.App, "CHECKUP", checkupJSON(found)) }
		if !c.wanted() {
			print = func() error { return printRows(c.App, &c.tableFlags, t, found.Findings) }
		}
		if err := print(); err != nil {
			return err
		}
		return c.verdict(found)
	}
	c.tell(found)
	if c.fix {
		if found, err = c.repair(ctx, s, scope, found); err != nil {
			return err
		}
	}
	if err := c.lift(ctx, s, scope, found); err != nil {
		return err
	}
	return c.verdict(found)
}

// verdict is the exit status.
func (c *checkup) verdict(found onevolume.Checkup) error {
	if n := len(found.Findings); n > 0 {
		return &differError{quietError{fmt.Errorf("%d differences", n)}}
	}
	return nil
}

// tell prints what was found.
func (c *checkup) tell(found onevolume.Checkup) {
	for i, f := range found.Findings {
		fmt.Fprintf(c.Out, "%d. %s%s\n", i+1, upper(string(f.Trouble)), site(f))
		c.paragraph("Found:  ", f.Cause+".")
		c.paragraph("Risk:   ", f.Risk+".")
		for j, line := range f.Repair {
			head := "        "
			if j == 0 {
				head = "Repair: "
			}
			fmt.Fprintf(c.Out, "   %s%s\n", head, plain(line))
		}
		fmt.Fprintf(c.Out, "   %s\n\n", remedy(f))
	}
	fmt.Fprintln(c.Out, summary(found))
}

// paragraph prints text, folded for a terminal and not for others.
func (c *checkup) paragraph(head, text string) {
	width := 0
	if c.Width > 30 {
		width = c.Width - len(head) - 3
	}
	for i, line := range fold(text, width) {
		if i > 0 {
			head = "        "
		}
		fmt.Fprintf(c.Out, "   %s%s\n", head, line)
	}
}

// remedy says who puts it right.
func remedy(f onevolume.Finding) string {
	switch {
	case f.Harmless:
		return "onevolume doctor --fix does that; onevolumed does it by itself, too."
	case f.Fixable:
		return "onevolume doctor --fix does that, after asking."
	}
	return "This is not for onevolume to repair."
}

// site says what a finding is about.
func site(f onevolume.Finding) string {
	s := ""
	if f.Host != "" {
		s += ", host " + f.Host
	}
	if f.Volume != onevolume.NoVolume {
		s += ", volume " + strconv.Itoa(int(f.Volume))
	}
	if f.VM != onevolume.NoVM {
		s += ", VM " + strconv.Itoa(int(f.VM))
	}
	if f.Operation != 0 {
		s += ", operation " + strconv.Itoa(f.Operation)
	}
	return s
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

// summary counts.
func summary(found onevolume.Checkup) string {
	looked := fmt.Sprintf("%s examined, %s in scope", counted(found.Hosts, "host"), counted(found.Volumes, "volume"))
	if len(found.Findings) == 0 {
		return looked + ". No difference was found."
	}
	fixable := 0
	for _, f := range found.Findings {
		if f.Fixable {
			fixable++
		}
	}
	return fmt.Sprintf("%s. %s found, of which onevolume can repair %d.", looked, counted(len(found.Findings), "difference"), fixable)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// repair runs the plan that was shown and examines again. When something
// could not be repaired the rest is tried all the same.
func (c *checkup) repair(ctx context.Context, s *Session, scope doctor.Scope, found onevolume.Checkup) (onevolume.Checkup, error) {
	var plan []int
	for i, f := range found.Findings {
		if f.Fixable {
			plan = append(plan, i)
		}
	}
	if len(plan) == 0 {
		return found, nil
	}
	if !c.yes {
		if err := c.agree(fmt.Sprintf("Run the commands of the %s that can be repaired?", counted(len(plan), "difference"))); err != nil {
			return found, err
		}
	}
	fmt.Fprintln(c.Out)
	for _, i := range plan {
		f := found.Findings[i]
		result, err := s.Doctor.Fix(ctx, scope, f)
		switch {
		case ctx.Err() != nil:
			return found, onevolume.Errorf(onevolume.Unknown, "stopped at %d. %s%s", i+1, f.Trouble, site(f)).WithHint("see what is left: onevolume doctor")
		case err != nil:
			fmt.Fprintf(c.Out, "%d. %s%s: NOT REPAIRED: %s\n", i+1, upper(string(f.Trouble)), site(f), plain(err.Error()))
			if hint := onevolume.HintOf(err); hint != "" {
				fmt.Fprintf(c.Out, "   Hint: %s\n", plain(hint))
			}
		default:
			fmt.Fprintf(c.Out, "%d. %s%s: %s.\n", i+1, upper(string(f.Trouble)), site(f), result)
		}
	}
	again, err := s.Doctor.Examine(ctx, scope)
	if err != nil {
		return found, err
	}
	fmt.Fprintf(c.Out, "\nExamined again:\n\n")
	c.tell(again)
	return again, nil
}

// lift ends the hold on an inventory that came from a backup, when all of it
// was compared and nothing is left that may be in use and look free.
func (c *checkup) lift(ctx context.Context, s *Session, scope doctor.Scope, found onevolume.Checkup) error {
	h, err := s.Daemon.Health(ctx)
	if err != nil || h.Hold == "" {
		return err
	}
	fmt.Fprintf(c.Out, "\nThe inventory is on hold: %s.\n", oneLine(h.Hold))
	if !scope.Whole() {
		fmt.Fprintln(c.Out, "It stays so until onevolume doctor has examined everything, without --host, --array and --volume.")
		return nil
	}
	for _, f := range found.Findings {
		if doctor.Dangerous(f) {
			fmt.Fprintln(c.Out, "It stays so until nothing is left that is in use and may look free: repair the above first.")
			return nil
		}
	}
	if err := s.Daemon.Lift(ctx); err != nil {
		return err
	}
	fmt.Fprintln(c.Out, "All hosts were examined and nothing dangerous is left: the hold is lifted, volumes can be attached.")
	return nil
}

// checkupJSON is a checkup in JSON, in the manner of the other documents.
func checkupJSON(found onevolume.Checkup) map[string]any {
	findings := make([]any, len(found.Findings))
	for i, f := range found.Findings {
		findings[i] = map[string]any{
			"TROUBLE": string(f.Trouble), "HOST": f.Host, "VOLUME": strconv.Itoa(int(f.Volume)), "VM_ID": strconv.Itoa(int(f.VM)),
			"OPERATION": strconv.Itoa(f.Operation), "CAUSE": f.Cause, "RISK": f.Risk, "REPAIR": f.Repair,
			"FIXABLE": yesNo(f.Fixable), "HARMLESS": yesNo(f.Harmless),
		}
	}
	return map[string]any{
		"TIME": strconv.FormatInt(found.Time.Unix(), 10), "HOSTS": strconv.Itoa(found.Hosts), "VOLUMES": strconv.Itoa(found.Volumes),
		"FINDING": findings,
	}
}

func yesNo(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}
