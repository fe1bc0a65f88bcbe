package store

import (
	"context"
	"io/fs"
)

// BringUp brings a database to a version by migrations of a test's.
func (s *Store) BringUp(ctx context.Context, version int, files fs.FS) error {
	return s.bringUp(ctx, history{"", version, files})
}
