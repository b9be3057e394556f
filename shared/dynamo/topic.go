package dynamo

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/shared/pubsub"
	"subwire/shared/table"
)

const (
	// TopicPage is how many rows of a topic one Query reads. Most topics are smaller,
	// and a page comes soon.
	TopicPage = 1000

	// TopicReaders is how many spans of a hot topic are read at once. Each holds at
	// most two pages: one that was read, and one that is being read.
	TopicReaders = 4

	// presencePage is how many rows of a topic of presence one Query reads: those of
	// MaxPresent, and who has left. Whoever counts them seldom needs more.
	presencePage = 2 * pubsub.MaxPresent
)

// Subscriptions implements pubsub.Store. A topic of one page is one Query. What follows
// the first page of a larger one is read in spans, side by side. The caller gets their
// pages in turn, so the order depends only on the rows.
func (s *Store) Subscriptions(ctx context.Context, topic string, now time.Time) iter.Seq2[pubsub.Subscription, error] {
	return s.MarkedSubscriptions(ctx, topic, now, func(pubsub.Mark) {})
}

// all yields the topic's subscriptions. Its marks are few, and come first, so the first
// page has them all.
func (q topicQuery) all(ctx context.Context) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		if pubsub.IsPresence(q.topic) {
			q.one(ctx, yield)
			return
		}
		first := q.read(ctx, span{0, pubsub.Buckets, nil})
		var parts time.Time // until when the topic has them
		for _, m := range first.marks {
			if q.marked(m); m.Name == PartsMark {
				parts = m.Expires
			}
		}
		yield = q.noting(ctx, parts, yield)
		if first.err == nil && !parts.IsZero() {
			q.allWithParts(ctx, first, yield)
			return
		}
		if !first.yield(yield) || first.next == nil {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		var reading sync.WaitGroup
		defer reading.Wait()
		defer cancel()
		readers, err := q.split(first.next)
		if err != nil {
			yield(pubsub.Subscription{}, err)
			return
		}
		pages := make([]chan topicRows, len(readers))
		for i, p := range readers {
			pages[i] = make(chan topicRows)
			reading.Go(func() { q.readAll(ctx, p, pages[i]) })
		}
		for open := len(pages); open > 0; {
			for i, c := range pages {
				if c == nil {
					continue
				}
				var rows topicRows
				select {
				case rows = <-c:
				case <-ctx.Done(): // the reader has stopped, and may have sent nothing
					rows.err = fmt.Errorf("query subscriptions: %w", ctx.Err())
				}
				if !rows.yield(yield) {
					return
				}
				if rows.next == nil {
					pages[i], open = nil, open-1
				}
			}
		}
	}
}

// noting is yield that also notes when there are so many subscriptions that the topic is
// large. Rows that have expired do not count, though DynamoDB may keep them for days and
// pages of them are read. It does not wait for the end: who reads the topic may never get there.
func (q topicQuery) noting(ctx context.Context, parts time.Time,
	yield func(pubsub.Subscription, error) bool) func(pubsub.Subscription, error) bool {
	count := 0
	return func(sub pubsub.Subscription, err error) bool {
		if err == nil {
			if count++; count == TopicPage {
				q.store.noteRead(ctx, q.topic, parts)
			}
		}
		return yield(sub, err)
	}
}

// one yields the rows page by page, one after the other.
func (q topicQuery) one(ctx context.Context, yield func(pubsub.Subscription, error) bool) {
	for p := (span{0, pubsub.Buckets, nil}); ; {
		rows := q.read(ctx, p)
		if p.after = rows.next; !rows.yield(yield) || p.after == nil {
			return
		}
	}
}

// topicQuery reads the rows of one topic that have not expired.
type topicQuery struct {
	store     *Store
	topic     string
	partition string // where the rows are: the topic, or the key of a part
	now       time.Time
	marked    func(pubsub.Mark) // called with each of the topic's marks
}

// span is a range of buckets, after a key if there is one.
type span struct {
	from, to int
	after    attributes
}

// topicRows is a page of rows; next is the key to go on after, if any.
type topicRows struct {
	marks []pubsub.Mark
	rows  []topicRow
	bad   []error // one for each row that could not be decoded
	next  attributes
	err   error
}

// topicRow is a subscription with its sort key.
type topicRow struct {
	key string
	pubsub.Subscription
}

// yield yields the rows, then the errors. It returns false when the caller must stop.
func (r topicRows) yield(yield func(pubsub.Subscription, error) bool) bool {
	for _, row := range r.rows {
		if !yield(row.Subscription, nil) {
			return false
		}
	}
	for _, err := range r.bad {
		if !yield(pubsub.Subscription{}, err) {
			return false
		}
	}
	if r.err != nil {
		yield(pubsub.Subscription{}, r.err)
	}
	return r.err == nil
}

