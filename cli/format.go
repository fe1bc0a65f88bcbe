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
	y := "y"
	if flags.ShorthandLookup(y) != nil { // --yes has it
		y = ""
	}
	flags.BoolVarP(&f.yaml, "yaml", y, false, "print YAML")
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

// value prints what has no document of the daemon's under a name.
func (f *format) value(a *App, name string, v any) error {
	if f.xml {
		return unlessClosed(document.Of(name, v).XML(a.Out))
	}
	return a.printValue(map[string]any{name: v}, f.yaml)
}

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
