package cli

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"onevolume/workflow"
)

// Timing is what commands on hosts took.
type Timing struct {
	Host     time.Duration // waiting for hosts: connecting and running commands
	Commands int
}

// timing says, with --verbose, where the time went: on hosts, or here.
func (a *App) timing(s *Session, start time.Time) {
	t, total := s.Host(), time.Since(start)
	a.say("timing: total %d ms, host %d ms, own %d ms, commands %d",
		total.Milliseconds(), t.Host.Milliseconds(), (total - t.Host).Milliseconds(), t.Commands)
}

// follow shows what the engine does: a line each with --verbose, and on a
// terminal a bar where bytes are counted. The function it returns ends that;
// it may be called again.
func (a *App) follow(e *workflow.Engine) (stop func()) {
	var (
		mu    sync.Mutex
		bar   *progressbar.ProgressBar
		phase string
	)
	end := func() {
		if bar != nil {
			_ = bar.Finish()
			fmt.Fprintln(a.Err)
			bar = nil
		}
	}
	e.Report = func(ev workflow.Event) {
		mu.Lock()
		defer mu.Unlock()
		if ev.Total == 0 || !a.Terminal {
			if ev.Text != phase {
				phase = ev.Text
				a.say("%s", ev.Text)
			}
			return
		}
		if bar == nil || ev.Text != phase {
			end()
			phase = ev.Text
			bar = progressbar.NewOptions64(int64(ev.Total), progressbar.OptionSetWriter(a.Err),
				progressbar.OptionSetDescription(fmt.Sprintf("%s (%s)", ev.Text, ev.Total)), // its rate is wrong for few, large steps
				progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true))
		}
		_ = bar.Set64(int64(ev.Done)) // a terminal that went away is no reason to stop
	}
	return func() {
		mu.Lock()
		defer mu.Unlock()
		end()
	}
}
