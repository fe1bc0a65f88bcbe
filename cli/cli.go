// Package cli is the command line onevolume: its subcommands, one file each,
// in the manner of OpenNebula's own tools. Data goes to standard output,
// words to standard error, and a failure exits with 255.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"onevolume"
	"onevolume/doctor"
	"onevolume/workflow"
)

// Failure is the exit status of every failure, as of OpenNebula's tools.
const Failure = 255

// Daemon is what the commands ask of onevolumed (package xmlrpc, which
// documents each method).
type Daemon interface {
	Allocate(ctx context.Context, template string) (onevolume.VolumeID, error)
	Info(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error)
	InfoXML(ctx context.Context, id onevolume.VolumeID) (string, error)
	Pool(ctx context.Context, flag, first, last int) ([]onevolume.Volume, error)
	PoolXML(ctx context.Context, flag, first, last int) (string, error)
	VolumeID(ctx context.Context, ref string) (onevolume.VolumeID, error)
	Update(ctx context.Context, id onevolume.VolumeID, template string, appending bool) error
	Rename(ctx context.Context, id onevolume.VolumeID, name string) error
	Chmod(ctx context.Context, id onevolume.VolumeID, bits [9]int) error
	Chown(ctx context.Context, id onevolume.VolumeID, uid, gid int) error
	Lock(ctx context.Context, id onevolume.VolumeID, level onevolume.LockLevel, test bool) error
	Unlock(ctx context.Context, id onevolume.VolumeID) error
	Enable(ctx context.Context, id onevolume.VolumeID, enable bool) error
	Resize(ctx context.Context, id onevolume.VolumeID, size onevolume.Size) error
	Delete(ctx context.Context, id onevolume.VolumeID) error
	Attach(ctx context.Context, vm onevolume.VMID, volume onevolume.VolumeID, size onevolume.Size, template string) (onevolume.VolumeID, error)
	Detach(ctx context.Context, vm onevolume.VMID, volume onevolume.VolumeID, template string) error
	Operation(ctx context.Context, id int) (onevolume.Operation, []onevolume.Entry, error)
	Resume(ctx context.Context, op int) (onevolume.VolumeID, error)
	Abort(ctx context.Context, op int) (onevolume.VolumeID, error)
	Recover(ctx context.Context, id onevolume.VolumeID, r onevolume.Recovery) error
	History(ctx context.Context, h onevolume.History) ([]onevolume.Deed, error)
	HistoryXML(ctx context.Context, h onevolume.History) (string, error)
	Changes(ctx context.Context, w onevolume.Watch, hear func(*onevolume.Change) error) error
	Health(ctx context.Context) (onevolume.Health, error)
	Lift(ctx context.Context) error
	Fence(ctx context.Context, host string, off bool) ([]onevolume.Fenced, error)
	Fences(ctx context.Context) ([]onevolume.FenceRecord, error)
	MigrateCheck(ctx context.Context, vm onevolume.VMID, host string) ([]onevolume.Check, error)
	SyncArray(ctx context.Context, name string) (onevolume.Synced, error)
	Arrays(ctx context.Context) ([]onevolume.Space, error)
	CheckArray(ctx context.Context, name string) (onevolume.Space, error)
	Types(ctx context.Context) ([]onevolume.VolumeType, error)
	Candidates(ctx context.Context, template string) ([]onevolume.Candidate, error)
	Clone(ctx context.Context, id onevolume.VolumeID, name string) (onevolume.VolumeID, error)
	Snapshots(ctx context.Context, id onevolume.VolumeID) ([]onevolume.Snapshot, error)
	CreateSnapshot(ctx context.Context, id onevolume.VolumeID, name string) (onevolume.SnapshotID, error)
	DeleteSnapshot(ctx context.Context, id onevolume.VolumeID, snapshot onevolume.SnapshotID) error
	RevertSnapshot(ctx context.Context, id onevolume.VolumeID, snapshot onevolume.SnapshotID) error
	Quota(ctx context.Context, of onevolume.QuotaOf) (onevolume.Quota, error)
	QuotaXML(ctx context.Context, of onevolume.QuotaOf) (string, error)
	SetQuota(ctx context.Context, of onevolume.QuotaOf, template string) error
	Moves
}

// Doctor compares the inventory with its hosts (package doctor, which
// documents both).
type Doctor interface {
	Examine(ctx context.Context, s doctor.Scope) (onevolume.Checkup, error)
	Fix(ctx context.Context, s doctor.Scope, f onevolume.Finding) (doctor.Result, error)
}

