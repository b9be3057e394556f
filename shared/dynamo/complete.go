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

// What a connection remembers of completes that found nothing. When there are
// many, those go that no overtaken subscribe can still meet; when they are
// large, the oldest half goes, since an item has 400 KB at most.
const (
	manyCompleted     = 100
	maxCompletedBytes = 64 << 10
)

// Completes and subscribes with one operation id may be handled in any order.
// Of different milliseconds the later message counts: completed[id] is the time of
// the latest complete that found nothing, and no subscribe from before it begins.
// Within one millisecond nothing tells who was first, but a client that keeps to
// the protocol takes turns: how many of each there are says whether an operation
// runs in the end. So a complete that finds nothing waits in early[id] for a
// subscribe of its millisecond, and they cancel each other out. While one waits,
// completed[id] is that millisecond; once all have met, the one before, and
// the next subscribe begins.
//
// An older release knows completed[id] alone, and lets a complete stop all
// subscribes of its millisecond. So does this one for what that release wrote.

// earlyItem is what is remembered of the latest millisecond in which a complete
// found nothing. Messages are known by their ids, so that a repeated call counts
// once.
type earlyItem struct {
	At        int64    `dynamodbav:"at"`            // Unix milliseconds
	Completes []string `dynamodbav:"completes"`     // that found nothing
	Met       []string `dynamodbav:"met,omitempty"` // subscribes that met one of them, and did not begin
}

// hasMet reports whether the operation's subscribe has met a complete.
func (i connectionItem) hasMet(id string, running runningItem) bool {
	return i.Early[id].At == running.At && slices.Contains(i.Early[id].Met, running.By)
}

// meet lets a subscribe and an early complete of its millisecond cancel each
// other out. It reports whether what was known of them was still so.
func (s *Store) meet(ctx context.Context, sub pubsub.Subscription, running runningItem, early earlyItem) (bool, error) {
	was, err := attributevalue.Marshal(early)
	if err != nil {
		return false, fmt.Errorf("encode early completes: %w", err)
	}
	early.Met = append(early.Met, running.By)
	is, err := attributevalue.Marshal(early)
	if err != nil {
		return false, fmt.Errorf("encode early completes: %w", err)
	}
	completed := running.At
	if len(early.Met) == len(early.Completes) {
		completed--
	}
	_, err = call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(sub.ConnectionID),
		UpdateExpression:         aws.String("SET completed.#id = :completed, early.#id = :is"),
		ConditionExpression:      aws.String("attribute_exists(id) AND completed.#id = :at AND early.#id = :was"),
		ExpressionAttributeNames: map[string]string{"#id": sub.OperationID},
		ExpressionAttributeValues: attributes{":completed": number(completed), ":at": number(running.At),
			":was": was, ":is": is},
	})
	if _, changed := refused(err); changed {
		return false, nil
	}
	return err == nil, err
}

// DeleteSubscription implements pubsub.Store. It reads, then writes on the
// condition that what it read is still so, and starts again when it is not.
func (s *Store) DeleteSubscription(ctx context.Context, connectionID, operationID string,
	by pubsub.Sent) (bool, error) {
	token := tokenOf(by)
	for {
		item, err := s.operationState(ctx, connectionID, operationID)
		if err != nil {
			return false, err
		}
		running, isRunning := item.Operations[operationID]
		ends, done := isRunning && running.At <= by.At.UnixMilli(), false
		switch {
		case item.ID == "":
			return false, nil
		case strings.HasSuffix(item.Ended, "."+token):
			return true, nil // this message has ended it, in a call before
		case item.isRemembered(operationID, by.At, token):
			return false, nil
		case ends:
			done, err = s.end(ctx, connectionID, operationID, running, pubsub.Sent{At: by.At, ID: token})
		default:
			done, err = s.remember(ctx, connectionID, operationID, by.At, token, item)
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
			done, err = s.end(ctx, connectionID, operationID, running, pubsub.Sent{At: began.At})
		case item.ID == "", mine.By == "", item.hasEnded(mine):
			return false, nil
		default:
			done, err = s.note(ctx, connectionID, operationID, mine)
		}
		if err != nil {
			return false, fmt.Errorf("end subscription: %w", err)
		}
		if done {
			return ends, nil
		}
	}
}

// note stores that an operation which does not run has ended, so that a call
// that is still about to begin it will not. It reports whether it did.
func (s *Store) note(ctx context.Context, connectionID, operationID string, running runningItem) (bool, error) {
	_, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		UpdateExpression: aws.String("SET ended = :ended"),
		ConditionExpression: aws.String("attribute_exists(id) AND (attribute_not_exists(operations.#id)" +
			" OR attribute_not_exists(operations.#id.#by) OR operations.#id.#by <> :by)"),
		ExpressionAttributeNames: map[string]string{"#id": operationID, "#by": "by"},
		ExpressionAttributeValues: attributes{":by": text(running.By),
			":ended": text(running.identity() + "." + newToken())},
	})
	if _, changed := refused(err); changed {
		return false, nil
	}
	return err == nil, err
}

