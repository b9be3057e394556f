package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// Tables of products in these tests. Who runs Run must have created them.
var (
	Rows = topology.Table{Name: "rows", Key: "owner", Sort: "id", Indexes: []topology.Index{
		{Name: "byState", Key: "state", Sort: "at"}, {Name: "byTag", Key: "tag"},
	}}
	Singles = topology.Table{Name: "singles", Key: "id", TTL: "ttl"}
)

// Tables lists Rows and Singles.
func Tables() []topology.Table { return []topology.Table{Rows, Singles} }

// fields are a row of Rows or Singles in a short form.
type fields = map[string]any

// everyType has an attribute of each type, with values that DynamoDB may write
// otherwise.
type everyType struct {
	Owner   string            `json:"owner"`
	ID      string            `json:"id"`
	Version int               `json:"_version"`
	Text    string            `json:"text"`
	Empty   string            `json:"empty"`
	Numbers []float64         `json:"numbers"`
	Bytes   []byte            `json:"bytes"`
	Yes     bool              `json:"yes"`
	Nothing *string           `json:"nothing"`
	Texts   []string          `json:"texts" dynamodbav:",stringset"`
	Counts  []int             `json:"counts" dynamodbav:",numberset"`
	Blobs   [][]byte          `json:"blobs"`
	Map     map[string]string `json:"map"`
	List    []any             `json:"list"`
}

// rowBytes is the most that a row of these tests takes, unless a test is about that.
const rowBytes = 4 << 10

