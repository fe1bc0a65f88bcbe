package cli

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"onevolume/cli/document"
)

// format is how a document is printed, other than for people.
type format struct{ xml, json, yaml bool }

func (f *format) flags(cmd *cobra.Command, others ...string) {
	flags := cmd.Flags()
	flags.BoolVarP(&f.xml, "xml", "x", false, "print the XML document")
	flags.BoolVarP(&f.json, "json", "j", false, "print JSON")
	flags.BoolVarP(&f.yaml, "yaml", "y", false, "print YAML")
	cmd.MarkFlagsMutuallyExclusive(append([]string{"xml", "json", "yaml"}, others...)...)
}

// wanted says whether one was asked for.
func (f *format) wanted() bool { return f.xml || f.json || f.yaml }

// print prints a document in the format, by a pager if a terminal has less
// room.
func (f *format) print(a *App, e *document.Element, pager bool) error {
	var b bytes.Buffer
	write := e.XML
	switch {
	case f.json:
		write = e.JSON
	case f.yaml:
		write = e.YAML
	}
	if err := write(&b); err != nil {
		return err
	}
	out := func(w io.Writer) error { _, err := w.Write(b.Bytes()); return err }
	if rows := a.rows(); pager && rows > 0 && bytes.Count(b.Bytes(), []byte("\n")) >= rows {
		return a.paged(out)
	}
	return unlessClosed(out(a.Out))
}

func (a *App) printJSON(v any) error { return a.printValue(v, false) }

// printValue prints a value as JSON, or as YAML.
func (a *App) printValue(v any, asYAML bool) error {
	if asYAML {
		return unlessClosed(document.YAML(a.Out, v))
	}
	e := json.NewEncoder(a.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return unlessClosed(e.Encode(v))
}
