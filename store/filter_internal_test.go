package store

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"onevolume"
)

// sortsAll finds a sort of what an index gives, before it is bounded.
var sortsAll = regexp.MustCompile(`SEARCH one_volume USING [^\n]*\n *USE TEMP B-TREE`)

// Whoever sees few volumes among many does not wait for all to be looked at:
// each way to a volume has an index, in the order of the list.
func TestFewAmongManyAreFoundInIndexes(t *testing.T) {
	s := openForMigration(t)
	tenant := onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: 100}, Groups: []int{100, 101}}
	for _, columns := range []string{"oid", volumeColumns} {
		var w where
		w.waysToVisible(tenant)
		w.and("oid < ?", 1000)
		query, args := w.pageOf(columns, 200, 0)
		plan := planOf(t, s, query, args)
		for _, index := range []string{"uid (uid=? AND oid<?)", "others (others_use=? AND oid<?)", "gid (gid=? AND group_use=? AND oid<?)"} {
			if !strings.Contains(plan, "INDEX one_volume_by_"+index) {
				t.Errorf("not by %s", index)
			}
		}
		if strings.Contains(plan, "SCAN one_volume") || sortsAll.MatchString(plan) {
			t.Error("everything is looked at")
		}
		if t.Failed() {
			t.Fatalf("the plan of %s:\n%s", query, plan)
		}
	}
}

// planOf is how SQLite means to answer a query.
func planOf(t *testing.T, s *Store, query string, args []any) string {
	t.Helper()
	rows, err := s.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
