package dynamo

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// subscriptionItem is a subscription's row under its topic.
type subscriptionItem struct {
	Topic        string `dynamodbav:"topic"`
	Subscriber   string `dynamodbav:"subscriber"`            // see keys.go
	OperationID  string `dynamodbav:"operationId,omitempty"` // when its hash stands in the sort key
	OperationKey string `dynamodbav:"operationKey"`
	Viewer       string `dynamodbav:"viewer,omitempty"` // its id
	Claims       string `dynamodbav:"claims,omitempty"` // its claims, JSON
	At           int64  `dynamodbav:"at,omitempty"`     // Unix milliseconds; rows of older releases have none
	TTL          int64  `dynamodbav:"ttl"`
}

// What a connection remembers of completes that found nothing. When there are
// many, those make way that no overtaken subscribe can be behind any more; when
// they are large, the oldest half does, since an item has 400 KB at most.
const (
	manyCompleted     = 100
	overtakeTime      = time.Minute // beyond the message function's time-out
	maxCompletedBytes = 64 << 10
)

// batchRows is how many rows one BatchWriteItem takes.
const batchRows = 25

// PutSubscription implements pubsub.Store. The operation is written first and
// outside of the transaction, for its many subscribers would only stand in
// each other's way; without a subscription it is garbage that expires.
func (s *Store) PutSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation, at time.Time, max int) error {
	begin, err := s.begin(sub, at, max)
	if err != nil {
		return err
	}
	items := []types.TransactWriteItem{begin}
	if sub.Topic != "" {
		if err := s.putOperation(ctx, sub, op); err != nil {
			return err
		}
		row, err := s.list(sub, at)
		if err != nil {
			return err
		}
		items = append(items, row)
	}
	if err := s.transact(ctx, items); err != nil {
		return explain("put subscription", err, func(item connectionItem) error {
			_, running := item.Operations[sub.OperationID]
			switch {
			case !item.Acknowledged:
				return pubsub.ErrNotAcknowledged
			case running:
				return pubsub.ErrSubscriberExists
			case item.completed(sub.OperationID, at):
				return pubsub.ErrCompleted
			default:
				return pubsub.ErrTooManyOperations
			}
		})
	}
	return nil
}

// begin is the update that takes the operation id. Ids come from the client:
// they are names of attributes, never text of an expression.
func (s *Store) begin(sub pubsub.Subscription, at time.Time, max int) (types.TransactWriteItem, error) {
	running, err := attributevalue.MarshalMap(runningItem{Topic: sub.Topic, At: at.UnixMilli()})
	if err != nil {
		return types.TransactWriteItem{}, fmt.Errorf("encode operation: %w", err)
	}
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &s.tables.Connections, Key: connectionKey(sub.ConnectionID),
		UpdateExpression: aws.String("SET operations.#id = :running REMOVE completed.#id"),
		ConditionExpression: aws.String(alive + " AND acknowledged = :yes" +
			" AND attribute_not_exists(operations.#id) AND size(operations) < :max" +
			" AND (attribute_not_exists(completed.#id) OR completed.#id < :at)"),
		ExpressionAttributeNames: map[string]string{"#id": sub.OperationID, "#ttl": "ttl"},
		ExpressionAttributeValues: attributes{
			":running": &types.AttributeValueMemberM{Value: running}, ":yes": boolean(true),
			":max": number(int64(max)), ":at": number(at.UnixMilli()), ":now": number(time.Now().Unix()),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}, nil
}