var rowTests = []test{
	{"return as they were put, with attributes of every type", func(t *testing.T, s Store) {
		owner := unique("owner")
		r := encode(t, everyType{
			Owner: owner, ID: "1", Version: 7, Text: "Grüße 😀", Yes: true,
			Numbers: []float64{0, -1.5, 1e20, 1e-7, 12300},
			Bytes:   []byte{0, 255},
			Texts:   []string{"b", "a"},
			Counts:  []int{10, 9},
			Blobs:   [][]byte{{2}, {1}},
			Map:     map[string]string{"a b": "c", "#": ""},
			List:    []any{"a", 1, true, nil, fields{"in": []int{1}}, []string{}},
		})
		putRow(t, s, Rows, r)
		found, err := s.GetRow(t.Context(), Rows, table.Key{Partition: owner, Sort: "1"}, rowBytes)
		check(t, "GetRow", err, nil)
		sameRow(t, found, r)
		rows := queryRows(t, s, table.Query{Partition: owner})
		if len(rows) != 1 {
			t.Fatalf("%d rows, want 1", len(rows))
		}
		sameRow(t, rows[0], r)
	}},
	{"are missing until they are put, and after they are deleted", func(t *testing.T, s Store) {
		k := table.Key{Partition: unique("owner"), Sort: "1"}
		r := encode(t, fields{"owner": k.Partition, "id": "1"})
		for range 2 {
			_, err := s.GetRow(t.Context(), Rows, k, rowBytes)
			check(t, "GetRow", err, table.ErrNotFound)
			putRow(t, s, Rows, r)
			_, err = s.GetRow(t.Context(), Rows, k, rowBytes)
			check(t, "GetRow", err, nil)
			for range 2 { // the second time it is missing
				check(t, "DeleteRow", s.DeleteRow(t.Context(), Rows, k), nil)
			}
		}
	}},
	{"replace the one with their key as a whole", func(t *testing.T, s Store) {
		owner := unique("owner")
		putRow(t, s, Rows, encode(t, fields{"owner": owner, "id": "1", "old": 1}))
		r := encode(t, fields{"owner": owner, "id": "1", "new": 2})
		putRow(t, s, Rows, r)
		found, err := s.GetRow(t.Context(), Rows, table.Key{Partition: owner, Sort: "1"}, rowBytes)
		check(t, "GetRow", err, nil)
		sameRow(t, found, r)
	}},
	{"are the caller's own", func(t *testing.T, s Store) {
		k := table.Key{Partition: unique("owner"), Sort: "1"}
		r := encode(t, fields{"owner": k.Partition, "id": "1"})
		want := table.Normal(r)
		putRow(t, s, Rows, r)
		delete(r, "id")
		for range 2 {
			found, err := s.GetRow(t.Context(), Rows, k, rowBytes)
			check(t, "GetRow", err, nil)
			sameRow(t, found, want)
			delete(found, "id")
		}
		for range 2 {
			found := queryRows(t, s, table.Query{Partition: k.Partition})
			sameRow(t, found[0], want)
			delete(found[0], "id")
		}
	}},
	{"depend on a condition", func(t *testing.T, s Store) {
		version := func(n int64) table.Condition { return table.Condition{Version: &n} }
		for _, tt := range []struct {
			name      string
			stored    int // its version; 0 for none, -1 for no row
			condition table.Condition
			want      error
		}{
			{"none, no row", -1, table.Condition{}, nil},
			{"none, row", 3, table.Condition{}, nil},
			{"absent, no row", -1, table.Condition{Absent: true}, nil},
			{"absent, row", 0, table.Condition{Absent: true}, table.ErrConflict},
			{"absent, row with a version", 1, table.Condition{Absent: true}, table.ErrConflict},
			{"version, no row", -1, version(1), table.ErrConflict},
			{"version, row without", 0, version(1), table.ErrConflict},
			{"version, that row", 10, version(10), nil},
			{"version, later row", 10, version(9), table.ErrConflict},
			{"version, earlier row", 9, version(10), table.ErrConflict},
			{"no version, no row", -1, version(0), table.ErrConflict},
			{"no version, row without", 0, version(0), nil},
			{"no version, row with one", 1, version(0), table.ErrConflict},
		} {
			id := unique("id")
			want := encode(t, fields{"id": id, "new": true})
			if tt.want != nil {
				want = nil
			}
			if tt.stored >= 0 {
				old := fields{"id": id, "old": true}
				if tt.stored > 0 {
					old[table.Version] = tt.stored
				}
				putRow(t, s, Singles, encode(t, old))
				if tt.want != nil {
					want = encode(t, old)
				}
			}
			check(t, tt.name, putIf(t, s, encode(t, fields{"id": id, "new": true}), tt.condition), tt.want)
			found, err := s.GetRow(t.Context(), Singles, table.Key{Partition: id}, rowBytes)
			if want == nil {
				check(t, tt.name, err, table.ErrNotFound)
				continue
			}
			check(t, tt.name, err, nil)
			sameRow(t, found, want)
		}
	}},
	{"replace an older one, or one that has expired", func(t *testing.T, s Store) {
		now := time.Now().Add(time.Hour) // so that a server with TTL deletes none of them meanwhile
		past, future := now.Unix()-1, now.Unix()+3600
		for _, tt := range []struct {
			name   string
			stored fields // nil for no row
			newer  string
			want   error
		}{
			{"no row", nil, "b", nil},
			{"older", fields{"at": "a", "ttl": future}, "b", nil},
			{"older by its length", fields{"at": "b", "ttl": future}, "b0", nil},
			{"equal", fields{"at": "b", "ttl": future}, "b", table.ErrConflict},
			{"newer", fields{"at": "c", "ttl": future}, "b", table.ErrConflict},
			{"newer in bytes", fields{"at": "é", "ttl": future}, "z", table.ErrConflict},
			{"newer without an end", fields{"at": "c"}, "b", table.ErrConflict},
			{"newer, to end now", fields{"at": "c", "ttl": now.Unix()}, "b", table.ErrConflict},
			{"newer, but expired", fields{"at": "c", "ttl": past}, "b", nil},
			{"without the attribute", fields{"ttl": future}, "b", nil},
			{"another type", fields{"at": 1, "ttl": future}, "b", table.ErrConflict},
			{"null", fields{"at": nil, "ttl": future}, "b", table.ErrConflict},
		} {
			id := unique("id")
			want := fields{"id": id, "at": tt.newer, "ttl": future, "new": true}
			row := encode(t, want)
			if tt.stored != nil {
				tt.stored["id"] = id
				putRow(t, s, Singles, encode(t, tt.stored))
				if tt.want != nil {
					want = tt.stored
				}
			}
			check(t, tt.name, putIf(t, s, row, table.Condition{Newer: "at", Now: now}), tt.want)
			found, err := s.GetRow(t.Context(), Singles, table.Key{Partition: id}, rowBytes)
			check(t, tt.name, err, nil)
			sameRow(t, found, encode(t, want))
		}
	}},
	{"of many at once, the newest remains", func(t *testing.T, s Store) {
		id, newest := unique("id"), number(crowd-1)
		var putting sync.WaitGroup
		for i := range crowd {
			putting.Go(func() {
				r := encode(t, fields{"id": id, "at": number(i)})
				if err := putIf(t, s, r, table.Condition{Newer: "at", Now: time.Now()}); err != table.ErrConflict {
					check(t, "PutRow", err, nil)
				}
			})
		}
		putting.Wait()
		found, err := s.GetRow(t.Context(), Singles, table.Key{Partition: id}, rowBytes)
		check(t, "GetRow", err, nil)
		equal(t, "the row", table.Text(found, "at"), newest)
	}},
	{"of one condition are put once", func(t *testing.T, s Store) {
		id := unique("id")
		oneWins(t, table.ErrConflict, crowd, func(i int) error {
			return putIf(t, s, encode(t, fields{"id": id, "by": i}), table.Condition{Absent: true})
		})
		none := int64(0)
		oneWins(t, table.ErrConflict, crowd, func(i int) error {
			r := encode(t, fields{"id": id, "by": crowd + i, table.Version: 1})
			return putIf(t, s, r, table.Condition{Version: &none})
		})
	}},
	{"ascend by sort key, newest or after or before one, up to the limit", func(t *testing.T, s Store) {
		owner, state := unique("owner"), unique("state")
		for _, i := range []int{3, 9, 1, 7, 5} { // gaps, and out of order
			putRow(t, s, Rows, encode(t, fields{"owner": owner, "id": number(i), "state": state, "at": "at " + number(i)}))
		}
		for i, other := range []fields{
			{"owner": owner + "/other", "id": number(4), "state": state + "/other", "at": "at " + number(4)},
			{"owner": owner + "/other", "id": number(5), "state": state}, // not in the index
			{"owner": owner + "/other", "id": number(6), "at": "at " + number(4)},
		} {
			putRow(t, s, Rows, encode(t, other))
			equal(t, "rows of the other owner", len(queryRows(t, s, table.Query{Partition: owner + "/other"})), i+1)
		}
		for _, tt := range []struct {
			name          string
			after, before string
			limit         int
			want          []int
		}{
			{"newest of all", "", "", 10, []int{1, 3, 5, 7, 9}},
			{"newest two", "", "", 2, []int{7, 9}},
			{"after the first", number(1), "", 10, []int{3, 5, 7, 9}},
			{"two after the first", number(1), "", 2, []int{3, 5}},
			{"after one between", number(4), "", 2, []int{5, 7}},
			{"after one before all", number(0), "", 1, []int{1}},
			{"after the last", number(9), "", 10, nil},
			{"before the last", "", number(9), 10, []int{1, 3, 5, 7}},
			{"two before the last", "", number(9), 2, []int{5, 7}},
			{"before one between", "", number(6), 2, []int{3, 5}},
			{"before one after all", "", number(99), 1, []int{9}},
			{"before the first", "", number(1), 10, nil},
		} {
			q := table.Query{Partition: owner, After: tt.after, Before: tt.before, Limit: tt.limit}
			equal(t, tt.name, ids(queryRows(t, s, q)), tt.want)
			q.Index, q.Partition = "byState", state
			if tt.after != "" {
				q.After = "at " + tt.after
			}
			if tt.before != "" {
				q.Before = "at " + tt.before
			}
			soon(t, tt.name+" in the index", func() any { return ids(queryRows(t, s, q)) }, tt.want)
		}
	}},
	{"move in an index as they change", func(t *testing.T, s Store) {
		owner, tag := unique("owner"), unique("tag")
		var r table.Row
		count := func() any { return len(queryRows(t, s, table.Query{Index: "byTag", Partition: tag})) }
		for _, tt := range []struct {
			tag  string
			here int
		}{{tag, 1}, {tag + "/other", 0}, {tag, 1}} {
			r = encode(t, fields{"owner": owner, "id": number(1), "tag": tt.tag})
			putRow(t, s, Rows, r)
			soon(t, "rows in the index", count, tt.here)
		}
		sameRow(t, queryRows(t, s, table.Query{Index: "byTag", Partition: tag})[0], r)
		check(t, "DeleteRow", s.DeleteRow(t.Context(), Rows, table.Key{Partition: owner, Sort: number(1)}), nil)
		soon(t, "rows in the index", count, 0)
	}},
	{"in any number without a sort key", func(t *testing.T, s Store) {
		id, tag := unique("id"), unique("tag")
		putRow(t, s, Singles, encode(t, fields{"id": id}))
		putRow(t, s, Rows, encode(t, fields{"owner": unique("owner"), "id": id})) // another table's
		rows, err := s.QueryRows(t.Context(), Singles, table.Query{Partition: id, Limit: 10, RowBytes: rowBytes})
		check(t, "QueryRows", err, nil)
		equal(t, "rows of the table", len(rows), 1)
		for i := range 3 {
			putRow(t, s, Rows, encode(t, fields{"owner": unique("owner"), "id": number(i), "tag": tag}))
		}
		count := func() any { return len(queryRows(t, s, table.Query{Index: "byTag", Partition: tag})) }
		soon(t, "rows in the index", count, 3)
		equal(t, "two of them", len(queryRows(t, s, table.Query{Index: "byTag", Partition: tag, Limit: 2})), 2)
	}},
	{"of more than a page", func(t *testing.T, s Store) {
		const n, long = 12, 100 << 10 // a page has 1 MB
		owner := unique("owner")
		for i := range n {
			putRow(t, s, Rows, encode(t, fields{"owner": owner, "id": number(i), "long": strings.Repeat("x", long)}))
		}
		for _, q := range []table.Query{{}, {After: number(0)}, {Before: number(n - 1)}} {
			q.Partition, q.Limit, q.RowBytes = owner, n, long+1<<10
			want := n
			if q.After+q.Before != "" {
				want--
			}
			equal(t, "rows", len(queryRows(t, s, q)), want)
			q.Limit--
			equal(t, "rows up to the limit", len(queryRows(t, s, q)), n-1)
		}
	}},
	{"cannot be more than the budget has room for", func(t *testing.T, s Store) {
		const long = 8 << 10 // two read units, with what is around it
		owner := unique("owner")
		for i := range 10 {
			putRow(t, s, Rows, encode(t, fields{"owner": owner, "id": number(i), "long": strings.Repeat("x", long-100)}))
		}
		q := table.Query{Partition: owner, RowBytes: long}
		ctx := pubsub.WithBudget(t.Context(), 10*long)
		for _, limit := range []int{4, 5} {
			q.Limit = limit
			rows, err := s.QueryRows(ctx, Rows, q)
			check(t, "QueryRows within the budget", err, nil)
			equal(t, "rows", len(rows), limit)
		}
		_, err := s.GetRow(ctx, Rows, table.Key{Partition: owner, Sort: number(0)}, long)
		check(t, "GetRow within the budget", err, nil)
		_, err = s.GetRow(ctx, Rows, table.Key{Partition: owner, Sort: number(0)}, long)
		check(t, "GetRow beyond the budget", err, pubsub.ErrBudget)
		rows, err := s.QueryRows(ctx, Rows, q)
		check(t, "QueryRows beyond the budget", err, pubsub.ErrBudget)
		equal(t, "rows beyond it", len(rows), 0)

		ctx = pubsub.WithBudget(t.Context(), 4*long)
		rows, err = s.QueryRows(ctx, Rows, q)
		check(t, "QueryRows of more rows than the budget", err, pubsub.ErrBudget)
		equal(t, "rows of them", len(rows), 0)
	}},
	{"need room in the budget for the longest, even if they are short", func(t *testing.T, s Store) {
		owner := unique("owner")
		putRow(t, s, Rows, encode(t, fields{"owner": owner, "id": number(1)}))
		ctx := pubsub.WithBudget(t.Context(), rowBytes-1)
		_, err := s.GetRow(ctx, Rows, table.Key{Partition: owner, Sort: number(1)}, rowBytes)
		check(t, "GetRow", err, pubsub.ErrBudget)
		_, err = s.QueryRows(ctx, Rows, table.Query{Partition: owner, Limit: 1, RowBytes: rowBytes})
		check(t, "QueryRows", err, pubsub.ErrBudget)
		_, err = s.GetRow(ctx, Rows, table.Key{Partition: owner, Sort: number(1)}, rowBytes-1)
		check(t, "GetRow of a shorter row", err, nil)
	}},
	{"under any key", func(t *testing.T, s Store) {
		for _, odd := range []string{"a#b", "a/b c", "ünï✓", "__proto__", ".", "\x00", " ", strings.Repeat("x", 1000)} {
			k := table.Key{Partition: unique(odd), Sort: odd}
			r := encode(t, fields{"owner": k.Partition, "id": odd})
			putRow(t, s, Rows, r)
			found, err := s.GetRow(t.Context(), Rows, k, rowBytes)
			check(t, "GetRow", err, nil)
			sameRow(t, found, r)
			equal(t, "rows of "+odd, len(queryRows(t, s, table.Query{Partition: k.Partition})), 1)
			check(t, "DeleteRow", s.DeleteRow(t.Context(), Rows, k), nil)
			equal(t, "rows of "+odd, len(queryRows(t, s, table.Query{Partition: k.Partition})), 0)
		}
	}},
	{"under no empty key", func(t *testing.T, s Store) {
		owner := unique("owner")
		for _, r := range []fields{
			{"owner": owner}, {"id": "1"}, {"owner": "", "id": "1"}, {"owner": owner, "id": ""}, {"owner": owner, "id": 1},
			{"owner": owner, "id": "1", "tag": ""}, {"owner": owner, "id": "1", "tag": nil},
			{"owner": owner, "id": "1", "state": "s", "at": 1},
		} {
			if err := s.PutRow(t.Context(), Rows, encode(t, r), table.Condition{}); err == nil {
				t.Errorf("%v is put", r)
			}
		}
		for _, k := range []table.Key{{}, {Partition: owner}, {Sort: "1"}} {
			if _, err := s.GetRow(t.Context(), Rows, k, rowBytes); err == nil {
				t.Errorf("%v is got", k)
			}
			if err := s.DeleteRow(t.Context(), Rows, k); err == nil {
				t.Errorf("%v is deleted", k)
			}
		}
		for _, q := range []table.Query{
			{}, {Index: "byAge", Partition: owner}, {Index: "byTag", Partition: owner, After: "1"},
		} {
			q.Limit, q.RowBytes = 1, rowBytes
			if _, err := s.QueryRows(t.Context(), Rows, q); err == nil {
				t.Errorf("%+v is answered", q)
			}
		}
	}},
	{"are neither read nor changed once the context has ended", func(t *testing.T, s Store) {
		k := table.Key{Partition: unique("id")}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		check(t, "PutRow", s.PutRow(ctx, Singles, encode(t, fields{"id": k.Partition}), table.Condition{}), context.Canceled)
		check(t, "DeleteRow", s.DeleteRow(ctx, Singles, k), context.Canceled)
		_, err := s.GetRow(ctx, Singles, k, rowBytes)
		check(t, "GetRow", err, context.Canceled)
		_, err = s.QueryRows(ctx, Singles, table.Query{Partition: k.Partition, Limit: 1, RowBytes: rowBytes})
		check(t, "QueryRows", err, context.Canceled)
		_, err = s.GetRow(t.Context(), Singles, k, rowBytes)
		check(t, "GetRow", err, table.ErrNotFound)
	}},
}

