package dead

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/fanout"
	"subwire/shared/topology"
)

// connectionReader is the part of *dynamodb.Client that finds connections.
type connectionReader interface {
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
}

// connections knows which connections still exist.
type connections struct {
	client connectionReader
	table  string
}

const (
	pageConnections = 100 // keys per request: DynamoDB's limit

	// When it is busy, DynamoDB answers only a part. The rest is requested again
	// after a pause that doubles.
	readTries  = 8
	firstPause = 50 * time.Millisecond
)

var errBusy = errors.New("the table is busy")

// connected returns the batch with only those targets whose connection exists and has
// not expired.
func (c connections) connected(ctx context.Context, b fanout.Batch) (fanout.Batch, error) {
	alive := map[string]bool{}
	for page := range slices.Chunk(connectionIDs(b), pageConnections) {
		if err := c.read(ctx, page, alive); err != nil {
			return fanout.Batch{}, fmt.Errorf("read connections: %w", err)
		}
	}
	tasks := b.Tasks
	b.Tasks = nil
	for _, t := range tasks {
		var left []fanout.Target
		for _, target := range t.Targets {
			if alive[target.ConnectionID] {
				left = append(left, target)
			}
		}
		if len(left) > 0 {
			b.Tasks = append(b.Tasks, fanout.Task{Operation: t.Operation, Targets: left})
		}
	}
	return b, nil
}

// connectionIDs lists the batch's connections, each once.
func connectionIDs(b fanout.Batch) []string {
	var ids []string
	for _, t := range b.Tasks {
		for _, target := range t.Targets {
			ids = append(ids, target.ConnectionID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// read adds to alive those ids that have a living item. The read is consistent: a
// connection that is left out gets nothing.
func (c connections) read(ctx context.Context, ids []string, alive map[string]bool) error {
	keys := make([]map[string]types.AttributeValue, len(ids))
	for i, id := range ids {
		keys[i] = map[string]types.AttributeValue{topology.Connections.Key: &types.AttributeValueMemberS{Value: id}}
	}
	left := map[string]types.KeysAndAttributes{c.table: {Keys: keys, ConsistentRead: aws.Bool(true),
		ProjectionExpression:     aws.String("#id, #ttl"),
		ExpressionAttributeNames: map[string]string{"#id": topology.Connections.Key, "#ttl": topology.Connections.TTL}}}
	for try := 1; len(left) > 0; try++ {
		if try > readTries {
			return errBusy
		}
		if try > 1 && !pause(ctx, firstPause<<(try-2)) {
			return context.Cause(ctx)
		}
		out, err := c.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: left})
		if err != nil {
			return err
		}
		for _, item := range out.Responses[c.table] {
			if id, ok := item[topology.Connections.Key].(*types.AttributeValueMemberS); ok && living(item) {
				alive[id.Value] = true
			}
		}
		left = out.UnprocessedKeys
	}
	return nil
}

// living reports whether the item has not expired: DynamoDB deletes it late.
func living(item map[string]types.AttributeValue) bool {
	ttl, ok := item[topology.Connections.TTL].(*types.AttributeValueMemberN)
	if !ok {
		return false
	}
	expires, err := strconv.ParseInt(ttl.Value, 10, 64)
	return err == nil && time.Now().Unix() < expires
}

// pause waits for d. It returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
