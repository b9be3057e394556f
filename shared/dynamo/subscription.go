package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// An operation with a topic is two items: its entry in the connection, which decides,
// and its row under the topic, which follows. With several topics it has a row under
// each, and the entry names them all; "row" below means all of them. They are written
// one after the other, not in a transaction: DynamoDB cancels transactions that meet on
// one item, and the operations of a connection all meet on it, a hundred at once after
// a reconnect ("TransactWriteItems"). Plain writes to an item queue up and never fail
// each other.
//
//	begin: entry, operation, row, look     activate: topic into the entry, operation, row, look
//	end:   row, entry, row      delete the connection: mark, rows, item
//
// A call that begins an operation looks at the entry last. If the entry is gone, or the
// connection, the row may have come after its deletion, and is taken back. If the look
// finds the entry, the row was there before the entry went, and the call that ends the
// operation deletes the row after that. (It also does so before, so that it leaves no
// row if it dies; once no call can be beginning the operation any more, before is
// enough.) Row and entry have the id of the message that began the operation, so no
// call mistakes the row of a later operation with the same id for its own.
//
// A call that dies between two writes leaves an entry without a row, or with some of
// them. It keeps the id taken and silent until its complete or the end of the
// connection, like a lost subscribe message. Or, if the operation ended just then, it
// leaves a row without an entry, until a 410 or the TTL deletes that; a client ignores
// its events as those of an ended operation.

// keyBytes is how much of an operation key is kept to tell it from others.
const keyBytes = 8

// PutSubscription implements pubsub.Store. The operation is written before the row that
// needs it and after the entry, so a refused subscribe has written nothing. Without a
// subscription an operation is garbage that expires.
func (s *Store) PutSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation,
	by pubsub.Sent, max int) error {
	running := runningItem{Topic: sub.Topic, Union: sub.Union, Replaying: sub.Replaying,
		At: by.At.UnixMilli(), By: tokenOf(by), Key: sub.OperationKey[:min(keyBytes, len(sub.OperationKey))],
		Parts: s.inParts(ctx, sub)}
	running, err := s.begin(ctx, sub, running, max)
	if err != nil || sub.Topic == "" {
		return err
	}
	return s.list(ctx, sub, op, running)
}

// begin takes the operation id. If messages are remembered that may have overtaken its
// own, it looks at them and takes the id on the condition that there are no others. An
// attempt that lost its answer is recognised by the message, even after a complete that
// followed it at once. It returns the entry as it is stored, by whichever attempt.
func (s *Store) begin(ctx context.Context, sub pubsub.Subscription, running runningItem, max int) (runningItem, error) {
	in, err := s.taking(sub, running, max)
	if err != nil {
		return running, err
	}
	*in.ConditionExpression += " AND (attribute_not_exists(completed.#id) OR completed.#id < :at)"
	in.ExpressionAttributeValues[":at"] = number(running.At)
	look := sub.LookFirst
	for tries := 0; ; tries++ {
		var item connectionItem
		var remember pubsub.Turns
		judge := func(found connectionItem) (why error) {
			item = found
			remember, why = item.whyNotBegun(sub.OperationID, running, max)
			return why
		}
		if look {
			err = s.judged(ctx, sub, judge)
		} else if _, err = call(ctx, s.client.UpdateItem, in); err != nil {
			err = explain("put subscription", err, judge)
		} else {
			return running, nil
		}
		switch {
		case errors.Is(err, errInTurn):
			look = false
			if in, err = s.taking(sub, running, max); err == nil {
				err = item.unchanged(in, sub.OperationID)
			}
			if err != nil {
				return running, err
			}
		case len(remember) > 0:
			done, left := s.remember(ctx, sub.ConnectionID, sub.OperationID, item, remember)
			if left != nil {
				return running, fmt.Errorf("put subscription: %w", left)
			}
			if done {
				return running, err
			}
			look = true
			if late := beaten(ctx, tries); late != nil {
				return running, fmt.Errorf("put subscription: %w", late)
			}
		case errors.Is(err, pubsub.ErrTooManyOperations) && !look && item.isMiscounted(max):
			if err := s.recount(ctx, item); err != nil {
				return running, fmt.Errorf("put subscription: %w", err)
			}
		case err != nil:
			return running, err
		default:
			return item.Operations[sub.OperationID], nil
		}
	}
}

