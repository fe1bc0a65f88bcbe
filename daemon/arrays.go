package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
)

// Syncer brings the inventory to what one array says. It may be repeated, and
// does one sync after the other (package openfiler).
type Syncer interface {
	Sync(ctx context.Context) (onevolume.Synced, error)
}

// Watched is an array that is read every so often, or with Every 0 only when
// that is asked for.
type Watched struct {
	Syncer Syncer
	Every  time.Duration
}

// Arrays reads arrays. Set all fields before Start.
type Arrays struct {
	Watched map[string]Watched // by name
	Log     *zap.Logger

	stop  context.CancelFunc
	loops sync.WaitGroup
	mu    sync.Mutex
	said  map[string]map[string]bool // what was logged of each array at the last sync
}

// syncTime bounds one sync.
const syncTime = 5 * time.Minute

// Start begins to read, each array at once and then in its interval.
func (a *Arrays) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	for name, w := range a.Watched {
		if w.Every <= 0 {
			continue
		}
		a.loops.Go(func() {
			for {
				_, _ = a.SyncArray(ctx, name) // it has been logged
				select {
				case <-time.After(w.Every):
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// Stop ends that, and waits for a sync under way until ctx is over. One that
// is cut off goes on with the next.
func (a *Arrays) Stop(ctx context.Context) {
	a.stop()
	ended := make(chan struct{})
	go func() {
		a.loops.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// SyncArray brings the inventory to what the array says, now. Codes:
// NotFound (no such array is configured), and those of its Syncer.
func (a *Arrays) SyncArray(ctx context.Context, name string) (onevolume.Synced, error) {
	w, ok := a.Watched[name]
	if !ok {
		known := "none is"
		if len(a.Watched) > 0 {
			known = "known are " + strings.Join(slices.Sorted(maps.Keys(a.Watched)), ", ")
		}
		return onevolume.Synced{}, onevolume.Errorf(onevolume.NotFound, "array %q is not configured; %s", name, known).
			WithHint("arrays stand in the daemon's configuration, under arrays")
	}
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	done, err := w.Syncer.Sync(ctx)
	a.tell(ctx, name, done, err)
	return done, err
}

// tell logs what is new since the last sync.
func (a *Arrays) tell(ctx context.Context, name string, done onevolume.Synced, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, now := a.said[name], map[string]bool{}
	log := a.Log.With(zap.String("array", name))
	if err != nil {
		if ctx.Err() != nil {
			return // the daemon stops, or the caller hung up
		}
		now[err.Error()] = true
		if !before[err.Error()] {
			log.Error("an array could not be read", zap.Error(err), zap.String("hint", onevolume.HintOf(err)))
		}
	}
	for _, c := range done.Changes {
		line := fmt.Sprint(c.What, "|", c.Target, "|", c.LUN, "|", c.Text)
		now[line] = true
		if before[line] {
			continue
		}
		say := log.Info
		if c.What == onevolume.SyncReported || c.What == onevolume.SyncFailed {
			say = log.Warn
		}
		say("array: "+string(c.What), zap.Int("volume", int(c.Volume)), zap.String("iqn", c.Target), zap.Int("lun", c.LUN), zap.String("text", c.Text))
	}
	if a.said == nil {
		a.said = map[string]map[string]bool{}
	}
	a.said[name] = now
}
