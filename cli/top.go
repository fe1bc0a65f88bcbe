package cli

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// top is `onevolume top`.
type top struct {
	*App
	tableFlags
}

func (a *App) topCommand() *cobra.Command {
	c := &top{App: a}
	cmd := &cobra.Command{
		Use:     "top [<filterflag>]",
		Short:   "List volumes again and again, until it is interrupted",
		Long:    filterHelp + "\n\nWhat changes meanwhile is shown at once, where onevolumed gives events.",
		Example: "  onevolume top -d 5 -f STAT!=rdy",
		Args:    arguments("[filterflag]"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(words("all", "mine", "group")),
	}
	c.add(cmd)
	return cmd
}

func (c *top) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	if c.delay < 1 {
		return onevolume.Errorf(onevolume.Invalid, "option delay: %d is no number of seconds from 1 on", c.delay)
	}
	if _, err := c.table(c.App); err != nil || c.describe {
		return err
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	flag, err := s.filterFlag(ctx, args)
	if err != nil {
		return err
	}
	changed := s.changed(ctx)
	for {
		err := c.once(ctx, s, flag)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted, which is how it ends
		}
		if err != nil {
			return unlessClosed(err)
		}
		select {
		case <-time.After(time.Duration(c.delay) * time.Second):
		case <-changed:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(pause): // many changes are one list
		case <-ctx.Done():
			return nil
		}
	}
}

// pause is the least time between two lists.
const pause = 200 * time.Millisecond

// changed gives a word after each change, or several; none where the daemon
// gives no events.
func (s *Session) changed(ctx context.Context) <-chan struct{} {
	word := make(chan struct{}, 1)
	go func() {
		_ = s.Daemon.Changes(ctx, onevolume.Watch{Follow: true, Volume: onevolume.NoVolume}, func(*onevolume.Change) error {
			select {
			case word <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	return word
}

// clear empties a terminal and goes to its first place (ECMA-48: ED, CUP).
const clear = "\x1b[2J\x1b[H"

// once prints the list as it is now, and of it what the terminal has room
// for. It is laid out anew each time: the terminal may have another size.
func (c *top) once(ctx context.Context, s *Session, flag int) error {
	t, err := c.table(c.App)
	if err != nil {
		return err
	}
	all, err := s.volumes(ctx, flag, c.pageSize())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if c.OutTerminal {
		b.WriteString(clear)
	}
	if err := t.Print(&b, c.screen(), all, true); err != nil {
		return err
	}
	_, err = io.WriteString(c.Out, firstLines(b.String(), c.rows()-1))
	return err
}

// firstLines is at most so many lines of a text; all of it with less than 1.
func firstLines(text string, most int) string {
	if most < 1 {
		return text
	}
	for i, r := range text {
		if r == '\n' {
			if most--; most == 0 {
				return text[:i+1]
			}
		}
	}
	return text
}