// judged is what judge makes of the operation id's stored state.
func (s *Store) judged(ctx context.Context, sub pubsub.Subscription, judge func(connectionItem) error) error {
	item, err := s.operationState(ctx, sub.ConnectionID, sub.OperationID)
	switch {
	case err != nil:
		return err
	case item.gone():
		return pubsub.ErrGone
	}
	return judge(item)
}

// isMiscounted reports whether it is a wrong count of bytes that keeps operations from
// beginning, of which there may be max. An item without a count refuses none.
func (i connectionItem) isMiscounted(max int) bool {
	return len(i.Operations) < max && i.OperationBytes != i.operationsBytes()
}

// recount corrects the count of the operations' bytes, unless another call changes it.
func (s *Store) recount(ctx context.Context, item connectionItem) error {
	_, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(item.ID),
		UpdateExpression:         aws.String("SET operationBytes = :sum"),
		ConditionExpression:      aws.String(alive + " AND operationBytes = :wrong"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":sum": number(int64(item.operationsBytes())),
			":wrong": number(int64(item.OperationBytes)), ":now": number(time.Now().Unix())},
	})
	if _, changed := failedCondition(err); err != nil && !changed {
		return fmt.Errorf("count operations again: %w", err)
	}
	return nil
}

// taking is the update that takes the operation id, if it is free. Ids come from the
// client: they are attribute names, never text of an expression. The bytes of all
// operations are counted, as no condition can add them up. (The previous release does
// not count. If one release begins an operation and the other ends it, the count is
// wrong until a refusal shows it: see recount.)
func (s *Store) taking(sub pubsub.Subscription, running runningItem, max int) (*dynamodb.UpdateItemInput, error) {
	entry, err := attributevalue.MarshalMap(running)
	if err != nil {
		return nil, fmt.Errorf("encode operation: %w", err)
	}
	bytes := running.bytes(sub.OperationID)
	return &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(sub.ConnectionID),
		UpdateExpression: aws.String("SET operations.#id = :running," +
			" operationBytes = if_not_exists(operationBytes, :none) + :bytes"),
		ConditionExpression: aws.String(alive + " AND acknowledged = :yes" +
			" AND attribute_not_exists(operations.#id) AND size(operations) < :max" +
			" AND (attribute_not_exists(operationBytes) OR operationBytes <= :room)" +
			" AND (attribute_not_exists(ended) OR NOT begins_with(ended, :by))"),
		ExpressionAttributeNames: map[string]string{"#id": sub.OperationID, "#ttl": "ttl"},
		ExpressionAttributeValues: attributes{
			":running": &types.AttributeValueMemberM{Value: entry}, ":yes": boolean(true), ":max": number(int64(max)),
			":by": text(running.identity() + "."), ":now": number(time.Now().Unix()),
			":none": number(0), ":bytes": number(int64(bytes)),
			":room": number(int64(pubsub.RoomForOperations(max) - bytes)),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, nil
}

// errInTurn says that an operation may begin, given what is remembered of its id.
var errInTurn = errors.New("operation may begin")

// whyNotBegun explains why the connection did not let an operation begin; nil if it has
// begun. It also returns what to remember then.
func (i connectionItem) whyNotBegun(id string, running runningItem, max int) (remember pubsub.Turns, why error) {
	other, isRunning := i.Operations[id]
	switch {
	case !i.Acknowledged:
		return nil, pubsub.ErrNotAcknowledged
	case isRunning && other.By == running.By:
		return nil, nil
	case i.hasEnded(running):
		return nil, pubsub.ErrCompleted
	}
	remember, why = i.known(id).Begin(i.running(id), running.turn())
	switch {
	case why != nil:
		return remember, why
	case len(i.Operations) >= max, i.OperationBytes+running.bytes(id) > pubsub.RoomForOperations(max):
		return nil, pubsub.ErrTooManyOperations
	}
	return nil, errInTurn
}

// ActivateSubscription implements pubsub.Store. An operation with another topic is
// another one.
func (s *Store) ActivateSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation,
	by pubsub.Sent) error {
	in := &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(sub.ConnectionID),
		UpdateExpression: aws.String("REMOVE operations.#id.replaying SET operations.#id.#topic = :topic"),
		ConditionExpression: aws.String(alive + " AND operations.#id.#at = :at" +
			" AND (attribute_not_exists(operations.#id.#topic) OR operations.#id.#topic = :topic)"),
		ExpressionAttributeNames: map[string]string{"#id": sub.OperationID, "#topic": "topic", "#at": "at", "#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":topic": text(sub.Topic), ":at": number(by.At.UnixMilli()),
			":now": number(time.Now().Unix())},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if by.ID != "" {
		*in.ConditionExpression += " AND operations.#id.#by = :by"
		in.ExpressionAttributeNames["#by"] = "by"
		in.ExpressionAttributeValues[":by"] = text(by.ID)
	}
	if s.LargeTopics {
		*in.UpdateExpression += ", operations.#id.#parts = if_not_exists(operations.#id.#parts, :parts)"
		in.ExpressionAttributeNames["#parts"] = "parts"
		in.ExpressionAttributeValues[":parts"] = number(int64(s.inParts(ctx, sub)))
	}
	out, err := call(ctx, s.client.UpdateItem, in)
	if err != nil {
		return explain("activate subscription", err, func(connectionItem) error { return pubsub.ErrCompleted })
	}
	item, err := decodeItem(out.Attributes)
	if err != nil {
		return fmt.Errorf("activate subscription: %w", err)
	}
	return s.list(ctx, sub, op, item.Operations[sub.OperationID])
}