// ActivateSubscription implements pubsub.Store.
func (s *Store) ActivateSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation, at time.Time) error {
	if err := s.putOperation(ctx, sub, op); err != nil {
		return err
	}
	row, err := s.list(sub, at)
	if err != nil {
		return err
	}
	give := types.TransactWriteItem{Update: &types.Update{
		TableName: &s.tables.Connections, Key: connectionKey(sub.ConnectionID),
		UpdateExpression:         aws.String("SET operations.#id.#topic = :topic"),
		ConditionExpression:      aws.String(alive + " AND operations.#id.#at = :at"),
		ExpressionAttributeNames: map[string]string{"#id": sub.OperationID, "#topic": "topic", "#at": "at", "#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":topic": text(sub.Topic), ":at": number(at.UnixMilli()),
			":now": number(time.Now().Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
	if err := s.transact(ctx, []types.TransactWriteItem{give, row}); err != nil {
		return explain("activate subscription", err, func(connectionItem) error { return pubsub.ErrCompleted })
	}
	return nil
}

// list is the put of the subscription's row under its topic.
func (s *Store) list(sub pubsub.Subscription, at time.Time) (types.TransactWriteItem, error) {
	row := subscriptionItem{
		Topic: sub.Topic, Subscriber: subscriber(sub.ConnectionID, sub.OperationID),
		OperationKey: sub.OperationKey, Viewer: sub.Viewer.ID, Claims: sub.Viewer.Claims, At: at.UnixMilli(), TTL: sub.Expires.Unix(),
	}
	if isHashed(sub.OperationID) {
		row.OperationID = sub.OperationID
	}
	item, err := attributevalue.MarshalMap(row)
	if err != nil {
		return types.TransactWriteItem{}, fmt.Errorf("encode subscription: %w", err)
	}
	return types.TransactWriteItem{Put: &types.Put{TableName: &s.tables.Subscriptions, Item: item}}, nil
}

// transact writes all items or none. One token for all attempts makes an
// attempt that was applied, but whose answer was lost, count once.
func (s *Store) transact(ctx context.Context, items []types.TransactWriteItem) error {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: aws.String(rand.Text())}
	return retry(ctx, func() error {
		_, err := s.client.TransactWriteItems(ctx, in)
		return err
	})
}

// DeleteSubscription implements pubsub.Store. It reads, then writes on the
// condition that what it read is still so, and starts again when it is not.
func (s *Store) DeleteSubscription(ctx context.Context, connectionID, operationID string, at time.Time) (bool, error) {
	for {
		item, err := s.operationState(ctx, connectionID, operationID)
		if err != nil {
			return false, err
		}
		running, isRunning := item.Operations[operationID]
		switch {
		case item.ID == "", isRunning && running.At > at.UnixMilli(), item.completed(operationID, at):
			return false, nil
		case isRunning:
			err = s.end(ctx, connectionID, operationID, running)
		default:
			err = s.remember(ctx, connectionID, operationID, at, item.stale(at))
		}
		if err == nil {
			return isRunning, nil
		}
		if _, changed := refused(err); !changed {
			return false, fmt.Errorf("delete subscription: %w", err)
		}
	}
}

// operationState reads what the connection knows of one operation id. The
// item's ID is "" when there is no connection.
func (s *Store) operationState(ctx context.Context, connectionID, operationID string) (connectionItem, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID), ConsistentRead: aws.Bool(true),
		ProjectionExpression:     aws.String("id, operations.#id, completed"),
		ExpressionAttributeNames: map[string]string{"#id": operationID},
	})
	var item connectionItem
	if err != nil {
		return item, fmt.Errorf("get operation of connection: %w", err)
	}
	if err := attributevalue.UnmarshalMap(out.Item, &item); err != nil {
		return item, fmt.Errorf("decode connection: %w", err)
	}
	return item, nil
}

// end frees the operation id and deletes the topic's row, if the operation is
// still the one that was read, and has not been activated since.
func (s *Store) end(ctx context.Context, connectionID, operationID string, running runningItem) error {
	update := &types.Update{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		UpdateExpression:          aws.String("REMOVE operations.#id"),
		ConditionExpression:       aws.String("operations.#id.#at = :at AND attribute_not_exists(operations.#id.#topic)"),
		ExpressionAttributeNames:  map[string]string{"#id": operationID, "#at": "at", "#topic": "topic"},
		ExpressionAttributeValues: attributes{":at": number(running.At)},
	}
	items := []types.TransactWriteItem{{Update: update}}
	if running.Topic != "" {
		update.ConditionExpression = aws.String("operations.#id.#at = :at AND operations.#id.#topic = :topic")
		update.ExpressionAttributeValues[":topic"] = text(running.Topic)
		items = append(items, types.TransactWriteItem{Delete: &types.Delete{
			TableName: &s.tables.Subscriptions, Key: rowKey(running.Topic, connectionID, operationID)}})
	}
	return s.transact(ctx, items)
}

