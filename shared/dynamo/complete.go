package dynamo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// overtakeTime is how much later than its message a call for it may still be at
// work: longer than the message function's time-out.
const overtakeTime = time.Minute

// What a connection remembers of completes that found nothing. When there are
// many, those go that no overtaken subscribe can still meet; when they are
// large, the oldest half goes, since an item has 400 KB at most.
const (
	manyCompleted     = 100
	maxCompletedBytes = 64 << 10
)

// DeleteSubscription implements pubsub.Store. It reads, then writes on the
// condition that what it read is still so, and starts again when it is not.
func (s *Store) DeleteSubscription(ctx context.Context, connectionID, operationID string, at time.Time) (bool, error) {
	for {
		item, err := s.operationState(ctx, connectionID, operationID)
		if err != nil {
			return false, err
		}
		running, isRunning := item.Operations[operationID]
		done := false
		switch {
		case item.ID == "", isRunning && running.At > at.UnixMilli(), item.completed(operationID, at.UnixMilli()):
			return false, nil
		case isRunning:
			done, err = s.end(ctx, connectionID, operationID, running, at)
		default:
			done, err = s.remember(ctx, connectionID, operationID, at, item.stale(at))
		}
		if err != nil {
			return false, fmt.Errorf("delete subscription: %w", err)
		}
		if done {
			return isRunning, nil
		}
	}
}

// end deletes the topic's row and frees the operation id, if the operation is
// still the one that was read, and has not been activated since. It reports
// whether this call did. The row goes first, so that none is left if this dies.
// The call that began a young operation may put its row after that, and look
// before the id is free, so the row is deleted once more. The rows of an older
// release do not say whose they are: if that release uses the id again between
// the read and the first deletion, the new row is lost.
func (s *Store) end(ctx context.Context, connectionID, operationID string, running runningItem,
	at time.Time) (bool, error) {
	if running.Topic == "" {
		return s.free(ctx, connectionID, operationID, running)
	}
	older := running.By == ""
	if err := s.deleteRow(ctx, connectionID, operationID, running, older); err != nil {
		return false, err
	}
	done, err := s.free(ctx, connectionID, operationID, running)
	if young := at.UnixMilli()-running.At < overtakeTime.Milliseconds(); done && young {
		err = s.deleteRow(ctx, connectionID, operationID, running, false)
	}
	return done && err == nil, err
}

// free frees the operation id and reports whether this call did. The connection
// notes which call ended which operation last, so a call whose answer was lost
// knows. If others have ended since, it does not, and takes itself for the one:
// an answer too many harms no client.
func (s *Store) free(ctx context.Context, connectionID, operationID string, running runningItem) (bool, error) {
	ended, tries := running.identity()+"."+newToken(), 0
	in := s.removal(connectionID, operationID, running, ended)
	err := retry(ctx, func(ctx context.Context) error {
		tries++
		_, err := s.client.UpdateItem(ctx, in)
		return err
	})
	old, changed := refused(err)
	if !changed {
		return err == nil, err
	}
	item, err := decodeItem(old)
	if err != nil {
		return false, err
	}
	other, isRunning := item.Operations[operationID]
	switch {
	case isRunning && other.identity() == running.identity(): // it has a topic now
		return false, nil
	case item.hasEnded(running):
		return item.Ended == ended, nil
	}
	return tries > 1, nil
}

// removal is the update that frees the operation id.
func (s *Store) removal(connectionID, operationID string, running runningItem, ended string) *dynamodb.UpdateItemInput {
	condition := "operations.#id.#at = :at"
	names := map[string]string{"#id": operationID, "#at": "at", "#by": "by", "#topic": "topic"}
	values := attributes{":at": number(running.At), ":ended": text(ended)}
	is := func(member, value string) {
		if value == "" {
			condition += " AND attribute_not_exists(operations.#id.#" + member + ")"
			return
		}
		condition += " AND operations.#id.#" + member + " = :" + member
		values[":"+member] = text(value)
	}
	is("topic", running.Topic)
	is("by", running.By)
	return &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		UpdateExpression:                    aws.String("REMOVE operations.#id SET ended = :ended"),
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            names,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

// hasEnded reports whether the operation is the one that ended last.
func (i connectionItem) hasEnded(running runningItem) bool {
	return strings.HasPrefix(i.Ended, running.identity()+".")
}

// completed reports whether a complete is remembered that a subscribe of the
// given time, in Unix milliseconds, did not outrun.
func (i connectionItem) completed(operationID string, at int64) bool {
	completedAt, ok := i.Completed[operationID]
	return ok && completedAt >= at
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
// no others: another call may be adding to them. It reports whether it did.
func (s *Store) remember(ctx context.Context, connectionID, operationID string, at time.Time,
	stale []string) (bool, error) {
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
	_, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		UpdateExpression: &update,
		ConditionExpression: aws.String("attribute_exists(id) AND attribute_not_exists(operations.#id)" +
			" AND (attribute_not_exists(completed.#id) OR completed.#id < :at)"),
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: attributes{":at": number(at.UnixMilli())},
	})
	if _, changed := refused(err); changed {
		return false, nil
	}
	return err == nil, err
}
