package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"onevolume"
)

// cached bounds the cache: volumes, which have one or two kB each, and places
// where a page of a list ended.
const (
	cachedVolumes = 4096
	cachedPlaces  = 1024
)

// cache keeps volumes that were read, for as long as nobody has written to the
// database since, neither this process nor another: each use asks SQLite for
// its data_version first. On MariaDB, which has no such thing, there is none.
//
// What is kept is marked with the version that was asked for before it was
// read. A write between the two makes it newer than its mark, and it is never
// used: every later question has another answer.
type cache struct {
	conn *sql.Conn // writes nothing, or its own writes would go unnoticed

	asking sync.Mutex
	ask    driver.StmtQueryContext
	asker  driver.Conn // the connection of ask

	mu      sync.Mutex
	most    int // volumes
	volumes map[onevolume.VolumeID]cachedRow
	places  map[string]beginning
}

type cachedRow struct {
	version int64
	row     row // without its secrets, which are opened each time
}

// beginning is where a page begins: after the volume with this id.
type beginning struct {
	version int64
	after   int
}

func newCache(ctx context.Context, db *sql.DB) (*cache, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &cache{conn: conn, most: cachedVolumes, volumes: map[onevolume.VolumeID]cachedRow{}, places: map[string]beginning{}}, nil
}

// version is a number that is another one after every write that anybody
// commits (SQLite, PRAGMA data_version). ok is false when it cannot be had.
func (c *cache) version(ctx context.Context) (n int64, ok bool) {
	if c == nil {
		return 0, false
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	err := c.conn.Raw(func(raw any) error {
		var err error
		n, err = c.askVersion(ctx, raw.(driver.Conn))
		return err
	})
	return n, err == nil
}

func (c *cache) askVersion(ctx context.Context, conn driver.Conn) (n int64, err error) {
	if c.asker != conn {
		s, err := conn.Prepare("PRAGMA data_version")
		if err != nil {
			return 0, err
		}
		c.ask, c.asker = s.(driver.StmtQueryContext), conn
	}
	// It waits for nobody.
	rows, err := c.ask.QueryContext(context.WithoutCancel(ctx), nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	value := make([]driver.Value, 1)
	if err := rows.Next(value); err != nil {
		return 0, fmt.Errorf("PRAGMA data_version: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	n, ok := value[0].(int64)
	if !ok {
		return 0, errors.New("PRAGMA data_version is no number")
	}
	return n, nil
}

// close gives the connection back.
func (c *cache) close() error {
	if c == nil {
		return nil
	}
	return c.conn.Close()
}

// own makes of a row one that shares nothing with the other.
func (r row) own() row {
	r.Attributes = maps.Clone(r.Attributes)
	r.Target.Portals = slices.Clone(r.Target.Portals)
	return r
}

// keep keeps a volume that was read after the version was asked for.
func (c *cache) keep(version int64, r row) {
	r = r.own()
	r.Target.CHAP.Secret, r.Target.CHAP.SecretIn, r.read = "", "", onevolume.CHAP{}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.volumes) >= c.most {
		clear(c.volumes)
	}
	c.volumes[r.ID] = cachedRow{version, r}
}

// get gives a volume as it is in the version, if that is known. The caller
// may change it.
func (c *cache) get(version int64, id onevolume.VolumeID) (row, bool) {
	c.mu.Lock()
	kept, ok := c.volumes[id]
	c.mu.Unlock()
	if !ok || kept.version != version {
		return row{}, false
	}
	return kept.row.own(), true
}

// ended remembers that the page of a list before key ended with a volume.
func (c *cache) ended(version int64, key string, after onevolume.VolumeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.places) >= cachedPlaces {
		clear(c.places)
	}
	c.places[key] = beginning{version, int(after)}
}

// begins says after which volume the page of key begins.
func (c *cache) begins(version int64, key string) (after int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.places[key]
	return p.after, ok && p.version == version
}

// volume reads a volume, or knows it.
func (s *Store) volume(ctx context.Context, id onevolume.VolumeID) (row, error) {
	version, ok := s.cache.version(ctx)
	if ok {
		if r, ok := s.cache.get(version, id); ok {
			err := s.openSecrets(&r)
			return r, err
		}
	}
	r, err := s.get(ctx, s.read, id)
	if ok && err == nil {
		s.cache.keep(version, r)
	}
	return r, err
}

// page reads so many volumes of a list, the newest first, from an offset on.
func (s *Store) page(ctx context.Context, w where, limit, offset int) ([]row, error) {
	if version, ok := s.cache.version(ctx); ok {
		found, err := s.pageAt(ctx, version, w, limit, offset)
		if err != nil {
			return nil, err
		}
		// Written to meanwhile, it may be a mixture of before and after.
		if now, ok := s.cache.version(ctx); ok && now == version {
			return found, nil
		}
	}
	return s.list(ctx, s.read, w.page(volumeColumns), append(slices.Clone(w.args), limit, offset)...)
}

// page is the statement for a page of the list; it takes two more arguments.
func (w *where) page(columns string) string {
	return "SELECT " + columns + " FROM one_volume" + w.String() + " ORDER BY oid DESC LIMIT ? OFFSET ?"
}

// pageAt is page with what is known of a version. The result is right if the
// version still is the same after it.
func (s *Store) pageAt(ctx context.Context, version int64, w where, limit, offset int) ([]row, error) {
	list := fmt.Sprint(w.String(), w.args)
	at := func(offset int) string { return fmt.Sprint(list, " from ", offset) }
	// A list that is read page by page goes on where the page before ended,
	// which is found at once; an offset is counted.
	from := where{slices.Clone(w.conditions), slices.Clone(w.args)}
	skip := offset
	if after, ok := s.cache.begins(version, at(offset)); ok {
		from.and("oid < ?", after)
		skip = 0
	}
	args := append(slices.Clone(from.args), limit, skip)
	found, known, err := s.knownPage(ctx, version, from.page("oid"), args)
	if err == nil && !known {
		found, err = s.list(ctx, s.read, from.page(volumeColumns), args...)
		for i := range found {
			s.cache.keep(version, found[i])
		}
	}
	if err == nil && len(found) == limit {
		s.cache.ended(version, at(offset+limit), found[limit-1].ID)
	}
	return found, err
}

// knownPage gives the volumes whose ids a query finds, if all are known.
func (s *Store) knownPage(ctx context.Context, version int64, query string, args []any) (found []row, known bool, err error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id onevolume.VolumeID
		if err := rows.Scan(&id); err != nil {
			return nil, false, err
		}
		r, ok := s.cache.get(version, id)
		if !ok {
			return nil, false, nil
		}
		if err := s.openSecrets(&r); err != nil {
			return nil, false, err
		}
		found = append(found, r)
	}
	return found, true, rows.Err()
}
