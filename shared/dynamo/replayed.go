package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// CountReplayed implements pubsub.Store. The first update adds to the minute's
// count; one that finds another minute begins it anew.
func (s *Store) CountReplayed(ctx context.Context, connectionID string, n, max int, at time.Time) error {
	if n > max {
		return pubsub.ErrReplayLimit
	}
	minute := at.Unix() / 60
	values := func() attributes {
		return attributes{":minute": number(minute), ":n": number(int64(n)), ":now": number(time.Now().Unix())}
	}
	add := values()
	add[":room"] = number(int64(max - n))
	_, err := s.count(ctx, connectionID, "SET replayed = replayed + :n", "replayMinute = :minute AND replayed <= :room", add)
	old, otherwise := refused(err)
	if err == nil {
		return nil
	}
	if !otherwise {
		return fmt.Errorf("count replayed events: %w", err)
	}
	item, err := decodeItem(old)
	switch {
	case err != nil:
		return err
	case item.gone():
		return pubsub.ErrGone
	case item.ReplayMinute == minute:
		return pubsub.ErrReplayLimit
	}
	_, err = s.count(ctx, connectionID, "SET replayed = :n, replayMinute = :minute",
		"(attribute_not_exists(replayMinute) OR replayMinute <> :minute)", values())
	if _, raced := refused(err); raced { // another has begun the minute, or the connection has ended
		return s.CountReplayed(ctx, connectionID, n, max, at)
	}
	if err != nil {
		return fmt.Errorf("count replayed events: %w", err)
	}
	return nil
}

func (s *Store) count(ctx context.Context, connectionID, update, condition string, values attributes) (*dynamodb.UpdateItemOutput, error) {
	return s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID), UpdateExpression: &update,
		ConditionExpression:                 aws.String(alive + " AND " + condition),
		ExpressionAttributeNames:            map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
}
