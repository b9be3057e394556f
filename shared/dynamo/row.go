package dynamo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"subwire/shared/node"
	"subwire/shared/pubsub"
)

// subscriptionItem is a subscription's row under its topic.
type subscriptionItem struct {
	Topic        string `dynamodbav:"topic"`
	Subscriber   string `dynamodbav:"subscriber"`            // see keys.go
	OperationID  string `dynamodbav:"operationId,omitempty"` // when the sort key holds its hash
	OperationKey string `dynamodbav:"operationKey"`
	Viewer       string `dynamodbav:"viewer,omitempty"` // its id
	Claims       string `dynamodbav:"claims,omitempty"` // its claims, JSON
	Filter       string `dynamodbav:"filter,omitempty"`
	At           int64  `dynamodbav:"at,omitempty"`     // Unix milliseconds; none in an older release's rows
	By           string `dynamodbav:"by,omitempty"`     // identity of the operation's entry; none there either
	Who          string `dynamodbav:"who,omitempty"`    // of presence
	LeftAt       int64  `dynamodbav:"leftAt,omitempty"` // Unix milliseconds; of presence, when it has left
	TTL          int64  `dynamodbav:"ttl"`

	Union []string `dynamodbav:"union,omitempty"` // see pubsub.Subscription
}

// rowKey is the key of an operation's row in a partition: that of its topic, or a part's.
func rowKey(partition, connectionID, operationID string) attributes {
	return attributes{"topic": text(partition), "subscriber": text(subscriber(connectionID, operationID))}
}

