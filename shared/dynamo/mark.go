package dynamo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// markPrefix begins the sort key of a mark, which is a row with a ttl and nothing else. It
// comes before all buckets, so the first page of a topic has its marks. The previous
// release asks for the rows of buckets only, and so passes over them.
const markPrefix = "!"

// errMarkOfPresence refuses a mark that the table's stream would show to the previous
// release as a change of who is present.
var errMarkOfPresence = errors.New("a topic of presence has no marks")

// PutMark implements pubsub.MarkStore.
func (s *Store) PutMark(ctx context.Context, topic string, m pubsub.Mark) error {
	if pubsub.IsPresence(topic) {
		return fmt.Errorf("put mark of topic: %w", errMarkOfPresence)
	}
	ttl := number(m.Expires.Unix())
	_, err := call(ctx, s.client.PutItem, &dynamodb.PutItemInput{
		TableName:                 &s.tables.Subscriptions,
		Item:                      attributes{"topic": text(topic), "subscriber": text(markPrefix + m.Name), "ttl": ttl},
		ConditionExpression:       aws.String("attribute_not_exists(#ttl) OR #ttl < :ttl"),
		ExpressionAttributeNames:  map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":ttl": ttl},
	})
	if _, lasts := failedCondition(err); err != nil && !lasts {
		return fmt.Errorf("put mark of topic: %w", err)
	}
	return nil
}

// MarkedSubscriptions implements pubsub.MarkStore.
func (s *Store) MarkedSubscriptions(ctx context.Context, topic string, now time.Time,
	marked func(pubsub.Mark)) iter.Seq2[pubsub.Subscription, error] {
	return topicQuery{store: s, topic: topic, partition: topic, now: now, marked: marked}.all(ctx)
}

// decodeMark returns the mark that the row is, if it is one. The filter of the read makes
// sure of its ttl.
func decodeMark(item attributes) (m pubsub.Mark, ok bool) {
	key, _ := item["subscriber"].(*types.AttributeValueMemberS)
	seconds, ok := numberOf(item, "ttl")
	if key == nil || !ok || !strings.HasPrefix(key.Value, markPrefix) {
		return m, false
	}
	return pubsub.Mark{Name: key.Value[len(markPrefix):], Expires: time.Unix(seconds, 0)}, true
}
