package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
)

// update is `onevolume update`.
type update struct {
	*App
	appending bool
}

func (a *App) updateCommand() *cobra.Command {
	c := &update{App: a}
	cmd := &cobra.Command{
		Use:   "update <volumeid> [<file>]",
		Short: "Replace a volume's attributes, or add to them",
		Long: "Takes the attributes from a template file, from standard input (- for certain), or from the program that EDITOR\n" +
			"names, which is started with those there are. They replace all that the volume has, or with --append join them.\n" +
			"Administrators may also give PORTALS, SIZE, ARRAY, UNIT_SERIAL, WWID, CHAP_USER, CHAP_SECRET, CHAP_USER_IN and\n" +
			"CHAP_SECRET_IN while the volume is in no VM; these stay as they are when they are not given.",
		Args:              arguments(oneVolume, "[file]"),
		ValidArgsFunction: a.complete(volumeRefs, nil),
		RunE:              c.run,
	}
	cmd.Flags().BoolVarP(&c.appending, "append", "a", false, "add to the attributes there are")
	return cmd
}

func (c *update) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	s, err := c.open()
	if err != nil {
		return err
	}
	id, err := s.volume(ctx, args[0])
	if err != nil {
		return err
	}
	if len(args) == 2 {
		text, err := c.readText(args[1])
		if err == nil {
			err = s.Daemon.Update(ctx, id, text, c.appending)
		}
		if err == nil {
			c.did(id, "modified")
		}
		return err
	}
	text, err := c.piped()
	if err != nil {
		return err
	}
	if text == "" {
		return c.edit(cmd, s, id)
	}
	if err := s.Daemon.Update(ctx, id, text, c.appending); err != nil {
		return err
	}
	c.did(id, "modified")
	return nil
}

// edit has somebody write the attributes. What the daemon refuses is kept.
func (c *update) edit(cmd *cobra.Command, s *Session, id onevolume.VolumeID) error {
	ctx, before := cmd.Context(), ""
	v, err := s.Daemon.Info(ctx, id)
	if err != nil {
		return err
	}
	if !c.appending {
		before = strings.Join(attributeLines(&v), "")
	}
	path, after, err := c.editor(before)
	if err != nil {
		return err
	}
	if after == before {
		return os.Remove(path)
	}
	if err := s.Daemon.Update(ctx, id, after, c.appending); err != nil {
		return fmt.Errorf("%w\nWhat you wrote is kept in %s", err, path)
	}
	c.did(id, "modified")
	return os.Remove(path)
}

// standardEditor is that of OpenNebula's tools.
const standardEditor = "/usr/bin/vi"

// editor has somebody change a text, and gives it with the file it is in.
func (a *App) editor(text string) (path, changed string, err error) {
	f, err := os.CreateTemp("", "onevolume-*.tmpl") // readable by its owner alone
	if err != nil {
		return "", "", err
	}
	path = f.Name()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", "", errors.Join(err, os.Remove(path))
	}
	editor := a.env("EDITOR")
	if editor == "" {
		editor = standardEditor
	}
	// EDITOR may hold options, which a shell takes apart.
	cmd := exec.Command("/bin/sh", "-c", editor+` "$1"`, "sh", path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.In, a.Out, a.Err
	if err := cmd.Run(); err != nil {
		return "", "", errors.Join(onevolume.Errorf(onevolume.Action, "Editor not defined: %s: %w. Nothing was changed.", editor, err).
			WithHint("set EDITOR, or give a file"), os.Remove(path))
	}
	b, err := os.ReadFile(path)
	return path, string(b), err
}
