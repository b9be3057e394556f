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
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// overtakeTime is how much later than its message a call for it may still be at
// work: longer than the message function's time-out.
const overtakeTime = time.Minute

// What a connection remembers of messages that came out of turn. When there are
// many ids, those go that no late message can still meet; when they are large, the
// oldest half goes, since an item has 400 KB at most.
const (
	manyCompleted     = 100
	maxCompletedBytes = 64 << 10
	maxTurns          = 16 // of one id: the latest
	turnBytes         = 48
)

// turnItem is a subscribe or a complete that is remembered (see pubsub.Turns).
// completed[id] is the time of the latest complete in turns[id]: a subscribe from
// after that needs no look at them. It is all that the release before knows: there
// a complete stops all subscribes of its millisecond and before.
type turnItem struct {
	At       int64  `dynamodbav:"at"` // Unix milliseconds
	By       string `dynamodbav:"by"` // id of the message
	Complete bool   `dynamodbav:"complete,omitempty"`
	Key      string `dynamodbav:"key,omitempty"` // see runningItem
}

func newTurnItem(t pubsub.Turn) turnItem {
	return turnItem{At: t.At.UnixMilli(), By: t.ID, Complete: t.Complete, Key: t.Key}
}

func (t turnItem) turn() pubsub.Turn {
	return pubsub.Turn{Sent: pubsub.Sent{At: time.UnixMilli(t.At), ID: t.By}, Complete: t.Complete, Key: t.Key}
}

// known returns what is remembered of the id. A complete that only the release
// before remembers counts as one.
func (i connectionItem) known(id string) (turns pubsub.Turns) {
	completed, isCompleted := i.Completed[id]
	for _, t := range i.Turns[id] {
		turns = append(turns, t.turn())
		isCompleted = isCompleted && !(t.Complete && t.At == completed)
	}
	if isCompleted {
		turns = append(turns, turnItem{At: completed, Complete: true}.turn())
	}
	return turns
}

// running returns the turn of the operation that runs with the id, if any.
func (i connectionItem) running(id string) pubsub.Turns {
	running, isRunning := i.Operations[id]
	if !isRunning {
		return nil
	}
	return pubsub.Turns{running.turn()}
}

// record returns what sets the remembered turns of the id in an update, "" when
// there are no more. The update fails if they are not as the item says any more.
func (i connectionItem) record(in *dynamodb.UpdateItemInput, id string, more pubsub.Turns) (string, error) {
	if len(more) == 0 {
		return "", nil
	}
	turns, completed := []turnItem{}, i.Completed[id]
	for _, t := range append(i.known(id), more...) {
		if t.At.Before(more[0].At.Add(-overtakeTime)) {
			continue
		}
		turns = append(turns, newTurnItem(t))
		if t.Complete {
			completed = max(completed, t.At.UnixMilli())
		}
	}
	turns = turns[max(0, len(turns)-maxTurns):]
	path, value := "turns.#id", any(turns)
	if i.Turns == nil { // the release before has put the connection
		path, value = "turns", map[string][]turnItem{id: turns}
	}
	is, err := attributevalue.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("encode turns: %w", err)
	}
	in.ExpressionAttributeValues[":completed"] = number(completed)
	in.ExpressionAttributeValues[":turns"] = is
	return "completed.#id = :completed, " + path + " = :turns", i.unchanged(in, id)
}

// unchanged lets an update fail if the remembered turns of the id are not as the
// item says any more.
func (i connectionItem) unchanged(in *dynamodb.UpdateItemInput, id string) error {
	turns, isKnown := i.Turns[id]
	if !isKnown {
		require(in, "turns.#id", nil)
		return nil
	}
	value, err := attributevalue.Marshal(turns)
	if err != nil {
		return fmt.Errorf("encode turns: %w", err)
	}
	require(in, "turns.#id", value)
	return nil
}

// require adds the condition that the attribute at the path has the value, or
// that there is none for nil.
func require(in *dynamodb.UpdateItemInput, path string, value types.AttributeValue) {
	if value == nil {
		*in.ConditionExpression += " AND attribute_not_exists(" + path + ")"
		return
	}
	name := fmt.Sprint(":required", len(in.ExpressionAttributeValues))
	*in.ConditionExpression += " AND " + path + " = " + name
	in.ExpressionAttributeValues[name] = value
}

// textOrNone is nil for "".
func textOrNone(value string) types.AttributeValue {
	if value == "" {
		return nil
	}
	return text(value)
}

// DeleteSubscription implements pubsub.Store. It reads, then writes on the
// condition that what it read is still so, and starts again when it is not.
func (s *Store) DeleteSubscription(ctx context.Context, connectionID, operationID string,
	by pubsub.Sent) (bool, error) {
	by.ID = tokenOf(by)
	for {
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
			return true, nil // this message has ended it, in a call before
		case !ends && len(remember) == 0:
			return false, nil
		case ends:
			done, err = s.end(ctx, connectionID, operationID, item, by, remember)
		default:
			done, err = s.remember(ctx, connectionID, operationID, item, remember)
		}
		if err != nil {
			return false, fmt.Errorf("delete subscription: %w", err)
		}
		if done {
			return ends, nil
		}
	}
}

