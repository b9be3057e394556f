package dynamo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// overtakeTime is how long after its message a call for it may still be at work: longer
// than the message function's time-out.
const overtakeTime = time.Minute

// DeleteSubscription implements pubsub.Store. It reads, then writes on the condition
// that what it read still holds, and starts again if it does not.
func (s *Store) DeleteSubscription(ctx context.Context, connectionID, operationID string,
	by pubsub.Sent) (bool, error) {
	by.ID = tokenOf(by)
	for tries := 0; ; tries++ {
		item, err := s.operationState(ctx, connectionID, operationID)
		if err != nil {
			return false, err
		}
		ends, remember := item.known(operationID).Complete(item.running(operationID), pubsub.Turn{Sent: by, Complete: true})
		done := false
		switch {
		case item.ID == "":
			return false, nil
		case strings.HasSuffix(item.Ended, "."+by.ID):
			return true, nil // an earlier call of this message has ended it
		case !ends && len(remember) == 0:
			return false, nil
		case ends:
			done, err = s.end(ctx, connectionID, operationID, item, by, remember)
		default:
			done, err = s.remember(ctx, connectionID, operationID, item, remember)
		}
		if err == nil && done {
			return ends, nil
		}
		if err == nil {
			err = beaten(ctx, tries)
		}
		if err != nil {
			return false, fmt.Errorf("delete subscription: %w", err)
		}
	}
}

// EndSubscription implements pubsub.Store. It works like DeleteSubscription. For an
// operation that does not run it remembers the subscribe with a complete of its own, so
// that a call which is still about to begin it will not.
func (s *Store) EndSubscription(ctx context.Context, connectionID, operationID string,
	began pubsub.Sent) (bool, error) {
	mine := runningItem{At: began.At.UnixMilli(), By: began.ID}
	for tries := 0; ; tries++ {
		item, err := s.operationState(ctx, connectionID, operationID)
		if err != nil {
			return false, err
		}
		running, isRunning := item.Operations[operationID]
		ends, done := isRunning && running.By == mine.By, false
		if mine.By == "" {
			ends = isRunning && running.At <= mine.At
		}
		switch {
		case ends:
			done, err = s.end(ctx, connectionID, operationID, item, pubsub.Sent{At: began.At, ID: newToken()}, nil)
		case item.ID == "", mine.By == "", item.hasEnded(mine), item.known(operationID).Has(began):
			return false, nil
		default:
			done, err = s.remember(ctx, connectionID, operationID, item,
				pubsub.Turns{mine.turn(), {Sent: pubsub.Sent{At: began.At}, Complete: true}})
		}
		if err == nil && done {
			return ends, nil
		}
		if err == nil {
			err = beaten(ctx, tries)
		}
		if err != nil {
			return false, fmt.Errorf("end subscription: %w", err)
		}
	}
}

// end deletes the topics' rows and frees the operation id, if the operation is still the
// one that was read and has not been activated since. It reports whether this call did.
// The rows go first, so that none is left if this dies. The call that began a young
// operation may put rows after that, and look before the id is free, so they are
// deleted once more. An older release's rows do not say whose they are: if that release
// reuses the id between the read and the first deletion, the new row is lost.
func (s *Store) end(ctx context.Context, connectionID, operationID string, item connectionItem, by pubsub.Sent,
	remember pubsub.Turns) (bool, error) {
	running, ended := item.Operations[operationID], item.Operations[operationID].identity()+"."+by.ID
	in, err := s.removal(connectionID, operationID, item, ended, remember)
	if err != nil {
		return false, err
	}
	if running.Topic == "" {
		return s.free(ctx, in, operationID, running, ended)
	}
	older := running.By == ""
	if err := s.deleteRows(ctx, connectionID, operationID, running, older); err != nil {
		return false, err
	}
	done, err := s.free(ctx, in, operationID, running, ended)
	if young := by.At.UnixMilli()-running.At < overtakeTime.Milliseconds(); done && young {
		err = s.deleteRows(ctx, connectionID, operationID, running, false)
	}
	return done && err == nil, err
}

// free frees the operation id with the update and reports whether this call did. The
// connection notes which call ended which operation last, so a call that lost its
// answer knows. If others have ended since, it does not know, and assumes that it did:
// one answer too many harms no client.
func (s *Store) free(ctx context.Context, in *dynamodb.UpdateItemInput, operationID string,
	running runningItem, ended string) (bool, error) {
	tries := 0
	err := retry(ctx, func(ctx context.Context) error {
		tries++
		_, err := s.client.UpdateItem(ctx, in)
		return err
	})
	old, changed := failedCondition(err)
	if !changed {
		return err == nil, err
	}
	item, err := decodeItem(old)
	if err != nil {
		return false, err
	}
	other, isRunning := item.Operations[operationID]
	switch {
	case isRunning && other.identity() == running.identity(): // it has a topic now, or other turns
		return false, nil
	case item.hasEnded(running):
		return item.Ended == ended, nil
	}
	return tries > 1, nil
}

// removal is the update that frees the operation id.
func (s *Store) removal(connectionID, operationID string, item connectionItem, ended string,
	remember pubsub.Turns) (*dynamodb.UpdateItemInput, error) {
	running := item.Operations[operationID]
	in := &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		ConditionExpression: aws.String("operations.#id.#at = :at"),
		ExpressionAttributeNames: map[string]string{"#id": operationID, "#at": "at", "#by": "by",
			"#topic": "topic"},
		ExpressionAttributeValues: attributes{":at": number(running.At), ":ended": text(ended),
			":bytes": number(int64(running.bytes(operationID)))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	require(in, "operations.#id.#topic", textOrNone(running.Topic))
	require(in, "operations.#id.#by", textOrNone(running.By))
	set, forget, err := item.record(in, operationID, remember)
	in.UpdateExpression = aws.String("SET ended = :ended" +
		", operationBytes = if_not_exists(operationBytes, :bytes) - :bytes" + set +
		" REMOVE operations.#id" + forget)
	return in, err
}

// hasEnded reports whether the operation is the one that ended last.
func (i connectionItem) hasEnded(running runningItem) bool {
	return strings.HasPrefix(i.Ended, running.identity()+".")
}
