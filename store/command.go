package store

import (
	"context"
	"errors"
	"time"

	"onevolume"
)

const commandColumns = "op, seq, n, host, command, started, took, code, stderr, error"

// commandsAtOnce bounds how many go into one statement: SQLite takes 32766
// values, and a server's packet has a size.
const commandsAtOnce = 64

// What the columns of a command take, in characters (compare longestText).
const longestCommand = 1 << 20

// appendCommands writes what was run before the entry with the number seq.
func appendCommands(ctx context.Context, tx *transaction, op, seq int, list []onevolume.Command) error {
	for n := 0; n < len(list); n += commandsAtOnce {
		some := list[n:min(n+commandsAtOnce, len(list))]
		query := "INSERT INTO one_volume_command (" + commandColumns + ") VALUES "
		var args []any
		for i, c := range some {
			if i > 0 {
				query += ", "
			}
			query += "(" + marks(10) + ")"
			args = append(args, op, seq, n+i+1, fit(c.Host, longestOrigin), fit(c.Text, longestCommand),
				millis(c.Started), c.Took.Microseconds(), c.Code, fit(c.Stderr, longestText), fit(c.Error, longestText))
		}
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// readCommands gives an operation's entries their commands.
func readCommands(ctx context.Context, q querier, op int, entries []onevolume.Entry) (err error) {
	rows, err := q.QueryContext(ctx, "SELECT "+commandColumns+" FROM one_volume_command WHERE op = ? ORDER BY seq, n", op)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c onevolume.Command
		var seq, n int
		var started, took int64
		if err := rows.Scan(&op, &seq, &n, &c.Host, &c.Text, &started, &took, &c.Code, &c.Stderr, &c.Error); err != nil {
			return err
		}
		c.Started, c.Took = fromMillis(started), time.Duration(took)*time.Microsecond
		// Entries are numbered from 1 without gaps. Later ones may have come
		// since they were read.
		if seq >= 1 && seq <= len(entries) {
			entries[seq-1].Commands = append(entries[seq-1].Commands, c)
		}
	}
	return rows.Err()
}