// EndSubscription implements pubsub.Store. It works as DeleteSubscription does.
// For an operation that does not run it remembers the subscribe with a complete
// of its own, so that a call which is still about to begin it will not.
func (s *Store) EndSubscription(ctx context.Context, connectionID, operationID string,
	began pubsub.Sent) (bool, error) {
	mine := runningItem{At: began.At.UnixMilli(), By: began.ID}
	for {
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
		if err != nil {
			return false, fmt.Errorf("end subscription: %w", err)
		}
		if done {
			return ends, nil
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
func (s *Store) end(ctx context.Context, connectionID, operationID string, item connectionItem, by pubsub.Sent,
	remember pubsub.Turns) (bool, error) {
	running := item.Operations[operationID]
	ended := running.identity() + "." + by.ID
	in := s.removal(connectionID, operationID, running, ended)
	set, err := item.record(in, operationID, remember)
	if err != nil {
		return false, err
	}
	if set != "" {
		*in.UpdateExpression += ", " + set
	}
	if running.Topic == "" {
		return s.free(ctx, in, operationID, running, ended)
	}
	older := running.By == ""
	if err := s.deleteRow(ctx, connectionID, operationID, running, older); err != nil {
		return false, err
	}
	done, err := s.free(ctx, in, operationID, running, ended)
	if young := by.At.UnixMilli()-running.At < overtakeTime.Milliseconds(); done && young {
		err = s.deleteRow(ctx, connectionID, operationID, running, false)
	}
	return done && err == nil, err
}

// free frees the operation id with the update and reports whether this call did.
// The connection notes which call ended which operation last, so a call whose
// answer was lost knows. If others have ended since, it does not, and takes itself
// for the one: an answer too many harms no client.
func (s *Store) free(ctx context.Context, in *dynamodb.UpdateItemInput, operationID string,
	running runningItem, ended string) (bool, error) {
	tries := 0
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
	case isRunning && other.identity() == running.identity(): // it has a topic now, or there are other turns
		return false, nil
	case item.hasEnded(running):
		return item.Ended == ended, nil
	}
	return tries > 1, nil
}

// removal is the update that frees the operation id.
func (s *Store) removal(connectionID, operationID string, running runningItem, ended string) *dynamodb.UpdateItemInput {
	in := &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		UpdateExpression:                    aws.String("REMOVE operations.#id SET ended = :ended"),
		ConditionExpression:                 aws.String("operations.#id.#at = :at"),
		ExpressionAttributeNames:            map[string]string{"#id": operationID, "#at": "at", "#by": "by", "#topic": "topic"},
		ExpressionAttributeValues:           attributes{":at": number(running.At), ":ended": text(ended)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	require(in, "operations.#id.#topic", textOrNone(running.Topic))
	require(in, "operations.#id.#by", textOrNone(running.By))
	return in
}

// hasEnded reports whether the operation is the one that ended last.
func (i connectionItem) hasEnded(running runningItem) bool {
	return strings.HasPrefix(i.Ended, running.identity()+".")
}

// stale returns the ids of remembered completes that make way for another, as
// many as one expression takes at most.
func (i connectionItem) stale(at time.Time) []string {
	size := 0
	for id := range i.Completed {
		size += 2*len(id) + 16 + turnBytes*len(i.Turns[id])
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

// remember stores turns of an id, if its operation and what is remembered of it
// are as the item says, and forgets the stale ids. It touches no others: another
// call may be adding to them. It reports whether it did.
func (s *Store) remember(ctx context.Context, connectionID, operationID string, item connectionItem,
	more pubsub.Turns) (bool, error) {
	in := &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		ConditionExpression:       aws.String("attribute_exists(id)"),
		ExpressionAttributeNames:  map[string]string{"#id": operationID},
		ExpressionAttributeValues: attributes{},
	}
	if running, isRunning := item.Operations[operationID]; isRunning {
		in.ExpressionAttributeNames["#by"] = "by"
		require(in, "operations.#id.#by", textOrNone(running.By))
	} else {
		require(in, "operations.#id", nil)
	}
	set, err := item.record(in, operationID, more)
	if err != nil {
		return false, err
	}
	forget := ""
	for n, id := range item.stale(more[0].At) {
		if id == operationID {
			continue // it is set
		}
		name := fmt.Sprint("#s", n)
		in.ExpressionAttributeNames[name] = id
		forget += ", completed." + name
		if item.Turns != nil {
			forget += ", turns." + name
		}
	}
	in.UpdateExpression = aws.String("SET " + set)
	if forget != "" {
		*in.UpdateExpression += " REMOVE " + forget[2:]
	}
	_, err = call(ctx, s.client.UpdateItem, in)
	if _, changed := refused(err); changed {
		return false, nil
	}
	return err == nil, err
}