func encode(t *testing.T, v any) table.Row {
	t.Helper()
	r, err := table.Encode(v)
	check(t, "Encode", err, nil)
	return r
}

func putRow(t *testing.T, s Store, in topology.Table, r table.Row) {
	t.Helper()
	check(t, "PutRow", s.PutRow(t.Context(), in, r, table.Condition{}), nil)
}

// queryRows returns rows of Rows, up to 10 if the query has no limit.
func queryRows(t *testing.T, s Store, q table.Query) []table.Row {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 10
	}
	if q.RowBytes == 0 {
		q.RowBytes = rowBytes
	}
	rows, err := s.QueryRows(t.Context(), Rows, q)
	check(t, "QueryRows", err, nil)
	return rows
}

// ids returns the numbers that the ids of rows are made of.
func ids(rows []table.Row) (found []int) {
	for _, r := range rows {
		var i int
		_, _ = fmt.Sscanf(table.Text(r, "id"), "%d", &i)
		found = append(found, i)
	}
	return found
}

// sameRow fails the test unless the rows are equal.
func sameRow(t *testing.T, got, want table.Row) {
	t.Helper()
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	if diff := cmp.Diff(table.Normal(want), table.Normal(got), all); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
}

// soon fails the test unless the read of an index, which may lag behind, comes to be
// want.
func soon(t *testing.T, what string, read func() any, want any) {
	t.Helper()
	end := time.Now().Add(5 * time.Second)
	got := read()
	for !reflect.DeepEqual(got, want) && time.Now().Before(end) {
		got = read()
	}
	equal(t, what, got, want)
}

// putIf puts a row of Singles. Where answers are lost, a store may not know that it did
// not put it.
func putIf(t *testing.T, s Store, r table.Row, c table.Condition) error {
	t.Helper()
	err := s.PutRow(t.Context(), Singles, r, c)
	if errors.Is(err, table.ErrUnknown) {
		return table.ErrConflict
	}
	return err
}