// split divides what comes after the key into spans.
func (q topicQuery) split(after attributes) ([]span, error) {
	var row subscriptionItem
	if err := attributevalue.UnmarshalMap(after, &row); err != nil {
		return nil, fmt.Errorf("decode last key: %w", err)
	}
	begin := uint64(0)
	if !strings.HasPrefix(row.Subscriber, markPrefix) {
		var err error
		if begin, err = strconv.ParseUint(row.Subscriber[:min(2, len(row.Subscriber))], 16, 8); err != nil {
			return nil, fmt.Errorf("decode last key: %w", err)
		}
	}
	left := pubsub.Buckets - int(begin)
	n := min(left, TopicReaders)
	spans := make([]span, n)
	for i := range spans {
		spans[i].from, spans[i].to = int(begin)+left*i/n, int(begin)+left*(i+1)/n
	}
	spans[0].after = after
	return spans, nil
}

// readAll sends the span page by page, until the last, an error, or until ctx ends.
func (q topicQuery) readAll(ctx context.Context, p span, to chan<- topicRows) {
	for {
		rows := q.read(ctx, p)
		select {
		case to <- rows:
		case <-ctx.Done():
			return
		}
		if p.after = rows.next; p.after == nil {
			return
		}
	}
}

// read reads one page. DynamoDB may keep an expired row for days, so the query leaves
// those out; a page may thus be empty without being the last.
func (q topicQuery) read(ctx context.Context, p span) (r topicRows) {
	limit := q.store.page
	switch {
	case limit != nil:
	case pubsub.IsPresence(q.topic):
		limit = aws.Int32(presencePage)
	default:
		limit = aws.Int32(TopicPage)
	}
	from := fmt.Sprintf("%02x", p.from)
	if p.from == 0 && q.partition == q.topic {
		from = markPrefix
	}
	out, err := call(ctx, q.store.client.Query, &dynamodb.QueryInput{
		TableName: &q.store.tables.Subscriptions, ConsistentRead: aws.Bool(true), Limit: limit, ExclusiveStartKey: p.after,
		KeyConditionExpression:   aws.String("topic = :topic AND subscriber BETWEEN :from AND :to"),
		FilterExpression:         aws.String("#ttl > :now"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":topic": text(q.partition), ":now": number(q.now.Unix()),
			":from": text(from), ":to": text(fmt.Sprintf("%02x$", p.to-1))}, // '$' comes after '#'
	})
	if err != nil {
		return topicRows{err: fmt.Errorf("query subscriptions: %w", err)}
	}
	r.next = out.LastEvaluatedKey
	if len(r.next) == 0 {
		r.next = nil
	}
	r.rows = make([]topicRow, 0, len(out.Items))
	for _, item := range out.Items {
		if mark, ok := decodeMark(item); ok {
			r.marks = append(r.marks, mark)
			continue
		}
		row, err := decodeRow(item)
		if err != nil { // of this row: it must not fail the event for the others
			r.bad = append(r.bad, err)
			continue
		}
		row.Topic = q.topic // not the key of a part
		r.rows = append(r.rows, row)
	}
	return r
}

// decodeSubscription turns a row into the subscription that was put. Its error is a
// pubsub.ErrUndecodableRow.
func decodeSubscription(item attributes) (pubsub.Subscription, error) {
	row, err := decodeRow(item)
	return row.Subscription, err
}

// decodeRow also keeps the sort key.
func decodeRow(item attributes) (topicRow, error) {
	var row subscriptionItem
	if err := attributevalue.UnmarshalMap(item, &row); err != nil {
		return topicRow{}, fmt.Errorf("%w: %w", pubsub.ErrUndecodableRow, err)
	}
	connectionID, operationID, err := splitSubscriber(row.Subscriber)
	if err != nil {
		return topicRow{}, fmt.Errorf("%w: %w", pubsub.ErrUndecodableRow, err)
	}
	if row.OperationID != "" {
		operationID = row.OperationID
	}
	s := pubsub.Subscription{ConnectionID: connectionID, OperationID: operationID, Topic: row.Topic, Union: row.Union,
		OperationKey: row.OperationKey, Filter: row.Filter, Who: row.Who, Expires: time.Unix(row.TTL, 0),
		Viewer: pubsub.Viewer{ID: row.Viewer, Claims: row.Claims}}
	if row.At != 0 {
		s.At = time.UnixMilli(row.At)
	}
	if row.LeftAt != 0 {
		s.Left = time.UnixMilli(row.LeftAt)
	}
	return topicRow{row.Subscriber, s}, nil
}

// PresenceChange decodes a change of a row of presence, as the table's stream has it. ok
// is false for a change of any other row. Its error is a pubsub.ErrUndecodableRow.
func PresenceChange(change events.DynamoDBStreamRecord) (c pubsub.PresenceChange, ok bool, err error) {
	topic, subscriber := change.Keys["topic"], change.Keys["subscriber"]
	if topic.DataType() != events.DataTypeString || subscriber.DataType() != events.DataTypeString ||
		!pubsub.IsPresence(topic.String()) {
		return c, false, nil
	}
	decode := func(image map[string]events.DynamoDBAttributeValue) (*pubsub.Subscription, error) {
		if len(image) == 0 {
			return nil, nil
		}
		row, err := table.FromImage(image)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", pubsub.ErrUndecodableRow, err)
		}
		s, err := decodeSubscription(row)
		return &s, err
	}
	if c.Before, err = decode(change.OldImage); err == nil {
		c.Now, err = decode(change.NewImage)
	}
	return c, true, err
}
