package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"onevolume"
)

// manual is a page in the language of man(7).
type manual struct{ strings.Builder }

// page is the manual page of the command line.
func page(root *cobra.Command) string {
	m := &manual{}
	fmt.Fprintf(m, ".TH ONEVOLUME 1 \"\" %s OpenNebula\n.nh\n.ad l\n", quoted("onevolume "+onevolume.Version))
	m.section("NAME")
	m.line("onevolume - " + strings.ToLower(root.Short[:1]) + root.Short[1:])
	m.section("SYNOPSIS")
	fmt.Fprintln(m, `.B onevolume`+"\n"+`\fIcommand\fR [\fIarguments\fR] [\fIoptions\fR]`)
	m.section("DESCRIPTION")
	m.line("A block store for OpenNebula: volumes are logical units of iSCSI targets, which attach puts into running virtual machines and " +
		"detach takes out again and wipes. Commands, options, tables and messages are those of OpenNebula's own tools, such as oneimage.")
	m.section("COMMANDS")
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() {
			m.command(cmd)
		}
	}
	m.section("OPTIONS OF ALL COMMANDS")
	root.PersistentFlags().VisitAll(m.flag)
	m.item("-h, --help", "Help for a command.")
	m.item("-V, --version", "Print the version.")
	for _, s := range surroundings() {
		m.section(s.title)
		for _, i := range s.items {
			m.item(i[0], i[1])
		}
	}
	return m.String()
}

// surroundings are what the commands find around them and leave behind.
func surroundings() []struct {
	title string
	items [][2]string
} {
	return []struct {
		title string
		items [][2]string
	}{
		{"ENVIRONMENT", [][2]string{
			{"ONE_AUTH", "File with user:password or user:token; else ~/.one/one_auth."},
			{"ONEVOLUME_XMLRPC", "Where onevolumed listens; else ~/.one/onevolume_endpoint, or http://localhost:2475/RPC2."},
			{"ONE_XMLRPC", "Where oned listens; else ~/.one/one_endpoint, or http://localhost:2633/RPC2."},
			{"ONE_LISTCONF", "List of columns to show, as of list -c."},
			{"ONE_PAGER", "Program for what a terminal has no room for; more when not set."},
			{"ONE_POOL_PAGE_SIZE", "How many volumes one call asks for; 200 when not set."},
			{"ONE_CERT_DIR", "Folder of certificates to trust besides the system's."},
			{"ONE_DISABLE_SSL_VERIFY", "When set, certificates are not verified."},
			{"EDITOR", "Program of update; /usr/bin/vi when not set."},
		}},
		{"FILES", [][2]string{
			{"/etc/one/cli/onevolume.yaml", "Columns of list and top."},
			{"~/.one/cli/onevolume.yaml", "The same, instead of the whole file above."},
			{"/etc/one/onevolumed.conf", "In its section hosts, how hosts are reached."},
		}},
		{"EXIT STATUS", [][2]string{
			{"0", "All went well."},
			{"1", "doctor has found differences."},
			{"255", "Something failed. Errors go to standard error, and after Hint: what to do."},
		}},
	}
}

func (m *manual) section(title string) { fmt.Fprintf(m, ".SH %s\n", quoted(title)) }

// title is a command as it is typed, with those before it and its arguments.
func title(cmd *cobra.Command) string {
	_, arguments, _ := strings.Cut(cmd.Use, " ")
	return strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ") + " " + arguments)
}

// command prints a command, and then those that it consists of.
func (m *manual) command(cmd *cobra.Command) {
	fmt.Fprintf(m, ".SS %s\n", quoted(escaped(title(cmd))))
	m.line(cmd.Short + ".")
	if cmd.Long != "" {
		m.text(cmd.Long)
	}
	cmd.LocalNonPersistentFlags().VisitAll(m.flag)
	if cmd.Example != "" {
		fmt.Fprintln(m, ".PP\nExamples:")
		m.verbatim(strings.Split(cmd.Example, "\n"))
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			m.command(sub)
		}
	}
}

func (m *manual) flag(f *pflag.Flag) {
	if f.Hidden || f.Name == "help" || f.Name == "version" {
		return
	}
	value, usage := pflag.UnquoteUsage(f)
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	switch {
	case value != "" && f.NoOptDefVal != "":
		name += " [" + value + "]"
	case value != "":
		name += " " + value
	}
	m.item(name, strings.ToUpper(usage[:1])+usage[1:]+".")
}

// item is a term and what it means.
func (m *manual) item(term, meaning string) {
	fmt.Fprintf(m, ".TP\n\\fB%s\\fR\n", escaped(term))
	m.line(meaning)
}

func (m *manual) line(s string) { fmt.Fprintln(m, escaped(s)) }

// text prints a help text: what is indented stands as it is, and the lines
// between are filled, with a paragraph after each empty one.
func (m *manual) text(s string) {
	fmt.Fprintln(m, ".PP")
	var inset []string
	for _, line := range append(strings.Split(s, "\n"), "") {
		if strings.HasPrefix(line, "  ") {
			inset = append(inset, line)
			continue
		}
		if inset != nil {
			m.verbatim(inset)
			inset = nil
			fmt.Fprintln(m, ".PP")
		}
		if line == "" {
			fmt.Fprintln(m, ".PP")
		} else {
			m.line(line)
		}
	}
}

// verbatim prints lines as they are.
func (m *manual) verbatim(lines []string) {
	fmt.Fprintln(m, ".PP\n.nf")
	for _, l := range lines {
		m.line(l)
	}
	fmt.Fprintln(m, ".fi")
}

// escaped is text without anything that roff obeys.
func escaped(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// quoted is an argument of a request.
func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\(dq`) + `"` }
