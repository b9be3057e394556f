package dynamo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// A partition key takes 3,000 read and 1,000 write units a second ("Best practices for
// designing and using partition keys effectively"). So the rows of a large topic are spread
// over parts, by their buckets, and each part has a head that says which buckets have
// changed, so that a reader reads only those again.
//
// A topic has parts while it has a mark that says so. A row is put into its part only if
// the mark lasts as long as the row; so whoever reads the topic, and with it the mark, knows
// of all its parts. Marks never end earlier than they said. Without a mark, or with one that
// ends too soon, a row is put where it would be in a small topic. That is always right, and
// only costs more, so a writer need not know the newest mark. Rows never move: a topic that
// grows has rows in both places until the old ones have expired, and so has one that shrinks.
//
// What changes a row in a part then changes the bucket's count in the part's head, and only
// then returns. A reader reads the heads before the rows. So it has every row whose
// subscriber was told so before, as without parts. Who dies between the two has told nobody.
const (
	// topicParts is how many parts a topic has: for a thousand subscribes a second, each of
	// which writes two units, and ten thousand reads of heads.
	topicParts    = 16
	bucketsOfPart = pubsub.Buckets / topicParts

	// PartsMark is the name of the mark of a topic that has that many parts.
	PartsMark = "parts16"

	// partsFor is how long a mark lasts. A reader that finds a large topic renews it when
	// less than renewPartsAt is left: so it outlasts each new subscription.
	partsFor     = 3 * topology.ConnectionTTL
	renewPartsAt = 2 * topology.ConnectionTTL

	// headKey is the sort key of a part's head.
	headKey = markPrefix + "head"

	// headFor is how long a head stays after the latest change: longer than any row.
	headFor = 2 * topology.HostTTL

	// lookAgain is how old a look for a mark may be that found none.
	lookAgain = 2 * time.Second

	// A process that puts manyRows rows of a topic within manyTime takes it for a large one.
	// When a thousand come a second, some hundred processes put ten each, and the first of
	// them knows within twenty seconds; so at a third of that it still does, within a minute.
	// Fewer rows would give parts to small topics, which then cost more for hours: the heads
	// alone cost an event what 450 rows do. A large topic that grows slowly waits for a reader.
	manyRows = 200
	manyTime = time.Minute

	// markAgain is how long a reader waits after it has tried to mark a topic.
	markAgain = 10 * time.Second

	// knownLayouts is how many topics' layouts a process remembers, at some 200 bytes each.
	knownLayouts = 10_000
)

// layout is what a process knows of where a topic's rows are.
type layout struct {
	until  time.Time // until when it has parts at least
	looked time.Time // when the process last looked for the mark, or a reader tried to put it
	rows   int       // that the process has put outside of parts since the time below
	since  time.Time
}

// partOf is the partition key of the part that the connection's rows of the topic are in.
func partOf(topic, connectionID string) string {
	return partKey(topic, pubsub.Bucket(connectionID)/bucketsOfPart)
}

func partKey(topic string, part int) string {
	return pubsub.PartPrefix + strconv.FormatInt(int64(part), topicParts) + "/" + topic
}

// TopicOf is the topic whose row has that partition key.
func TopicOf(partition string) string {
	rest, isPart := strings.CutPrefix(partition, pubsub.PartPrefix)
	if _, topic, ok := strings.Cut(rest, "/"); isPart && ok {
		return topic
	}
	return partition
}

// isInPart reports whether the operation's row of the topic is in a part.
func (r runningItem) isInPart(topic string) bool {
	i := slices.Index(r.topics(), topic)
	return i >= 0 && r.Parts>>i&1 == 1
}

// partition is the partition key of the operation's row of the topic.
func (r runningItem) partition(topic, connectionID string) string {
	if r.isInPart(topic) {
		return partOf(topic, connectionID)
	}
	return topic
}

// inParts says for each topic of the subscription whether its row is to be in a part, in the
// form of runningItem.Parts.
func (s *Store) inParts(ctx context.Context, sub pubsub.Subscription) (parts int) {
	if !s.LargeTopics {
		return 0
	}
	for i, topic := range sub.Topics() {
		if !pubsub.IsPresence(topic) && !s.partsUntil(ctx, topic, sub.Expires).Before(sub.Expires) {
			parts |= 1 << i
		}
	}
	return parts
}

// partsUntil is until when the topic has parts at least. It looks for the mark if what it knows
// ends before enough. The zero time may also mean that the mark has only just been put, or
// cannot be read.
func (s *Store) partsUntil(ctx context.Context, topic string, enough time.Time) time.Time {
	known, _ := s.layouts.Get(topic)
	if !known.until.Before(enough) || time.Since(known.looked) < lookAgain {
		return known.until
	}
	var out *dynamodb.GetItemOutput
	// One attempt only: another would hold up the caller for an optimisation.
	_, err := attempt(ctx, func(ctx context.Context) (err error) {
		out, err = s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.tables.Subscriptions,
			Key: attributes{"topic": text(topic), "subscriber": text(markPrefix + PartsMark)}})
		return err
	})
	if err == nil {
		if m, ok := decodeMark(out.Item); ok && m.Expires.After(known.until) {
			known.until = m.Expires
		}
	}
	known.looked = time.Now()
	s.layouts.Add(topic, known)
	return known.until
}