// end deletes the topic's row and frees the operation id, if the operation is
// still the one that was read, and has not been activated since. It reports
// whether this call did. The row goes first, so that none is left if this dies.
// The call that began a young operation may put its row after that, and look
// before the id is free, so the row is deleted once more. The rows of an older
// release do not say whose they are: if that release uses the id again between
// the read and the first deletion, the new row is lost.
func (s *Store) end(ctx context.Context, connectionID, operationID string, running runningItem,
	by pubsub.Sent) (bool, error) {
	token := tokenOf(by)
	if running.Topic == "" {
		return s.free(ctx, connectionID, operationID, running, token)
	}
	older := running.By == ""
	if err := s.deleteRow(ctx, connectionID, operationID, running, older); err != nil {
		return false, err
	}
	done, err := s.free(ctx, connectionID, operationID, running, token)
	if young := by.At.UnixMilli()-running.At < overtakeTime.Milliseconds(); done && young {
		err = s.deleteRow(ctx, connectionID, operationID, running, false)
	}
	return done && err == nil, err
}

// free frees the operation id and reports whether this call did. The connection
// notes which call ended which operation last, so a call whose answer was lost
// knows. If others have ended since, it does not, and takes itself for the one:
// an answer too many harms no client. (It may be wrong after a failed try, when five
// messages with one id are of one millisecond; then one complete is lost.)
func (s *Store) free(ctx context.Context, connectionID, operationID string, running runningItem,
	token string) (bool, error) {
	ended, tries := running.identity()+"."+token, 0
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

// isRemembered reports whether the complete changes nothing: it is counted, or a
// later one is, or one that an older release remembers without counting.
func (i connectionItem) isRemembered(id string, at time.Time, token string) bool {
	early, completed := i.Early[id], i.Completed[id]
	if early.At == at.UnixMilli() && completed <= early.At {
		return slices.Contains(early.Completes, token)
	}
	return completed >= at.UnixMilli()
}

// stale returns the ids of remembered completes that make way for another, as
// many as one expression takes at most.
func (i connectionItem) stale(at time.Time) []string {
	size := 0
	for id := range i.Completed {
		size += 2 * (len(id) + 32) // and the times and messages
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

// remember stores that a complete found nothing, if no operation has begun since
// and what is remembered of the id is still so, and forgets the stale ones. It
// touches no others: another call may be adding to them. It reports whether it did.
func (s *Store) remember(ctx context.Context, connectionID, operationID string, at time.Time, token string,
	item connectionItem) (bool, error) {
	in := &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		UpdateExpression: aws.String("SET completed.#id = :at"),
		ConditionExpression: aws.String("attribute_exists(id)" +
			" AND (attribute_not_exists(operations.#id) OR operations.#id.#at > :at)" +
			" AND (attribute_not_exists(completed.#id) OR completed.#id <= :at)"),
		ExpressionAttributeNames:  map[string]string{"#id": operationID, "#at": "at"},
		ExpressionAttributeValues: attributes{":at": number(at.UnixMilli())},
	}
	if item.Early != nil {
		if err := count(in, item.Early, operationID, at, token); err != nil {
			return false, err
		}
	}
	forget := ""
	for i, id := range item.stale(at) {
		if id == operationID {
			continue // it is set
		}
		name := fmt.Sprint("#s", i)
		in.ExpressionAttributeNames[name] = id
		forget += ", completed." + name
		if item.Early != nil {
			forget += ", early." + name
		}
	}
	if forget != "" {
		*in.UpdateExpression += " REMOVE " + forget[2:]
	}
	_, err := call(ctx, s.client.UpdateItem, in)
	if _, changed := refused(err); changed {
		return false, nil
	}
	return err == nil, err
}

// count adds the complete to those of its millisecond in the update.
func count(in *dynamodb.UpdateItemInput, known map[string]earlyItem, operationID string, at time.Time,
	token string) error {
	before, isKnown := known[operationID]
	after := earlyItem{At: at.UnixMilli(), Completes: []string{token}}
	if before.At == after.At {
		after.Completes, after.Met = append(before.Completes, token), before.Met
	}
	value, err := attributevalue.Marshal(after)
	if err != nil {
		return fmt.Errorf("encode early completes: %w", err)
	}
	*in.UpdateExpression += ", early.#id = :early"
	in.ExpressionAttributeValues[":early"] = value
	if !isKnown {
		*in.ConditionExpression += " AND attribute_not_exists(early.#id)"
		return nil
	}
	*in.ConditionExpression += " AND early.#id = :before"
	in.ExpressionAttributeValues[":before"], err = attributevalue.Marshal(before)
	return err
}
