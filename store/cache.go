package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
// database since, neither this process nor another: each use looks into
// SQLite's index of its log first. On MariaDB, which has no such thing, there
// is none.
//
// What is kept is marked with the stamp that was looked up before it was
// read. A write between the two makes it newer than its mark, and it is never
// used: every later look finds another stamp.
type cache struct {
	conn  *sql.Conn // keeps the index
	index *walIndex

	mu      sync.Mutex
	most    int // volumes
	volumes map[onevolume.VolumeID]*cachedRow
	places  map[string]beginning
}

type cachedRow struct {
	at  stamp
	row row // without its secrets, which are opened each time
}

// beginning is where a page begins: after the volume with this id.
type beginning struct {
	at    stamp
	after int
}

func newCache(ctx context.Context, db *sql.DB, path string) (*cache, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	index, err := openWALIndex(ctx, conn, path)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &cache{conn: conn, index: index, most: cachedVolumes, volumes: map[onevolume.VolumeID]*cachedRow{}, places: map[string]beginning{}}, nil
}

// stamp is another one after every write that anybody commits. ok is false
// when it cannot be had.
func (c *cache) stamp() (at stamp, ok bool) {
	if c == nil {
		return at, false
	}
	return c.index.stamp()
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

// keep keeps a volume that was read after the stamp was looked up.
func (c *cache) keep(at stamp, r row) {
	r = r.own()
	r.Target.CHAP.Secret, r.Target.CHAP.SecretIn, r.read = "", "", onevolume.CHAP{}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.volumes) >= c.most {
		clear(c.volumes)
	}
	c.volumes[r.ID] = &cachedRow{at, r}
}

// get gives a volume as it is at the stamp, if that is known. The caller
// may change it.
func (c *cache) get(at stamp, id onevolume.VolumeID) (row, bool) {
	c.mu.Lock()
	kept, ok := c.volumes[id]
	c.mu.Unlock()
	if !ok || kept.at != at {
		return row{}, false
	}
	return kept.row.own(), true
}

// ended remembers that the page of a list before key ended with a volume.
func (c *cache) ended(at stamp, key string, after onevolume.VolumeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.places) >= cachedPlaces {
		clear(c.places)
	}
	c.places[key] = beginning{at, int(after)}
}

// begins says after which volume the page of key begins.
func (c *cache) begins(at stamp, key string) (after int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.places[key]
	return p.after, ok && p.at == at
}

// volume reads a volume, or knows it.
func (s *Store) volume(ctx context.Context, id onevolume.VolumeID) (row, error) {
	at, ok := s.cache.stamp()
	if ok {
		if r, ok := s.cache.get(at, id); ok {
			err := s.openSecrets(&r)
			return r, err
		}
	}
	r, err := s.get(ctx, s.read, id)
	if ok && err == nil {
		s.cache.keep(at, r)
	}
	return r, err
}

// page reads so many volumes of a list, the newest first, from an offset on.
func (s *Store) page(ctx context.Context, w where, limit, offset int) ([]row, error) {
	if at, ok := s.cache.stamp(); ok {
		found, err := s.pageAt(ctx, at, w, limit, offset)
		if err != nil {
			return nil, err
		}
		// Written to meanwhile, it may be a mixture of before and after.
		if now, ok := s.cache.stamp(); ok && now == at {
			return found, nil
		}
	}
	query, args := w.pageOf(volumeColumns, limit, offset)
	return s.list(ctx, s.read, query, args...)
}

// pageAt is page with what is known at a stamp. The result is right if the
// stamp still is the same after it.
func (s *Store) pageAt(ctx context.Context, at stamp, w where, limit, offset int) ([]row, error) {
	list := fmt.Sprint(w)
	key := func(offset int) string { return fmt.Sprint(list, " from ", offset) }
	// A list that is read page by page goes on where the page before ended,
	// which is found at once; an offset is counted.
	from := where{slices.Clone(w.conditions), slices.Clone(w.args), w.ways}
	skip := offset
	if after, ok := s.cache.begins(at, key(offset)); ok {
		from.and("oid < ?", after)
		skip = 0
	}
	query, args := from.pageOf("oid", limit, skip)
	found, known, err := s.knownPage(ctx, at, query, args)
	if err == nil && !known {
		query, args = from.pageOf(volumeColumns, limit, skip)
		found, err = s.list(ctx, s.read, query, args...)
		for i := range found {
			s.cache.keep(at, found[i])
		}
	}
	if err == nil && len(found) == limit {
		s.cache.ended(at, key(offset+limit), found[limit-1].ID)
	}
	return found, err
}

// knownPage gives the volumes whose ids a query finds, if all are known.
func (s *Store) knownPage(ctx context.Context, at stamp, query string, args []any) (found []row, known bool, err error) {
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
		r, ok := s.cache.get(at, id)
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