// Cloud is what the commands ask of oned.
type Cloud interface {
	// WhoAmI is the caller, as oned says.
	WhoAmI(ctx context.Context) (onevolume.Caller, error)
	// VM gives the VM if its state allows the operation.
	VM(ctx context.Context, id onevolume.VMID, kind onevolume.Kind) (onevolume.VM, error)
	// UserID, GroupID and VMID turn an id or a name into an id, in the words of
	// OpenNebula's tools when there is none of that name, or several.
	UserID(ctx context.Context, ref string) (int, error)
	GroupID(ctx context.Context, ref string) (int, error)
	VMID(ctx context.Context, ref string) (onevolume.VMID, error)
	// VMs, UserNames and GroupNames are what the caller may see, for completion.
	VMs(ctx context.Context) ([]onevolume.VM, error)
	UserNames(ctx context.Context) ([]string, error)
	GroupNames(ctx context.Context) ([]string, error)
	Hooks
}

// Session is everything that a command works with once the caller's
// credentials are known.
type Session struct {
	Daemon Daemon
	Cloud  Cloud
	// Engine runs workflows in this process. Host tells how much time its
	// commands on hosts took so far.
	Engine *workflow.Engine
	// Doctor works from this process as well.
	Doctor Doctor
	Host   func() Timing
	Owner  string // names this process in the journal
}

// Options are the global options.
type Options struct {
	User, Password, Endpoint, Config string
	Verbose                          bool
}

// App is the program without its surroundings.
type App struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal says whether a person sits at In and Err, to be asked and to
	// be shown progress.
	Terminal bool
	// Width is how many columns the terminal at Out has; 0 when none is there.
	// Text for people is folded at it, and never cut.
	Width int
	// OutTerminal says that Out is a terminal, and Size how many columns and
	// rows it has now. Console is the columns of the terminal that the process
	// belongs to, wherever its output goes; 0 without one.
	OutTerminal bool
	Size        func() (columns, rows int)
	Console     func() int
	// Piped says what stands at In; nil for nothing.
	Piped func() Piping
	// Getenv reads the environment; nil for an empty one.
	Getenv func(string) string
	// ColumnFiles are the files that may lay out tables; the first that exists
	// does.
	ColumnFiles []string
	// ReadPassword asks for a password without echo.
	ReadPassword func(prompt string) (string, error)
	// Open finds the credentials and endpoints and makes a session. It makes
	// no call yet.
	Open func(Options) (*Session, error)

	opts Options
}

// Main runs the command line and gives the exit status.
func (a *App) Main(ctx context.Context, args []string) int {
	root := a.Command()
	root.SetArgs(spread(args))
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var quiet *quietError
	if !errors.As(err, &quiet) {
		a.complain(err)
	}
	var differ *differError
	if errors.As(err, &differ) {
		return Differences
	}
	return Failure
}

// quietError is an error whose text has been printed already.
type quietError struct{ error }

// complain prints an error and, on a line of its own, what to do.
func (a *App) complain(err error) {
	fmt.Fprintln(a.Err, strings.TrimSpace(err.Error()))
	if hint := onevolume.HintOf(err); hint != "" && !strings.Contains(err.Error(), hint) {
		fmt.Fprintln(a.Err, "Hint: "+hint)
	}
}

