package dynamo

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"subwire/shared/pubsub"
)

const (
	// spanBuckets is how many buckets of a topic with parts are read, merged and yielded
	// together: of a million subscribers, some 16,000.
	spanBuckets = 4

	// keptBytes is how many bytes a process keeps of the rows of topics with parts, as
	// topicBytes and bytesOf count them: some 200,000 rows. What is beyond is read for each
	// event.
	keptBytes = 80 << 20

	// topicBytes is what a topic takes before it has any row: its buckets, as they are
	// allocated, its name, and its place among the others.
	topicBytes = 14 << 10

	// rowBytes is what a row takes besides its own text.
	rowBytes = 300

	// stringBytes is what a string takes besides its text.
	stringBytes = 16

	// emptyFor is how long a bucket without a count counts as empty. If its head is lost, its
	// count stays none whatever is put there.
	emptyFor = 5 * time.Second

	// keptExpired is how long after its expiry a row is kept at least: some readers want what
	// has expired a moment ago.
	keptExpired = time.Hour
)

// allWithParts yields the rows of a topic that has parts. first is the first page of those
// outside. Some spans are read at once, and come one after the other; in each, the rows of
// both places are in the order of their keys.
func (q topicQuery) allWithParts(ctx context.Context, first topicRows,
	yield func(pubsub.Subscription, error) bool) {
	counts, err := q.store.heads(ctx, q.topic)
	if err != nil {
		yield(pubsub.Subscription{}, err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	const spans = pubsub.Buckets / spanBuckets
	read := make([]chan spanRows, TopicReaders)
	for i := range read {
		read[i] = make(chan spanRows)
		reading.Go(func() {
			for n := i; n < spans; n += TopicReaders {
				rows := q.both(ctx, span{n * spanBuckets, (n + 1) * spanBuckets, nil}, first, counts)
				select {
				case read[i] <- rows:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	for n := range spans {
		var rows spanRows
		select {
		case rows = <-read[n%TopicReaders]:
		case <-ctx.Done(): // the reader has stopped, and may have sent nothing
			rows.err = fmt.Errorf("query subscriptions: %w", ctx.Err())
		}
		if !rows.yield(yield) {
			return
		}
	}
	if first.next == nil { // otherwise the spans have told of its bad rows
		topicRows{bad: first.bad}.yield(yield)
	}
}

// spanRows are the rows of a span. They may be kept: nobody changes them.
type spanRows struct {
	rows []*topicRow
	bad  []error // one for each row that could not be decoded
	err  error
}

// yield yields the rows, then the errors. It returns false when the caller must stop.
func (r spanRows) yield(yield func(pubsub.Subscription, error) bool) bool {
	for _, row := range r.rows {
		if !yield(row.Subscription, nil) {
			return false
		}
	}
	return topicRows{bad: r.bad, err: r.err}.yield(yield)
}

// both returns the rows of the span, those in parts and those outside.
func (q topicQuery) both(ctx context.Context, p span, first topicRows, counts [pubsub.Buckets]int64) spanRows {
	outside := q.outside(ctx, p, first)
	if outside.err != nil {
		return outside
	}
	inside := q.inside(ctx, p, counts)
	if inside.err != nil {
		return inside
	}
	return spanRows{rows: merged(outside.rows, inside.rows), bad: append(outside.bad, inside.bad...)}
}

// outside returns the rows of the span that are not in parts: of the first page, if there is
// no other. allWithParts then tells of those that cannot be decoded.
func (q topicQuery) outside(ctx context.Context, p span, first topicRows) (all spanRows) {
	if first.next != nil {
		read := q.pages(ctx, p)
		all.add(read.rows, q.now)
		all.bad, all.err = read.bad, read.err
		return all
	}
	for i, row := range first.rows {
		if bucket := pubsub.Bucket(row.ConnectionID); p.from <= bucket && bucket < p.to {
			all.rows = append(all.rows, &first.rows[i])
		}
	}
	return all
}

// add adds the rows that have not expired by then.
func (r *spanRows) add(rows []topicRow, now time.Time) {
	for i := range rows {
		if rows[i].Expires.Unix() > now.Unix() {
			r.rows = append(r.rows, &rows[i])
		}
	}
}

// pages returns all rows of the span.
func (q topicQuery) pages(ctx context.Context, p span) (all topicRows) {
	for {
		page := q.read(ctx, p)
		all.rows, all.bad, all.err = append(all.rows, page.rows...), append(all.bad, page.bad...), page.err
		if p.after = page.next; page.err != nil || p.after == nil {
			return all
		}
	}
}

// inside returns the rows of the span that are in its part, which has those counts. Buckets
// that have changed since they were kept are read, and kept. So is one without a count, in which
// nothing was ever put, or whose head is lost, but not for long.
func (q topicQuery) inside(ctx context.Context, p span, counts [pubsub.Buckets]int64) (all spanRows) {
	part := q
	part.partition = partKey(q.topic, p.from/bucketsOfPart)
	part.now = q.now.Add(-keptExpired)
	for bucket := p.from; bucket < p.to; {
		if rows, ok := q.store.kept.get(q.topic, bucket, counts[bucket]); ok {
			all.add(rows, q.now)
			bucket++
			continue
		}
		to := bucket + 1
		for to < p.to && !q.store.kept.has(q.topic, to, counts[to]) {
			to++
		}
		read := part.pages(ctx, span{bucket, to, nil})
		if read.err != nil {
			return spanRows{err: read.err}
		}
		all.add(read.rows, q.now)
		all.bad = append(all.bad, read.bad...)
		if len(read.bad) == 0 { // a row that cannot be decoded is reported each time
			q.store.keep(q.topic, span{bucket, to, nil}, counts, read.rows)
		}
		bucket = to
	}
	return all
}

// merged returns both lists in the order of their keys. An operation that has a row in both,
// of which one was left behind, has the later.
func merged(a, b []*topicRow) []*topicRow {
	if len(a) == 0 {
		return b
	}
	all := make([]*topicRow, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch order := strings.Compare(a[0].key, b[0].key); {
		case order < 0:
			all, a = append(all, a[0]), a[1:]
		case order > 0:
			all, b = append(all, b[0]), b[1:]
		case a[0].At.After(b[0].At):
			b = b[1:]
		default:
			a = a[1:]
		}
	}
	return append(append(all, a...), b...)
}

// keep keeps the rows of the buckets, which are in their order.
func (s *Store) keep(topic string, p span, counts [pubsub.Buckets]int64, rows []topicRow) {
	for i := range rows { // many have the same, and each its own copy
		rows[i].OperationKey = unique.Make(rows[i].OperationKey).Value()
		rows[i].Filter = unique.Make(rows[i].Filter).Value()
	}
	for bucket := p.from; bucket < p.to; bucket++ {
		n := 0
		for n < len(rows) && pubsub.Bucket(rows[n].ConnectionID) == bucket {
			n++
		}
		// A copy, as a part of what was read would keep all of it in memory, even an empty one.
		s.kept.put(topic, bucket, counts[bucket], append(make([]topicRow, 0, n), rows[:n]...))
		rows = rows[n:]
	}
}

// keptRows are rows in parts as they were when their bucket had a count, up to a number of
// bytes. Topics that were used last stay. It is safe for concurrent use.
//
// A topic whose buckets are all empty is kept like any other, for as long as it is used:
// otherwise each event would read those buckets again, which takes more than its 16 heads.
// One that has ended is used no more, and goes when another needs its room.
type keptRows struct {
	most int

	mu     sync.Mutex // guards what follows
	bytes  int
	topics *simplelru.LRU[string, *keptTopic]
}

type keptTopic struct {
	bytes   int // topicBytes and those of its rows
	buckets [pubsub.Buckets]keptBucket
}

type keptBucket struct {
	count int64
	rows  []topicRow // nil if nothing is kept
	read  int64      // when they were, in Unix milliseconds
}

func newKeptRows(most int) *keptRows {
	k := &keptRows{most: most}
	topics, err := simplelru.NewLRU(math.MaxInt, func(_ string, t *keptTopic) { k.bytes -= t.bytes })
	if err != nil {
		panic(err) // only for a size below one
	}
	k.topics = topics
	return k
}

// bytesOf is how much memory the rows of a bucket take. Most have the filter of the one
// before, which is there once; see keep.
func bytesOf(rows []topicRow) (sum int) {
	for i, row := range rows {
		sum += rowBytes + len(row.key) + len(row.Viewer.ID) + len(row.Viewer.Claims)
		if isHashed(row.OperationID) { // otherwise it is part of the key
			sum += len(row.OperationID)
		}
		if i == 0 || row.Filter != rows[i-1].Filter {
			sum += len(row.Filter)
		}
		for _, topic := range row.Union {
			sum += stringBytes + len(topic)
		}
	}
	return sum
}

// get returns the bucket's rows, if they are kept as they are at that count. The caller does
// not change them.
func (k *keptRows) get(topic string, bucket int, count int64) (rows []topicRow, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.topics.Get(topic)
	if !ok || count == neverKept || t.buckets[bucket].count != count {
		return nil, false
	}
	b := t.buckets[bucket]
	if count == 0 && time.Since(time.UnixMilli(b.read)) > emptyFor {
		return nil, false
	}
	return b.rows, b.rows != nil
}

func (k *keptRows) has(topic string, bucket int, count int64) bool {
	_, ok := k.get(topic, bucket, count)
	return ok
}

// put keeps the bucket's rows, which are not nil, instead of what is kept of it, if there is
// room, or can be made by forgetting other topics. Rows of an earlier count do not replace later
// ones, but those without a count do: a count that is lost must not cost a read for ever.
func (k *keptRows) put(topic string, bucket int, count int64, rows []topicRow) {
	if count == neverKept {
		return
	}
	bytes := bytesOf(rows)
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.topics.Get(topic)
	if !ok {
		if topicBytes+bytes > k.most {
			return
		}
		t = &keptTopic{bytes: topicBytes}
		k.topics.Add(topic, t)
		k.bytes += topicBytes
	}
	b := &t.buckets[bucket]
	if b.rows != nil && 0 < count && count <= b.count {
		return
	}
	k.grow(t, -bytesOf(b.rows))
	*b = keptBucket{}
	if t.bytes+bytes > k.most {
		return
	}
	for k.bytes+bytes > k.most { // ends before this one, which was just used
		k.topics.RemoveOldest()
	}
	k.grow(t, bytes)
	*b = keptBucket{count, rows, time.Now().UnixMilli()}
}

// grow counts bytes more of the topic. The caller has the mutex.
func (k *keptRows) grow(t *keptTopic, bytes int) {
	t.bytes, k.bytes = t.bytes+bytes, k.bytes+bytes
}
