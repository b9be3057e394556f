package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// markingID is the item that says since when events are queued only behind marks, in Unix
// milliseconds. It is kept in the connections table, like what a quota has. It has no ttl: it
// must outlast any pause between two events.
const markingID = "marking/since"

// MarkingSince implements pubsub.MarkingStore. If an attempt lost its answer, the next finds
// its time.
func (s *Store) MarkingSince(ctx context.Context, now time.Time) (time.Time, error) {
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(markingID),
		UpdateExpression:          aws.String("SET since = if_not_exists(since, :now)"),
		ExpressionAttributeValues: attributes{":now": number(now.UnixMilli())},
		ReturnValues:              types.ReturnValueAllNew,
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("ask since when topics are marked: %w", err)
	}
	since, ok := numberOf(out.Attributes, "since")
	if !ok {
		return time.Time{}, fmt.Errorf("ask since when topics are marked: no time in the answer")
	}
	return time.UnixMilli(since), nil
}