// Command is the command line as cobra has it, for those who print its manual.
func (a *App) Command() *cobra.Command {
	root := &cobra.Command{
		Use:           "onevolume",
		Short:         "Volumes on iSCSI storage for OpenNebula's virtual machines",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return notFound(cmd, args[0])
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.opts.User, "user", "", "`name` of the user instead of that of ONE_AUTH")
	flags.StringVar(&a.opts.Password, "password", "", "`password` or token of --user; asked for when missing")
	flags.StringVar(&a.opts.Endpoint, "endpoint", "", "URL of onevolumed instead of ONEVOLUME_XMLRPC (`endpoint`)")
	flags.StringVar(&a.opts.Config, "config", "", "configuration `file` with the section hosts, instead of /etc/one/onevolumed.conf")
	flags.BoolVarP(&a.opts.Verbose, "verbose", "v", false, "say what is done, and how long it took")
	root.AddCommand(a.attachCommand(), a.detachCommand(), a.listCommand(), a.topCommand(), a.showCommand(),
		a.createCommand(), a.deleteCommand(), a.updateCommand(), a.renameCommand(), a.resizeCommand(),
		a.chmodCommand(), a.chownCommand(), a.chgrpCommand(), a.lockCommand(), a.unlockCommand(), a.enableCommand(), a.disableCommand(),
		a.doctorCommand(), a.migrateCheckCommand(), a.explainCommand(), a.resumeCommand(), a.abortCommand(), a.recoverCommand(), a.fenceCommand(), a.historyCommand(), a.eventsCommand(), a.completionCommand(),
		a.arrayCommand(), a.typeCommand(), a.quotaCommand(), a.hookCommand())
	root.AddCommand(a.snapshotCommands()...)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		cmd.Version = onevolume.Version
		cmd.SetVersionTemplate("onevolume {{.Version}}\nLicensed under the Apache License, Version 2.0\n")
		cmd.Flags().BoolP("version", "V", false, "print the version")
		if cmd != root {
			_ = cmd.Flags().MarkHidden("version") // there is such a flag
		}
	}
	return root
}

// notFound is the error of a command that there is not.
func notFound(root *cobra.Command, name string) error {
	e := onevolume.Errorf(onevolume.Invalid, "Command '%s' not found", name)
	if root.SuggestionsMinimumDistance == 0 {
		root.SuggestionsMinimumDistance = 2
	}
	if near := root.SuggestionsFor(name); len(near) > 0 {
		return e.WithHint("did you mean %s?", strings.Join(near, " or "))
	}
	return e.WithHint("onevolume --help lists the commands")
}

// flagError says of a wrong option what OpenNebula's tools do (Ruby's
// optparse).
func flagError(_ *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		wrong   *pflag.InvalidValueError
	)
	dashed := func(name string) string {
		if len(name) == 1 {
			return "-" + name
		}
		return "--" + name
	}
	switch {
	case errors.As(err, &unknown):
		return onevolume.Errorf(onevolume.Invalid, "invalid option: %s", dashed(unknown.GetSpecifiedName()))
	case errors.As(err, &missing):
		return onevolume.Errorf(onevolume.Invalid, "missing argument: %s", dashed(missing.GetSpecifiedName()))
	case errors.As(err, &wrong):
		return onevolume.Errorf(onevolume.Invalid, "invalid argument: --%s %s", wrong.GetFlag().Name, wrong.GetValue())
	}
	return err
}

// open makes the session, asking for what is missing.
func (a *App) open() (*Session, error) {
	if a.opts.User != "" && a.opts.Password == "" {
		if a.ReadPassword == nil || !a.Terminal {
			return nil, fmt.Errorf("--user needs --password when there is no terminal to ask at")
		}
		var err error
		if a.opts.Password, err = a.ReadPassword("Password: "); err != nil {
			return nil, fmt.Errorf("reading the password: %w", err)
		}
	}
	return a.Open(a.opts)
}

// say prints what was done, for those who asked to hear it.
func (a *App) say(format string, args ...any) {
	if a.opts.Verbose {
		fmt.Fprintf(a.Err, format+"\n", args...)
	}
}

// arguments is a check of a command's arguments in the words of OpenNebula's
// tools. Those that may be left out stand in brackets, and last.
func arguments(names ...string) cobra.PositionalArgs {
	need := 0
	var usage []string
	for _, name := range names {
		if optional, ok := strings.CutPrefix(name, "["); ok {
			usage = append(usage, "[<"+strings.TrimSuffix(optional, "]")+">]")
			continue
		}
		need++
		usage = append(usage, "<"+name+">")
	}
	should := strings.Join(usage, " ")
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < need && need == 1:
			return onevolume.Errorf(onevolume.Invalid, "Command %s requires one parameter to run", c.Name()).WithHint("onevolume %s %s", c.Name(), should)
		case len(args) < need:
			return onevolume.Errorf(onevolume.Invalid, "Command %s requires %d parameters to run.", c.Name(), len(names)).WithHint("onevolume %s %s", c.Name(), should)
		case len(args) > len(names) && len(names) == 0:
			return onevolume.Errorf(onevolume.Invalid, "Wrong number of arguments\nNo argument is required")
		case len(args) > len(names):
			return onevolume.Errorf(onevolume.Invalid, "Wrong number of arguments\nThe arguments should be: %s", should)
		}
		return nil
	}
}