// noteListed notes that the rows of a subscription were put, and marks a topic of which many
// were put outside of parts.
func (s *Store) noteListed(ctx context.Context, sub pubsub.Subscription, running runningItem) {
	if !s.LargeTopics {
		return
	}
	for _, topic := range sub.Topics() {
		if pubsub.IsPresence(topic) || running.isInPart(topic) {
			continue
		}
		known, _ := s.layouts.Get(topic)
		if now := time.Now(); now.Sub(known.since) > manyTime {
			known.rows, known.since = 0, now
		}
		known.rows++
		s.layouts.Add(topic, known)
		if known.rows == manyRows {
			s.markLarge(ctx, topic)
		}
	}
}

// markLarge gives the topic parts for a time, if it can. If not, a later reader tries again, or
// a process that puts as many rows.
func (s *Store) markLarge(ctx context.Context, topic string) {
	until := time.Now().Add(partsFor).Truncate(time.Second)
	_, err := attempt(ctx, func(ctx context.Context) error {
		return s.PutMark(ctx, topic, pubsub.Mark{Name: PartsMark, Expires: until})
	})
	if err != nil {
		return
	}
	known, _ := s.layouts.Get(topic)
	known.until = until
	s.layouts.Add(topic, known)
}

// noteRead marks a topic of which a reader has found TopicPage subscriptions. until is when the
// mark that the reader has seen ends, the zero time if there is none: a young mark is not renewed.
// Nor is the mark of a topic that has become small, so it ends. A topic that cannot be marked is
// tried again only after a while, as events wait for it.
func (s *Store) noteRead(ctx context.Context, topic string, until time.Time) {
	if now := time.Now(); s.LargeTopics && until.Before(now.Add(renewPartsAt)) {
		known, _ := s.layouts.Get(topic)
		if known.until.Before(now.Add(renewPartsAt)) && now.Sub(known.looked) > markAgain {
			known.looked = now
			s.layouts.Add(topic, known)
			s.markLarge(ctx, topic)
		}
	}
}

// changed says in the part's head that the connection's bucket has changed. A count begins
// at the time, so one that begins anew is none that was before.
func (s *Store) changed(ctx context.Context, partition, connectionID string) error {
	now := time.Now()
	_, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Subscriptions, Key: headOf(partition),
		UpdateExpression: aws.String("SET #count = if_not_exists(#count, :begin) + :one, #ttl = :ttl"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl",
			"#count": countName(pubsub.Bucket(connectionID))},
		ExpressionAttributeValues: attributes{":begin": number(now.UnixMilli()), ":one": number(1),
			":ttl": number(now.Add(headFor).Unix())},
	})
	if err != nil {
		return fmt.Errorf("note change in part of topic: %w", err)
	}
	return nil
}

func headOf(partition string) attributes {
	return attributes{"topic": text(partition), "subscriber": text(headKey)}
}

// countName is the name of a bucket's count in its part's head.
func countName(bucket int) string { return fmt.Sprintf("b%02x", bucket) }

// heads reads the counts of all buckets of the topic; 0 for one that never had a row.
func (s *Store) heads(ctx context.Context, topic string) (counts [pubsub.Buckets]int64, err error) {
	keys := make([]attributes, topicParts)
	for i := range keys {
		keys[i] = headOf(partKey(topic, i))
	}
	left := map[string]types.KeysAndAttributes{
		s.tables.Subscriptions: {Keys: keys, ConsistentRead: aws.Bool(true)},
	}
	err = retry(ctx, func(ctx context.Context) error {
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: left})
		if err != nil {
			return err
		}
		for _, head := range out.Responses[s.tables.Subscriptions] {
			decodeHead(head, &counts)
		}
		if left = out.UnprocessedKeys; len(left) > 0 {
			return errUnprocessed
		}
		return nil
	})
	if err != nil {
		return counts, fmt.Errorf("read heads of topic: %w", err)
	}
	return counts, nil
}

// neverKept is the count of a bucket whose count cannot be read: its rows are read each time.
const neverKept = -1

// decodeHead takes over the counts of a head, which are all that it has by such names.
func decodeHead(head attributes, counts *[pubsub.Buckets]int64) {
	for name := range head {
		bucket, err := strconv.ParseUint(strings.TrimPrefix(name, "b"), 16, 8)
		if err != nil || name != countName(int(bucket)) {
			continue
		}
		counts[bucket] = neverKept
		if count, ok := numberOf(head, name); ok && count > 0 {
			counts[bucket] = count
		}
	}
}
