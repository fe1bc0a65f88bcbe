package store

import (
	"context"
	"errors"

	"onevolume"
)

// Count gives how many volumes are in each state, and how many operations in
// each status. Both are read from an index alone.
func (s *Store) Count(ctx context.Context) (volumes map[onevolume.State]int, operations map[onevolume.Status]int, err error) {
	err = s.persist(ctx, "counting", func() error {
		volumes, operations = map[onevolume.State]int{}, map[onevolume.Status]int{}
		err := count(ctx, s.db, "SELECT status, COUNT(*) FROM one_volume GROUP BY status", func(status string, n int) {
			volumes[onevolume.State(status)] = n
		})
		if err != nil {
			return err
		}
		return count(ctx, s.db, "SELECT status, COUNT(*) FROM one_volume_operation GROUP BY status", func(status string, n int) {
			operations[onevolume.Status(status)] = n
		})
	})
	return volumes, operations, err
}

// count reads a query of a word and a number.
func count(ctx context.Context, q querier, query string, each func(word string, n int)) (err error) {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var word string
		var n int
		if err := rows.Scan(&word, &n); err != nil {
			return err
		}
		each(word, n)
	}
	return rows.Err()
}
