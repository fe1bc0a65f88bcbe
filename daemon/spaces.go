package daemon

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/array"
)

// Maker is an array that makes volumes.
type Maker struct {
	Array array.Array
	Kind  string
	// Anybody says that everybody may have volumes made here, within their
	// quota; else only administrators.
	Anybody bool
	// AutoCreate says that volumes are made here also for those who attach by
	// size and find none.
	AutoCreate bool
	Every      time.Duration // how often its space is looked at; 0 for never by itself
}

// Spaces knows how much room arrays have: it asks each in its interval, and
// answers callers at once with what it heard last. Set all fields before
// Start.
type Spaces struct {
	Makers map[string]Maker // by name
	// Kinds are the types of volumes that are made.
	Kinds []onevolume.VolumeType
	// Count counts the inventory's volumes of each array.
	Count func(ctx context.Context) (map[string]int, error)
	Log   *zap.Logger
	Now   func() time.Time

	stop  context.CancelFunc
	loops sync.WaitGroup
	mu    sync.Mutex
	known map[string]onevolume.Space
}

// statsTime bounds one look at an array.
const statsTime = time.Minute

// Start begins to ask.
func (s *Spaces) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	for name, m := range s.Makers {
		if m.Every <= 0 {
			continue
		}
		s.loops.Go(func() {
			for {
				_, _ = s.Refresh(ctx, name) // what failed is in the space
				select {
				case <-time.After(m.Every):
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// Stop ends that, and waits for a look under way until ctx is over.
func (s *Spaces) Stop(ctx context.Context) {
	if s.stop == nil {
		return
	}
	s.stop()
	ended := make(chan struct{})
	go func() {
		s.loops.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Refresh asks one array now. What it does not tell stays unknown; when it
// does not answer, what it said before stays, with its time and the error.
func (s *Spaces) Refresh(ctx context.Context, name string) (onevolume.Space, error) {
	m, ok := s.Makers[name]
	if !ok {
		return onevolume.Space{}, onevolume.Errorf(onevolume.NotFound, "no array %q that makes volumes is configured", name).
			WithHint("arrays stand in the daemon's configuration, under arrays")
	}
	ctx, cancel := context.WithTimeout(ctx, statsTime)
	defer cancel()
	got, err := m.Array.Stats(ctx)
	var caps array.Capabilities
	if err == nil {
		caps, err = m.Array.Capabilities(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]onevolume.Space{}
	}
	now, was := s.blank(name), s.known[name]
	if err != nil {
		if ctx.Err() == nil && was.Error != err.Error() {
			s.Log.Warn("an array does not tell its space", zap.String("array", name), zap.Error(err), zap.String("hint", onevolume.HintOf(err)))
		}
		if !was.Time.IsZero() {
			now = was
		}
		now.Error = err.Error()
		s.known[name] = now
		return now, err
	}
	now.Vendor, now.Model, now.Version, now.Trouble, now.Time = got.Vendor, got.Model, got.Version, got.Trouble, s.Now()
	for to, from := range map[*onevolume.Size]array.Figure{&now.Total: got.Total, &now.Free: got.Free, &now.Used: got.Used,
		&now.Provisioned: got.Provisioned, &now.Limit: got.Limit} {
		if n, known := from.Get(); known {
			*to = n
		}
	}
	now.Has = abilities(caps)
	if now.Trouble != "" && now.Trouble != was.Trouble {
		s.Log.Warn("an array has trouble", zap.String("array", name), zap.String("trouble", now.Trouble))
	}
	s.known[name] = now
	return now, nil
}

// abilities are the capabilities that a type may need.
func abilities(c array.Capabilities) (list []string) {
	for _, a := range []struct {
		name string
		has  bool
	}{
		{onevolume.HasSnapshots, c.Snapshots}, {onevolume.HasClones, c.Clones}, {onevolume.HasThin, c.Thin},
		{onevolume.HasOnlineExtend, c.Extend == array.ExtendOnline},
	} {
		if a.has {
			list = append(list, a.name)
		}
	}
	return list
}

// Types gives the types of volumes.
func (s *Spaces) Types() []onevolume.VolumeType { return s.Kinds }

// blank is an array of which nothing is known.
func (s *Spaces) blank(name string) onevolume.Space {
	const none = onevolume.UnknownSize
	m := s.Makers[name]
	return onevolume.Space{Array: name, Kind: m.Kind, Total: none, Free: none, Used: none, Provisioned: none, Limit: none,
		AutoCreate: m.AutoCreate, Users: m.Anybody}
}

// Spaces gives what is known of all arrays, by name, and asks none.
func (s *Spaces) Spaces(ctx context.Context) ([]onevolume.Space, error) {
	counts, err := s.Count(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []onevolume.Space
	for _, name := range slices.Sorted(maps.Keys(s.Makers)) {
		known, ok := s.known[name]
		if !ok {
			known = s.blank(name)
		}
		known.Volumes = counts[name]
		list = append(list, known)
	}
	return list, nil
}

// MayCreate says whether the caller may have volumes made on the array.
func (s *Spaces) MayCreate(who onevolume.Caller, name string) bool {
	return who.IsAdmin() || s.Makers[name].Anybody
}
