package store

import (
	"context"
	"io/fs"
)

// BringUp brings a database to a version by migrations of a test's.
func (s *Store) BringUp(ctx context.Context, version int, files fs.FS) error {
	return s.bringUp(ctx, history{"", version, files})
}

// DataTables gives the columns of each table that is copied.
func DataTables() map[string]string {
	all := map[string]string{}
	for _, t := range dataTables {
		all[t.name] = t.columns
	}
	return all
}