// list stores an operation that has its entry, puts its rows, and looks whether it still
// has its entry. If so, a foreign row in its place was left behind and is replaced; if
// not, it is a later operation's and stays. The rows come in the order of their topics,
// so that an event of several finds the lowest of them, or none: see fanout.Plan.
func (s *Store) list(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation, running runningItem) error {
	if err := s.PutOperation(ctx, sub.OperationKey, op, sub.Expires); err != nil {
		return err
	}
	foreign := map[string]attributes{} // by topic
	for {
		var taken bool
		for _, sub.Topic = range sub.Topics() {
			err := s.putRow(ctx, sub, running, foreign[sub.Topic])
			if foreign[sub.Topic], taken = failedCondition(err); taken {
				break
			}
			if err != nil {
				return fmt.Errorf("put row of subscription: %w", err)
			}
		}
		err := s.look(ctx, sub, running)
		switch {
		case err == nil && !taken:
			s.noteListed(ctx, sub, running)
			return nil
		case err == nil: // again
		case errors.Is(err, pubsub.ErrGone), errors.Is(err, pubsub.ErrCompleted):
			if left := s.deleteRows(ctx, sub.ConnectionID, sub.OperationID, running, false); left != nil {
				return fmt.Errorf("take the row back: %w", left)
			}
			return err
		default:
			return err
		}
	}
}

// look returns nil if the operation runs, ErrGone, or ErrCompleted.
func (s *Store) look(ctx context.Context, sub pubsub.Subscription, running runningItem) error {
	item, err := s.operationState(ctx, sub.ConnectionID, sub.OperationID)
	if err != nil {
		return err
	}
	now, isRunning := item.Operations[sub.OperationID]
	switch {
	case item.gone():
		return pubsub.ErrGone
	case !isRunning, now.identity() != running.identity():
		return pubsub.ErrCompleted
	}
	return nil
}

// operationState reads what the connection knows of one operation id. An item without
// an ID means that there is no such connection.
func (s *Store) operationState(ctx context.Context, connectionID, operationID string) (connectionItem, error) {
	out, err := call(ctx, s.client.GetItem, &dynamodb.GetItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID), ConsistentRead: aws.Bool(true),
		ProjectionExpression:     aws.String("id, acknowledged, closing, #ttl, operations.#id, completed, turns, ended"),
		ExpressionAttributeNames: map[string]string{"#id": operationID, "#ttl": "ttl"},
	})
	if err != nil {
		return connectionItem{}, fmt.Errorf("get operation of connection: %w", err)
	}
	return decodeItem(out.Item)
}
