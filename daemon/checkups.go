package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/doctor"
)

// Doctor compares the inventory with what is true on hosts (package doctor,
// which documents both).
type Doctor interface {
	Examine(ctx context.Context, s doctor.Scope) (onevolume.Checkup, error)
	Fix(ctx context.Context, s doctor.Scope, f onevolume.Finding) (doctor.Result, error)
}

// Checkups compares the inventory with its hosts every so often, one
// comparison after the other, and repairs what can lose no data. Set all
// fields before Start.
type Checkups struct {
	Doctor Doctor
	// Audit writes a line that only grows; see onevolume.Deed.
	Audit func(ctx context.Context, d onevolume.Deed) error
	Log   *zap.Logger
	Name  string        // of this process
	Every time.Duration // from the end of one to the next; 0 for none at all
	First time.Duration // from the start to the first

	stop   context.CancelFunc
	ended  chan struct{}
	mu     sync.Mutex
	last   onevolume.Checkup
	took   time.Duration
	before map[string]onevolume.Finding // of the checkup before, by key
}

// bound is how long one comparison with its repairs may take.
const bound = 10 * time.Minute

// Start begins with the comparisons.
func (c *Checkups) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop, c.ended = cancel, make(chan struct{})
	go func() {
		defer close(c.ended)
		for wait := c.First; c.Every > 0; wait = c.Every {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			c.once(ctx)
		}
	}()
}

// Stop ends the comparisons, and waits for one under way until ctx is over. A
// repair that is cut off is whole or not done: it can be repeated.
func (c *Checkups) Stop(ctx context.Context) {
	c.stop()
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
}

// Checkup is what the last comparison found and was not repaired by it. Its
// Time is zero when there was none yet.
func (c *Checkups) Checkup() onevolume.Checkup {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.last
	last.Findings = slices.Clone(last.Findings)
	return last
}

// Took is how long the last comparison took.
func (c *Checkups) Took() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.took
}

// once is one comparison.
func (c *Checkups) once(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	start := time.Now()
	checkup, err := c.Doctor.Examine(ctx, doctor.All())
	if err != nil {
		if ctx.Err() == nil {
			c.Log.Error("comparing the inventory with its hosts", zap.Error(err))
		}
		return
	}
	if ctx.Err() != nil {
		return // hosts that were not asked any more would look silent
	}
	now := map[string]onevolume.Finding{}
	var left []onevolume.Finding
	for _, f := range checkup.Findings {
		k := key(f)
		now[k] = f
		_, again := c.before[k]
		if !again {
			c.Log.Warn("the inventory and its hosts differ", fields(f)...)
		}
		if !f.Harmless || patient(f) && !again || !c.repair(ctx, f) {
			left = append(left, f)
		}
	}
	for k, f := range c.before {
		if _, still := now[k]; !still {
			c.Log.Info("a difference is gone", fields(f)...)
		}
	}
	checkup.Findings = left
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before, c.last, c.took = now, checkup, time.Since(start)
}

// key tells differences apart, and one that has changed from what it was.
func key(f onevolume.Finding) string {
	return fmt.Sprint(f.Trouble, "|", f.Host, "|", f.Volume, "|", f.VM, "|", f.Operation, "|", strings.Join(f.Repair, "|"))
}

// patient says whether a difference must be there twice before it is repaired
// without being asked: somebody may be at work on the host by hand.
func patient(f onevolume.Finding) bool {
	return f.Trouble == onevolume.IdleSession || f.Trouble == onevolume.OrphanDevice
}

// repair puts a harmless difference right, and says whether it is gone.
func (c *Checkups) repair(ctx context.Context, f onevolume.Finding) bool {
	ask := onevolume.Ask{By: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, From: c.Name, Action: "repair",
		Text: string(f.Trouble) + " on host " + f.Host + ": " + f.Cause + ": " + strings.Join(f.Repair, "; ")}
	result, err := c.Doctor.Fix(ctx, doctor.All(), f)
	if err == nil && result == doctor.Gone {
		c.Log.Info("a difference is gone", fields(f)...)
		return true
	}
	deed := onevolume.Deed{Ask: ask, Volume: f.Volume, VM: f.VM, Operation: f.Operation, Result: "ok"}
	if err != nil {
		deed.Result = err.Error()
		c.Log.Warn("a difference could not be repaired", append(fields(f), zap.Error(err))...)
	} else {
		c.Log.Warn("a difference was repaired", fields(f)...)
	}
	if aerr := c.Audit(context.WithoutCancel(ctx), deed); aerr != nil {
		c.Log.Error("writing a repair to the audit", zap.Error(aerr))
	}
	return err == nil
}

func fields(f onevolume.Finding) []zap.Field {
	return []zap.Field{zap.String("trouble", string(f.Trouble)), zap.String("host", f.Host), zap.Int("volume", int(f.Volume)),
		zap.Int("vm", int(f.VM)), zap.String("cause", f.Cause), zap.String("risk", f.Risk), zap.Strings("commands", f.Repair)}
}
