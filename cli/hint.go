package cli

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
)

// maxHooked is more than a document of oned's has in base64: that of a VM may
// hold a history of many hosts.
const maxHooked = 64 << 20

// hintHook is a command that OpenNebula's hooks run on a change of a state.
func (a *App) hintHook(name, kind, short string) *cobra.Command {
	return &cobra.Command{
		Use: name + " [<" + name + ">]", Short: short,
		Long: "As good as an event of oned's: the daemon looks for itself what happened, within the second and not only when it looks\n" +
			"at all VMs again. OpenNebula's hooks call it (onevolume hook install), where its events cannot be heard. The " + name + " is\n" +
			"named by its id, or by its document in base64, as hooks are given it, which is read from standard input when it is\n" +
			"not an argument.",
		Example: "  onevolume hook " + name + " 17",
		Args:    arguments("[" + name + "]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := ""
			if len(args) > 0 {
				text = args[0]
			} else {
				b, err := io.ReadAll(io.LimitReader(a.In, maxHooked))
				if err != nil {
					return onevolume.Errorf(onevolume.Invalid, "reading the document on standard input: %w", err)
				}
				text = string(b)
			}
			id, err := hookedID(strings.TrimSpace(text), kind)
			if err != nil {
				return err
			}
			s, err := a.open()
			if err != nil {
				return err
			}
			return s.Daemon.Hint(cmd.Context(), kind, id)
		},
	}
}

// hookedID finds the id in what a hook is given: the id, or the document in
// base64.
func hookedID(text, kind string) (int, error) {
	if id, err := strconv.Atoi(text); err == nil && id >= 0 {
		return id, nil
	}
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil || text == "" {
		return 0, onevolume.Errorf(onevolume.Invalid, "neither an id nor a document in base64, as OpenNebula gives its hooks").
			WithHint("a hook needs ARGUMENTS = $TEMPLATE")
	}
	var d struct {
		XMLName xml.Name
		ID      *int `xml:"ID"`
	}
	// What users wrote may not be well-formed; the id stands before that.
	if err := xml.Unmarshal(plain, &d); err != nil && (d.ID == nil || !errors.As(err, new(*xml.SyntaxError))) {
		return 0, onevolume.Errorf(onevolume.Invalid, "the document cannot be read: %w", err)
	}
	if d.XMLName.Local != kind || d.ID == nil || *d.ID < 0 {
		return 0, onevolume.Errorf(onevolume.Invalid, "the document is a %s's, or has no ID; expected a %s's", d.XMLName.Local, kind)
	}
	return *d.ID, nil
}