// putRow puts the subscription's row under sub.Topic, where the entry says. Another
// operation's row stays, unless it is the given foreign one.
func (s *Store) putRow(ctx context.Context, sub pubsub.Subscription, running runningItem, foreign attributes) error {
	row := subscriptionItem{
		Topic:      running.partition(sub.Topic, sub.ConnectionID),
		Subscriber: subscriber(sub.ConnectionID, sub.OperationID), OperationKey: sub.OperationKey,
		Filter: sub.Filter, Viewer: sub.Viewer.ID, Claims: sub.Viewer.Claims,
		At: running.At, By: running.identity(), Who: sub.Who, TTL: sub.Expires.Unix(), Union: sub.Union,
	}
	if isHashed(sub.OperationID) {
		row.OperationID = sub.OperationID
	}
	item, err := attributevalue.MarshalMap(row)
	if err != nil {
		return fmt.Errorf("encode subscription: %w", err)
	}
	in := &dynamodb.PutItemInput{
		TableName: &s.tables.Subscriptions, Item: item,
		ConditionExpression:                 aws.String("attribute_not_exists(topic) OR #by = :by"),
		ExpressionAttributeNames:            map[string]string{"#by": "by"},
		ExpressionAttributeValues:           attributes{":by": text(row.By)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if by := foreign["by"]; by != nil {
		*in.ConditionExpression += " OR #by = :foreign"
		in.ExpressionAttributeValues[":foreign"] = by
	} else if foreign != nil {
		*in.ConditionExpression += " OR attribute_not_exists(#by)"
	}
	if _, err = call(ctx, s.client.PutItem, in); err != nil || !running.isInPart(sub.Topic) {
		return err
	}
	return s.changed(ctx, row.Topic, sub.ConnectionID)
}

// deleteRows deletes the rows of an operation, and no other's. With untold it also
// deletes rows that do not say whose they are.
func (s *Store) deleteRows(ctx context.Context, connectionID, operationID string,
	running runningItem, untold bool) error {
	if pubsub.IsPresence(running.Topic) {
		return s.leave(ctx, rowKey(running.Topic, connectionID, operationID), "by", "=", text(running.identity()))
	}
	condition := "attribute_not_exists(topic) OR #by = :by"
	if untold {
		condition += " OR attribute_not_exists(#by)"
	}
	for _, topic := range running.topics() {
		partition := running.partition(topic, connectionID)
		_, err := call(ctx, s.client.DeleteItem, &dynamodb.DeleteItemInput{
			TableName: &s.tables.Subscriptions, Key: rowKey(partition, connectionID, operationID),
			ConditionExpression:       &condition,
			ExpressionAttributeNames:  map[string]string{"#by": "by"},
			ExpressionAttributeValues: attributes{":by": text(running.identity())},
		})
		if _, foreign := failedCondition(err); err != nil && !foreign {
			return fmt.Errorf("delete row of subscription: %w", err)
		}
		if running.isInPart(topic) {
			if err := s.changed(ctx, partition, connectionID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Listen implements pubsub.Store. The row has the form of a subscription's, so an older
// release reads it, too.
func (s *Store) Listen(ctx context.Context, sub pubsub.Subscription) error {
	item, err := attributevalue.MarshalMap(subscriptionItem{
		Topic: sub.Topic, Subscriber: subscriber(sub.ConnectionID, sub.OperationID),
		OperationKey: sub.OperationKey, At: sub.At.UnixMilli(), TTL: sub.Expires.Unix()})
	if err != nil {
		return fmt.Errorf("encode row of node: %w", err)
	}
	_, err = call(ctx, s.client.PutItem, &dynamodb.PutItemInput{TableName: &s.tables.Subscriptions, Item: item})
	if err != nil {
		return fmt.Errorf("put row of node: %w", err)
	}
	return nil
}

// Unlist implements pubsub.Store. No entry says where the row is, so it may look in both
// places. If it misses the row of a topic that has just become large, the next event's 410
// comes back here.
func (s *Store) Unlist(ctx context.Context, sub pubsub.Subscription) error {
	if pubsub.IsPresence(sub.Topic) {
		return s.leave(ctx, rowKey(sub.Topic, sub.ConnectionID, sub.OperationID), "at", "<=", number(sub.At.UnixMilli()))
	}
	if err := s.unlist(ctx, sub.Topic, sub); err != nil {
		return err
	}
	now := time.Now()
	if node.IsNode(sub.ConnectionID) || !s.partsUntil(ctx, sub.Topic, now).After(now) {
		return nil
	}
	partition := partOf(sub.Topic, sub.ConnectionID)
	if err := s.unlist(ctx, partition, sub); err != nil {
		return err
	}
	return s.changed(ctx, partition, sub.ConnectionID)
}

// unlist deletes the row of s in the partition, unless it is a later operation's.
func (s *Store) unlist(ctx context.Context, partition string, sub pubsub.Subscription) error {
	_, err := call(ctx, s.client.DeleteItem, &dynamodb.DeleteItemInput{
		TableName: &s.tables.Subscriptions, Key: rowKey(partition, sub.ConnectionID, sub.OperationID),
		ConditionExpression:       aws.String("attribute_not_exists(#at) OR #at <= :at"),
		ExpressionAttributeNames:  map[string]string{"#at": "at"},
		ExpressionAttributeValues: attributes{":at": number(sub.At.UnixMilli())},
	})
	if _, later := failedCondition(err); err != nil && !later {
		return fmt.Errorf("delete row of subscription: %w", err)
	}
	return nil
}

// leave marks a row of presence as left, if its attribute compares to the value. A row
// that is missing, or marked already, stays as it is. It is an update, not a put: only
// the row knows who is present by it.
func (s *Store) leave(ctx context.Context, key attributes, attribute, compares string,
	value types.AttributeValue) error {
	now := time.Now()
	_, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Subscriptions, Key: key,
		UpdateExpression:         aws.String("SET leftAt = :left, #ttl = :ttl"),
		ConditionExpression:      aws.String("attribute_not_exists(leftAt) AND #only " + compares + " :only"),
		ExpressionAttributeNames: map[string]string{"#only": attribute, "#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":only": value, ":left": number(now.UnixMilli()),
			":ttl": number(now.Add(pubsub.LeftTTL).Unix())},
	})
	if _, other := failedCondition(err); err != nil && !other {
		return fmt.Errorf("mark row of subscription as left: %w", err)
	}
	return nil
}

// DeleteLeft implements pubsub.Store.
func (s *Store) DeleteLeft(ctx context.Context, sub pubsub.Subscription) error {
	_, err := call(ctx, s.client.DeleteItem, &dynamodb.DeleteItemInput{
		TableName: &s.tables.Subscriptions, Key: rowKey(sub.Topic, sub.ConnectionID, sub.OperationID),
		ConditionExpression:       aws.String("leftAt = :left"),
		ExpressionAttributeValues: attributes{":left": number(sub.Left.UnixMilli())},
	})
	if _, back := failedCondition(err); err != nil && !back {
		return fmt.Errorf("delete row that has left: %w", err)
	}
	return nil
}

const (
	// batchRows is the limit of one BatchWriteItem.
	batchRows = 25

	// changesAtOnce is how many heads of parts are written side by side, each by a request of
	// its own: who ends a connection has two seconds.
	changesAtOnce = 16
)

// deleteAllRows deletes the topic rows of a marked connection's operations. No operation
// can take their ids any more.
func (s *Store) deleteAllRows(ctx context.Context, connectionID string, operations map[string]runningItem) error {
	var rows []types.WriteRequest
	parts := map[string]bool{} // that have rows of the connection
	for id, running := range operations {
		if pubsub.IsPresence(running.Topic) {
			if err := s.deleteRows(ctx, connectionID, id, running, false); err != nil {
				return err
			}
			continue
		}
		for _, topic := range running.topics() {
			partition := running.partition(topic, connectionID)
			rows = append(rows, types.WriteRequest{DeleteRequest: &types.DeleteRequest{
				Key: rowKey(partition, connectionID, id)}})
			if running.isInPart(topic) {
				parts[partition] = true
			}
		}
	}
	// A missing row is not an error, so a repeated call may start again.
	for batch := range slices.Chunk(rows, batchRows) {
		left := map[string][]types.WriteRequest{s.tables.Subscriptions: batch}
		err := retry(ctx, func(ctx context.Context) error {
			out, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: left})
			if err != nil {
				return err
			}
			if left = out.UnprocessedItems; len(left) > 0 {
				return errUnprocessed
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("delete subscriptions: %w", err)
		}
	}
	changing, ctx := errgroup.WithContext(ctx) // a client may have rows in a thousand parts
	changing.SetLimit(changesAtOnce)
	for partition := range parts {
		changing.Go(func() error { return s.changed(ctx, partition, connectionID) })
	}
	return changing.Wait()
}
