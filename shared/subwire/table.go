package subwire

import (
	"cmp"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"subwire/shared/allowance"
	"subwire/shared/fanout"
	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

// Errors of a Table. Any other is the server's fault, which a client is told without its
// text.
var (
	ErrNotFound = table.ErrNotFound
	ErrExists   = errors.New("the row exists")
)

// DefaultRowBytes is the bound of a row unless TableSpec says otherwise.
const DefaultRowBytes = 16 << 10

// WriteTime bounds the write of a row. In a table with a Replay it begins when the ULID in
// the sort key was made. So whoever reads that much later finds every row with an earlier id.
const WriteTime = 5 * time.Second

// TableSpec describes a table.
type TableSpec struct {
	Name      string               // logical: lower case letters and digits
	Key, Sort string               // names of attributes, which are strings; Sort is "" for none
	TTL       string               // name of an attribute with the expiry in Unix seconds, or ""
	Indexes   map[string][2]string // further keys and sort keys, by the index's name
	Kept      bool                 // whether it is backed up, and outlives a deployment in production

	OnlyInserts bool // whether changes and removals of rows are no events; no key is used twice
	OldImages   bool // whether Change.Before is given
	Once        bool // whether there is InsertOnce, which keeps keys in a table of its own
	RowBytes    int  // the largest row, in bytes; 0 for DefaultRowBytes
}

// Table keeps rows of type T, whose attributes have the names of its json tags. All
// reads are strongly consistent but those by an index.
type Table[T any] struct {
	app *App
	*spec
}

// spec is what does not depend on the type of the rows.
type spec struct {
	table    topology.Table
	rowBytes int
	known    map[string]bool // attributes of the rows' type
	required []string        // attributes that every row has
	replayed bool            // whether a Replay reads it
	isInbox  bool            // whether it is the table of the App's Inboxes
	once     bool            // TableSpec.Once
	changed  func(before, now table.Row) ([]emitted, error)
}

// NewTable adds a table. changes says which events a change of a row is, for which topics.
// It runs for each record of the table's stream, again after a failure, and also before a
// write, to see how large its events are and what they cost. So it looks at nothing but
// the change. With nil changes are no events, and the table has no stream.
func NewTable[T any](a *App, s TableSpec, changes func(Change[T], Emit)) *Table[T] {
	if changes == nil {
		return newTable[T](a, s, nil)
	}
	return newTable(a, s, func(c Change[T], emit Emit) error {
		changes(c, emit)
		return nil
	})
}

// newTable is NewTable for changes that may be impossible to decode.
func newTable[T any](a *App, s TableSpec, changes func(Change[T], Emit) error) *Table[T] {
	t := &Table[T]{app: a, spec: &spec{rowBytes: cmp.Or(s.RowBytes, DefaultRowBytes), table: topology.Table{
		Name: s.Name, Key: s.Key, Sort: s.Sort, TTL: s.TTL, Kept: s.Kept, Stream: changes != nil, OldImages: s.OldImages}}}
	for _, name := range slices.Sorted(maps.Keys(s.Indexes)) {
		keys := s.Indexes[name]
		t.table.Indexes = append(t.table.Indexes, topology.Index{Name: name, Key: keys[0], Sort: keys[1]})
	}
	if s.OnlyInserts {
		t.table.Events = []string{"INSERT"}
	}
	t.known = map[string]bool{}
	for _, m := range rowMembers(typeOf[T]()) {
		t.known[m.name] = true
		if !m.optional {
			t.required = append(t.required, m.name)
		}
		if err := t.check(m); err != nil {
			a.errs = append(a.errs, fmt.Errorf("table %s: %s %w", s.Name, m.name, err))
		}
	}
	for _, name := range t.keys() {
		if !t.known[name] {
			a.errs = append(a.errs, fmt.Errorf("table %s: its rows have no %s", s.Name, name))
		}
	}
	if changes != nil {
		t.changed = decodeChanges(a, t.spec, changes)
	}
	a.tables = append(a.tables, t.spec)
	if t.once = s.Once; t.once {
		a.keepKeys()
	}
	return t
}

// onlyInserts is TableSpec.OnlyInserts. The inbox has rows that are overwritten as well.
func (s *spec) onlyInserts() bool { return s.table.Events != nil }

// keys names the attributes that the table and its indexes find and order rows by.
func (s *spec) keys() []string {
	names := []string{s.table.Key, s.table.Sort}
	for _, i := range s.table.Indexes {
		names = append(names, i.Key, i.Sort)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// check returns an error for a field that would not be stored as it is.
func (s *spec) check(m member) error {
	of := m.Type
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice && !writesItself(of) {
		of = of.Elem()
	}
	switch {
	case slices.Contains([]string{table.Version, table.Trace, table.Written}, m.name):
		return errors.New("is what tables note in a row")
	case slices.Contains(s.keys(), m.name) && of.Kind() != reflect.String:
		return errors.New("is part of a key and must be a string")
	case slices.Contains(s.keys(), m.name) && m.Type.Kind() == reflect.Pointer &&
		!strings.Contains(m.Tag.Get("json"), ","):
		return errors.New("is part of a key: it may be missing, but not null (omitempty)")
	case of != timeType && writesItself(of):
		return errors.New("has a type that writes itself as JSON, which tables do not heed")
	}
	return nil
}

// writesItself reports whether encoding/json would ask the type for its JSON.
func writesItself(of reflect.Type) bool {
	for _, t := range []reflect.Type{of, reflect.PointerTo(of)} {
		if t.Implements(typeOf[json.Marshaler]()) || t.Implements(typeOf[encoding.TextMarshaler]()) {
			return true
		}
	}
	return false
}

// Get returns the row with the key and, if the table has one, the sort key. Error:
// ErrNotFound.
func (t *Table[T]) Get(ctx context.Context, key ...string) (row T, err error) {
	found, err := t.row(ctx, key)
	if err != nil {
		return row, err
	}
	return row, t.failed("read", table.Decode(found, &row))
}

// row returns the row with the key. No row has an empty one.
func (t *Table[T]) row(ctx context.Context, key []string) (table.Row, error) {
	k := keyOf(key)
	if k.Check(t.table) != nil {
		return nil, ErrNotFound
	}
	found, err := t.app.env.Tables.GetRow(ctx, t.table, k, t.rowBytes)
	allowance.Add(ctx, allowance.Read(table.Bytes(found)))
	return found, t.failed("read", err)
}

func keyOf(key []string) (k table.Key) {
	k.Partition = key[0]
	if len(key) > 1 {
		k.Sort = key[1]
	}
	return k
}

// Put stores the row, in the place of the one with its key. A row or event that is too
// large is Invalid, here and in Insert and Update.
func (t *Table[T]) Put(ctx context.Context, row T) error {
	w, err := t.encode(nil, row)
	if err != nil {
		return err
	}
	return t.failed("write", t.put(ctx, w, table.Condition{}))
}

// Insert stores a new row. Error: ErrExists, when the row with its key is another.
func (t *Table[T]) Insert(ctx context.Context, row T) error {
	w, err := t.encode(nil, row)
	if err != nil {
		return err
	}
	return t.insert(ctx, w)
}

func (t *Table[T]) insert(ctx context.Context, w write) error {
	err := t.put(ctx, w, table.Condition{Absent: true})
	if errors.Is(err, table.ErrConflict) {
		return ErrExists
	}
	return t.failed("write", err)
}

// Update changes the row with the key, and returns it. change is called again when
// another writer came first; its error ends the update. Error: ErrNotFound.
func (t *Table[T]) Update(ctx context.Context, change func(*T) error, key ...string) (row T, err error) {
	for {
		before, err := t.row(ctx, key)
		if err != nil {
			return row, err
		}
		row = *new(T)
		if err := table.Decode(before, &row); err != nil {
			return row, t.failed("read", err)
		}
		if err := change(&row); err != nil {
			return row, err
		}
		w, err := t.encode(before, row)
		if err != nil {
			return row, err
		}
		t.keepUnknown(before, w.row)
		version := table.VersionOf(before)
		err = t.put(ctx, w, table.Condition{Version: &version})
		if !errors.Is(err, table.ErrConflict) || !pause(ctx) {
			return row, t.failed("write", err)
		}
	}
}

// keepUnknown copies the attributes that T does not have. A newer release may have stored
// them.
func (t *Table[T]) keepUnknown(before, now table.Row) {
	for name, value := range before {
		if now[name] == nil && !t.known[name] {
			now[name] = value
		}
	}
}

// pause lets another writer of the row finish. It returns false if ctx has ended.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(rand.N(50 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Delete deletes the row with the key. A missing one is not an error.
func (t *Table[T]) Delete(ctx context.Context, key ...string) error {
	if keyOf(key).Check(t.table) != nil {
		return nil
	}
	allowance.Add(ctx, t.stored(t.rowBytes)) // it is not known how large the row is
	return t.failed("delete", t.app.env.Tables.DeleteRow(ctx, t.table, keyOf(key)))
}

// After returns at most limit rows of the partition whose sort key is greater, in
// ascending order.
func (t *Table[T]) After(ctx context.Context, partition, sort string, limit int) ([]T, error) {
	return t.query(ctx, table.Query{Partition: partition, After: sort, Limit: limit})
}

// Before returns the last rows of the partition whose sort key is less, in ascending
// order, or the last of all for "".
func (t *Table[T]) Before(ctx context.Context, partition, sort string, limit int) ([]T, error) {
	return t.query(ctx, table.Query{Partition: partition, Before: sort, Limit: limit})
}

// By returns the last rows that an index has under the key, in ascending order of its
// sort key. What was written within the last second or so may be missing.
func (t *Table[T]) By(ctx context.Context, index, key string, limit int) ([]T, error) {
	return t.query(ctx, table.Query{Index: index, Partition: key, Limit: limit})
}

func (t *Table[T]) query(ctx context.Context, q table.Query) ([]T, error) {
	if q.Partition == "" || len(q.Partition) > table.MaxPartitionBytes {
		return []T{}, nil
	}
	if n := len(q.After + q.Before); n > table.MaxSortBytes {
		return nil, Invalid(fmt.Sprintf("A key of %d bytes is too long.", n))
	}
	q.RowBytes = t.rowBytes
	found, err := t.app.env.Tables.QueryRows(ctx, t.table, q)
	if err != nil {
		return nil, t.failed("read", err)
	}
	rows, bytes := make([]T, len(found)), 0
	for i, row := range found {
		bytes += table.Bytes(row)
		if err := table.Decode(row, &rows[i]); err != nil {
			return nil, t.failed("read", err)
		}
	}
	allowance.Add(ctx, allowance.Read(bytes))
	return rows, nil
}

// write is a row with the events that its insert or change will be.
type write struct {
	row    table.Row
	events []emitted
}

// isLatest reports whether only the newest of such writes counts.
func (w write) isLatest() bool {
	return len(w.events) > 0 && !slices.ContainsFunc(w.events, func(e emitted) bool { return !e.latest })
}

// encode prepares the write of a row; before is the row in its place, if that is known.
// What is too large is Invalid: the row, or an event that no batch has room for. An event
// that shows the row as it was, which Put does not know, may still be too large.
func (t *Table[T]) encode(before table.Row, row T) (w write, err error) {
	if w.row, err = table.Encode(row); err != nil {
		return w, err
	}
	if _, err := table.KeyOf(t.table, w.row); err != nil {
		return w, Invalid("What is to be stored has an empty key, or one that is too long.")
	}
	if !table.HasStorableNumbers(w.row) {
		return w, Invalid("What is to be stored has a number that is too large, too small or none.")
	}
	if n := table.Bytes(w.row); n > t.rowBytes {
		return w, tooLarge(fmt.Sprintf("What is to be stored has %d bytes; %d are allowed.", n, t.rowBytes))
	}
	if t.changed == nil {
		return w, nil
	}
	if !t.table.OldImages {
		before = nil
	}
	w.events = t.eventsOf(before, w.row)
	for i, e := range w.events {
		if err := fanout.Fits(e.event(t.longestID(w.row), i), topology.BatchBytes); err != nil {
			return w, tooLarge(err.Error())
		}
	}
	return w, nil
}

// ErrTooLarge is what the error for a row or event that is too large is, besides Invalid.
var ErrTooLarge = errors.New("too large")

func tooLarge(text string) error { return gql.Refuse(pubsub.CodeInput, sizeError{errors.New(text)}) }

type sizeError struct{ error }

func (sizeError) Is(target error) bool { return target == ErrTooLarge }

// eventsOf are the events of a write. What cannot be decoded is none, nor is what makes the
// product panic: the row is stored, and stream parks its record.
func (t *Table[T]) eventsOf(before, now table.Row) (all []emitted) {
	defer func() {
		if recover() != nil {
			all = nil
		}
	}()
	all, err := t.changed(before, now)
	if err != nil {
		return nil
	}
	return all
}

// recordIDBytes is the most that is expected of a stream record's id, of which AWS says
// only that it is unique ("Record" in the DynamoDB Streams API Reference).
const recordIDBytes = 64

// longestID is as long as the id may be that an event of the row gets.
func (t *Table[T]) longestID(row table.Row) string {
	id := t.id(row)
	if t.isInsert(row) {
		return id
	}
	return id + strings.Repeat("x", max(0, recordIDBytes-len(id)))
}

// put writes the row. Meanwhile it finds out who will get the events, for whom the
// writer pays.
func (t *Table[T]) put(ctx context.Context, w write, c table.Condition) error {
	if !t.onlyInserts() { // an update tells each write from any other
		table.SetVersion(w.row, 1+rand.Int64N(1<<53))
	}
	if t.changed != nil {
		table.Stamp(w.row, trace.Of(ctx), time.Now())
	}
	inTime, cancel := t.bounded(ctx, w.row)
	defer cancel()
	defer t.pay(inTime, w, c)()
	err := t.app.env.Tables.PutRow(inTime, t.table, w.row, c)
	if err == nil {
		t.logPut(ctx, w.row)
	}
	if !errors.Is(err, table.ErrConflict) { // after any other error the row may be there
		t.announce(ctx, w, c, err == nil)
	}
	return err
}

// logPut logs a write that may be an event, with the event's id if that is the row's. Any
// other key may say more than an id.
func (t *Table[T]) logPut(ctx context.Context, row table.Row) {
	if t.changed == nil || t.app.env.Log == nil {
		return
	}
	if t.isInsert(row) {
		t.app.env.Log.InfoContext(ctx, "row written", "table", t.table.Name, "event", t.id(row))
	} else {
		t.app.env.Log.InfoContext(ctx, "row written", "table", t.table.Name)
	}
}

// bounded gives the write of a row its WriteTime: in a table with a Replay from when its
// ULID was made.
func (t *Table[T]) bounded(ctx context.Context, row table.Row) (context.Context, context.CancelFunc) {
	if id, err := ulid.ParseStrict(table.Text(row, t.table.Sort)); err == nil && t.replayed {
		return context.WithDeadline(ctx, ulid.Time(id.Time()).Add(WriteTime))
	}
	return context.WithTimeout(ctx, WriteTime)
}

func (t *Table[T]) pay(ctx context.Context, w write, c table.Condition) (tally func()) {
	cost := make(chan float64, 1)
	go func() { cost <- t.cost(ctx, w, c) }()
	return func() { allowance.Add(ctx, <-cost) }
}

func (t *Table[T]) cost(ctx context.Context, w write, c table.Condition) float64 {
	sum, mine := t.stored(table.Bytes(w.row)), t.mine(w, c)
	for i, e := range w.events {
		if e.topic == "" {
			continue
		}
		targets := t.app.env.Audiences.Of(ctx, e.topic)
		sum += allowance.FannedOut(len(e.root)) + float64(targets)*allowance.Sent(len(e.root))
		if mine != nil && mine[i].topic != "" { // of a larger audience no more is read, and nothing sent
			sum += allowance.Announced(len(e.root), min(targets, topology.FastRows))
		}
	}
	return sum
}

// stored is the price of writing a row of that many bytes to the table and its indexes.
func (s *spec) stored(bytes int) float64 {
	return float64(1+len(s.table.Indexes)) * allowance.Stored(bytes)
}

// failed is an error of the store as clients may learn of it.
func (t *Table[T]) failed(what string, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, pubsub.ErrBudget):
		return err
	}
	return gql.Unavailable(fmt.Errorf("%s %s: %w", what, t.table.Name, err))
}
