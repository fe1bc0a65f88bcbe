package store

import (
	"context"
	"strings"
)

// table is one of ours.
type table struct {
	name    string
	columns string
	order   string // of its rows, by which the same are read the same
}

const journalColumns = "op, seq, step, event, time, generation, owner, detail"

// dataTables are all tables but the counters, in the order in which their
// rows may be put in; a test holds them to the schema.
var dataTables = []table{
	{"one_volume", writtenColumns, "oid"},
	{"one_volume_operation", operationColumns + ", running_volume", "oid"},
	{"one_volume_journal", journalColumns, "op, seq"},
	{"one_volume_command", commandColumns, "op, seq, n"},
	{"one_volume_audit", auditColumns, "oid"},
	{"one_volume_quota", quotaColumns, "kind, oid"},
	{"one_volume_label", "vm_id", "vm_id"},
	{"one_volume_snapshot", snapshotColumns, "oid"},
	{eventTable, eventColumns, "oid"},
	{fenceTable, fenceColumns, "host, volume"},
}

const auditTable = "one_volume_audit"

// Rows go in many to a statement, but SQLite takes 32766 values in one, and a
// server's packet has a size.
const (
	rowsAtOnce  = 64
	bytesAtOnce = 256 << 10
)

// readError marks that rows could not be read, where others are written.
type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

// each calls f with the rows of a table. The slice is f's to keep. Its own
// errors are readErrors.
func (t table) each(ctx context.Context, from querier, f func(values []any) error) (err error) {
	rows, err := from.QueryContext(ctx, "SELECT "+t.columns+" FROM "+t.name+" ORDER BY "+t.order)
	if err != nil {
		return readError{err}
	}
	defer rows.Close()
	width := strings.Count(t.columns, ",") + 1
	for rows.Next() {
		values, targets := make([]any, width), make([]any, width)
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return readError{err}
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				values[i] = string(b) // MariaDB's texts; SQLite would keep bytes as a BLOB
			}
		}
		if err := f(values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return readError{err}
	}
	return nil
}

// inserter collects rows for a table.
type inserter struct {
	table
	tx   *transaction
	args []any
	rows int // collected
	size int // of their texts
	all  int // put in
}

func (in *inserter) add(ctx context.Context, values []any) error {
	in.args = append(in.args, values...)
	in.rows++
	for _, v := range values {
		if text, ok := v.(string); ok {
			in.size += len(text)
		}
	}
	if in.rows < rowsAtOnce && in.size < bytesAtOnce {
		return nil
	}
	return in.flush(ctx)
}

// flush puts in what was collected.
func (in *inserter) flush(ctx context.Context) error {
	if in.rows == 0 {
		return nil
	}
	row := "(" + marks(len(in.args)/in.rows) + ")"
	_, err := in.tx.ExecContext(ctx, "INSERT INTO "+in.name+" ("+in.columns+") VALUES "+row+strings.Repeat(", "+row, in.rows-1), in.args...)
	in.all += in.rows
	in.args, in.rows, in.size = in.args[:0], 0, 0
	return err
}

// copyTo puts all rows of a table into the one of the same name elsewhere,
// and says how many there were.
func (t table) copyTo(ctx context.Context, from querier, to *transaction) (int, error) {
	in := inserter{table: t, tx: to}
	err := t.each(ctx, from, func(values []any) error { return in.add(ctx, values) })
	if err == nil {
		err = in.flush(ctx)
	}
	return in.all, err
}
