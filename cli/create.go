package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"onevolume"
)

// create is `onevolume create`.
type create struct {
	*App
	attributes []option
	dryRun     bool
	chapFile   string
	mutualFile string
}

// option is an attribute of a new volume's template that has a flag.
type option struct {
	flag, attribute, help string
	value                 string
}

func (a *App) createCommand() *cobra.Command {
	c := &create{App: a, attributes: []option{
		{flag: "name", attribute: "NAME", help: "name of the volume"},
		{flag: "iqn", attribute: "IQN", help: "IQN of its target"},
		{flag: "lun", attribute: "LUN", help: "logical unit number on the target (default 0)"},
		{flag: "portal", attribute: "PORTALS", help: "addresses of the target, as 10.0.0.1:3260, with commas between them"},
		{flag: "size", attribute: "SIZE", help: "its exact size: 64 (MB), 64G, 1.5T, 67108864B; of one that is made at least"},
		{flag: "array", attribute: "ARRAY", help: "name of the storage machine; without --iqn the volume is made there, and without --array where most is free"},
		{flag: "type", attribute: "TYPE", help: "type of a volume that is made, see onevolume type list"},
		{flag: "snapshot", attribute: "SNAPSHOT", help: "make the volume with what is in the snapshot with this id"},
		{flag: "serial", attribute: "UNIT_SERIAL", help: "unit serial number, if known; else recorded at first contact"},
		{flag: "wwid", attribute: "WWID", help: "identifier as in /sys/block/X/device/wwid, likewise"},
		{flag: "chap-user", attribute: "CHAP_USER", help: "CHAP user name that the target asks for"},
		{flag: "chap-user-in", attribute: "CHAP_USER_IN", help: "CHAP user name by which the target proves itself (mutual CHAP)"},
	}}
	cmd := &cobra.Command{
		Use:   "create [<file>]",
		Short: "Make a volume on an array, or register a logical unit of an iSCSI target as one",
		Long: "Takes the volume's template from a file, from standard input, or from options:\n\n" +
			"  NAME = \"disk1\"\n  IQN = \"iqn.2026-11.org.example:disk1\"\n  LUN = 0\n  PORTALS = \"10.0.0.1:3260\"\n  SIZE = \"64G\"\n\n" +
			"The logical unit itself is not touched. Without IQN and PORTALS an array makes the volume: the one of ARRAY, or else of\n" +
			"those that TYPE and the caller may have the one with most free space. --dry-run tells of each why it would be taken or not.",
		Example: "  onevolume create --name disk2 --size 100G --type fast --dry-run\n  onevolume create --name disk2 --size 100G --array san1\n  onevolume create --name disk3 --snapshot 4\n  onevolume create --name disk1 --iqn iqn.2026-11.org.example:disk1 --portal 10.0.0.1 --size 64G",
		Args:    arguments("[file]"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(nil),
	}
	f := cmd.Flags()
	for i := range c.attributes {
		f.StringVar(&c.attributes[i].value, c.attributes[i].flag, "", c.attributes[i].help)
	}
	f.BoolVar(&c.dryRun, "dry-run", false, "tell on which array the volume would be made, and why, and make none")
	f.StringVar(&c.chapFile, "chap-secret-file", "", "file with the CHAP secret (a secret on the command line would be seen by others)")
	f.StringVar(&c.mutualFile, "chap-secret-in-file", "", "file with the secret by which the target proves itself")
	return cmd
}

func (c *create) run(cmd *cobra.Command, args []string) error {
	text, err := c.template(cmd, args)
	if err != nil {
		return err
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	if c.dryRun {
		return c.tellCandidates(cmd, s, text)
	}
	id, err := s.Daemon.Allocate(cmd.Context(), text)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "ID: %d\n", id)
	return nil
}

// tellCandidates prints a line for each array. It fails where none would be
// taken, as create does.
func (c *create) tellCandidates(cmd *cobra.Command, s *Session, text string) error {
	list, err := s.Daemon.Candidates(cmd.Context(), text)
	if err != nil {
		return err
	}
	for _, line := range onevolume.Reasons(list) {
		fmt.Fprintln(c.Out, line)
	}
	if len(list) == 0 || list[0].Why != "" {
		return onevolume.Errorf(onevolume.NoneFits, "No array would make it.")
	}
	return nil
}

// template is the text of the file, of standard input, or one made of the
// options.
func (c *create) template(cmd *cobra.Command, args []string) (string, error) {
	made, err := c.fromOptions()
	if err != nil {
		return "", err
	}
	if len(args) == 1 && made == "" {
		return c.readText(args[0])
	}
	if len(args) == 1 || made != "" && c.Piped != nil && c.Piped() == SomethingPiped {
		return "", onevolume.Errorf(onevolume.Invalid,
			"You cannot pass template on STDIN and use template creation options, conflicting options: %s.", strings.Join(c.used(cmd), ", ")).
			WithHint("a template comes from a file, from standard input, or from options; give one of them")
	}
	if made != "" {
		return made, nil
	}
	text, err := c.piped()
	if err == nil && text == "" {
		err = onevolume.Errorf(onevolume.Invalid, "neither a template file nor options are given, and nothing is on standard input").
			WithHint("try: onevolume create --help")
	}
	return text, err
}

// fromOptions is the template that the options make; empty without any.
func (c *create) fromOptions() (string, error) {
	var lines []string
	for _, o := range c.attributes {
		if o.value != "" {
			lines = append(lines, o.attribute+" = "+quoteAttribute(o.value))
		}
	}
	for _, secret := range []struct{ file, attribute string }{
		{c.chapFile, "CHAP_SECRET"}, {c.mutualFile, "CHAP_SECRET_IN"},
	} {
		if secret.file == "" {
			continue
		}
		text, err := os.ReadFile(secret.file)
		if err != nil {
			return "", fmt.Errorf("reading a CHAP secret: %w", err)
		}
		lines = append(lines, secret.attribute+" = "+quoteAttribute(strings.TrimRight(string(text), "\r\n")))
	}
	return strings.Join(lines, "\n"), nil
}

// used are the creation options that were given.
func (c *create) used(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if cmd.InheritedFlags().Lookup(f.Name) == nil && f.Name != "dry-run" {
			names = append(names, f.Name)
		}
	})
	return names
}