// Unlist implements pubsub.Store.
func (s *Store) Unlist(ctx context.Context, sub pubsub.Subscription) error {
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.tables.Subscriptions, Key: rowKey(sub.Topic, sub.ConnectionID, sub.OperationID),
		ConditionExpression:       aws.String("attribute_not_exists(#at) OR #at <= :at"),
		ExpressionAttributeNames:  map[string]string{"#at": "at"},
		ExpressionAttributeValues: attributes{":at": number(sub.At.UnixMilli())},
	})
	if _, later := refused(err); err != nil && !later {
		return fmt.Errorf("delete row of subscription: %w", err)
	}
	return nil
}

// stale returns the ids of remembered completes that make way for another, as
// many as one expression takes at most.
func (i connectionItem) stale(at time.Time) []string {
	size := 0
	for id := range i.Completed {
		size += len(id) + 16 // and the time
	}
	if len(i.Completed) < manyCompleted && size <= maxCompletedBytes {
		return nil
	}
	ids := slices.SortedFunc(maps.Keys(i.Completed), func(a, b string) int { return cmp.Compare(i.Completed[a], i.Completed[b]) })
	n, _ := slices.BinarySearchFunc(ids, at.Add(-overtakeTime).UnixMilli(), func(id string, oldest int64) int {
		return cmp.Compare(i.Completed[id], oldest)
	})
	if size > maxCompletedBytes {
		n = max(n, len(ids)/2)
	}
	return ids[:min(n, manyCompleted)]
}

// remember stores that the operation was completed, if it still does not run
// and no later complete is remembered, and forgets the stale ones. It touches
// no others: another call may be adding to them.
func (s *Store) remember(ctx context.Context, connectionID, operationID string, at time.Time, stale []string) error {
	update, names := "SET completed.#id = :at", map[string]string{"#id": operationID}
	for i, id := range stale {
		if id == operationID {
			continue // it is set
		}
		name := fmt.Sprint("#s", i)
		if len(names) == 1 {
			update += " REMOVE completed." + name
		} else {
			update += ", completed." + name
		}
		names[name] = id
	}
	in := &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		UpdateExpression: &update,
		ConditionExpression: aws.String("attribute_exists(id) AND attribute_not_exists(operations.#id)" +
			" AND (attribute_not_exists(completed.#id) OR completed.#id < :at)"),
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: attributes{":at": number(at.UnixMilli())},
	}
	return retry(ctx, func() error {
		_, err := s.client.UpdateItem(ctx, in)
		return err
	})
}

// deleteRows deletes the topic rows of a connection's operations.
func (s *Store) deleteRows(ctx context.Context, connectionID string, operations map[string]runningItem) error {
	var rows []types.WriteRequest
	for id, running := range operations {
		if running.Topic != "" {
			rows = append(rows, types.WriteRequest{DeleteRequest: &types.DeleteRequest{
				Key: rowKey(running.Topic, connectionID, id)}})
		}
	}
	// A row that is gone already is no error, so a repeated call may begin anew.
	for batch := range slices.Chunk(rows, batchRows) {
		left := map[string][]types.WriteRequest{s.tables.Subscriptions: batch}
		err := retry(ctx, func() error {
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
	return nil
}

// rowKey is the key of an operation's row under its topic.
func rowKey(topic, connectionID, operationID string) attributes {
	return attributes{"topic": text(topic), "subscriber": text(subscriber(connectionID, operationID))}
}
