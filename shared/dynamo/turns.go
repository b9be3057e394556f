package dynamo

import (
	"cmp"
	"context"
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

// What a connection remembers of messages out of turn. When there are many ids, those
// go that no late message can still meet. When they are large, half go, as each message
// of an operation reads and writes them all: the oldest, but first those whose complete
// does not wait for its subscribe.
const (
	manyCompleted     = 32
	maxCompletedBytes = 8 << 10
	turnBytes         = 48
)

// turnItem is a remembered subscribe or complete (see pubsub.Turns). completed[id] is
// the time of the latest complete in turns[id]: a later subscribe need not look at
// them. It is all that the previous release knows: there a complete stops all
// subscribes of its millisecond and before.
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

// known returns what is remembered of the id. A complete that only the previous release
// remembers counts as one.
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

// record returns what an update sets and removes to remember more turns of the id and
// to forget stale ids, each part after a comma. It touches no others, as another call
// may be adding to them. The update fails if what is remembered of the id has changed
// since the item was read.
func (i connectionItem) record(in *dynamodb.UpdateItemInput, id string,
	more pubsub.Turns) (set, forget string, err error) {
	if len(more) == 0 {
		return "", "", nil
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
	turns = turns[max(0, len(turns)-pubsub.MaxTurns):]
	path, value := "turns.#id", any(turns)
	if i.Turns == nil { // the previous release put the connection
		path, value = "turns", map[string][]turnItem{id: turns}
	}
	is, err := attributevalue.Marshal(value)
	if err != nil {
		return "", "", fmt.Errorf("encode turns: %w", err)
	}
	in.ExpressionAttributeValues[":completed"] = number(completed)
	in.ExpressionAttributeValues[":turns"] = is
	set = ", completed.#id = :completed, " + path + " = :turns"
	*in.ConditionExpression += " AND size(completed) <= :remembered" // others may be adding at the same time
	in.ExpressionAttributeValues[":remembered"] = number(int64(max(len(i.Completed), maxCompletedBytes/idBytes(id, 1))))
	for n, other := range i.stale(more[0].At) {
		if other == id {
			continue // it is set
		}
		name := fmt.Sprint("#s", n)
		in.ExpressionAttributeNames[name] = other
		forget += ", completed." + name
		if i.Turns != nil {
			forget += ", turns." + name
		}
	}
	return set, forget, i.unchanged(in, id)
}

// unchanged lets an update fail if what is remembered of the id has changed since the
// item was read.
func (i connectionItem) unchanged(in *dynamodb.UpdateItemInput, id string) (err error) {
	var is types.AttributeValue
	if turns, isKnown := i.Turns[id]; isKnown {
		if is, err = attributevalue.Marshal(turns); err != nil {
			return fmt.Errorf("encode turns: %w", err)
		}
	}
	require(in, "turns.#id", is)
	return nil
}

// require adds the condition that the attribute at the path has the value, or is absent
// for nil.
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

// remember stores turns of an id, if its operation and what is remembered of it are as
// the item says. It reports whether it did.
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
	set, forget, err := item.record(in, operationID, more)
	if err != nil {
		return false, err
	}
	in.UpdateExpression = aws.String("SET " + set[2:])
	if forget != "" {
		*in.UpdateExpression += " REMOVE " + forget[2:]
	}
	_, err = call(ctx, s.client.UpdateItem, in)
	if _, changed := failedCondition(err); changed {
		return false, nil
	}
	return err == nil, err
}

// idBytes is the size of an id with that many turns.
func idBytes(id string, turns int) int { return 2*len(id) + 16 + turnBytes*turns }

// turnsBytes is the size of all that is remembered.
func (i connectionItem) turnsBytes() (n int) {
	for id := range i.Completed {
		n += idBytes(id, len(i.Turns[id]))
	}
	return n
}

// stale returns the ids of remembered completes that make way for another, at most as
// many as one expression takes.
func (i connectionItem) stale(at time.Time) (ids []string) {
	oldest := at.Add(-overtakeTime).UnixMilli()
	switch {
	case i.turnsBytes() > maxCompletedBytes:
		ids = slices.SortedFunc(maps.Keys(i.Completed), func(a, b string) int {
			return cmp.Or(cmp.Compare(i.waiting(a, oldest), i.waiting(b, oldest)),
				cmp.Compare(i.Completed[a], i.Completed[b]))
		})
		ids = ids[:(len(ids)+1)/2]
	case len(i.Completed) >= manyCompleted:
		for id, completed := range i.Completed {
			if completed < oldest {
				ids = append(ids, id)
			}
		}
	}
	return ids[:min(len(ids), manyCompleted)]
}

// waiting is 1 for an id with a complete that waits for a subscribe that may still
// come, and otherwise 0.
func (i connectionItem) waiting(id string, oldest int64) int {
	isMet := slices.ContainsFunc(i.Turns[id], func(t turnItem) bool { return !t.Complete })
	if isMet || i.Completed[id] < oldest {
		return 0
	}
	return 1
}
