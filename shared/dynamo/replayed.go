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

// CountReplayed implements pubsub.Store. It adds to the latest minute's count, or
// begins a later minute, on the condition that no other call does so at the same time;
// otherwise it starts again. Minutes only ascend, as a late call must not go back to an
// old one, so the loop ends. The token identifies an attempt whose answer was lost. If
// others have counted since, it counts twice, which does no harm to a bound. The
// previous release leaves the bytes of an older minute in place: while both run, a
// replay may be refused needlessly.
func (s *Store) CountReplayed(ctx context.Context, connectionID string, n, max pubsub.Replayed, at time.Time) error {
	if n.Events > max.Events || n.Bytes > max.Bytes {
		return pubsub.ErrReplayLimit
	}
	minute, token := at.Unix()/60, newToken()
	values := func() attributes {
		return attributes{":minute": number(minute), ":n": number(int64(n.Events)), ":bytes": number(int64(n.Bytes)),
			":now": number(time.Now().Unix()), ":token": text(token)}
	}
	for {
		add := values()
		add[":room"], add[":bytesRoom"] = number(int64(max.Events-n.Events)), number(int64(max.Bytes-n.Bytes))
		add[":none"] = number(0)
		old, err := s.count(ctx, connectionID,
			"replayed = replayed + :n, replayedBytes = if_not_exists(replayedBytes, :none) + :bytes",
			"replayMinute >= :minute AND replayed <= :room AND replayedBy <> :token"+
				" AND (attribute_not_exists(replayedBytes) OR replayedBytes <= :bytesRoom)", add)
		if err != nil || old == nil {
			return err
		}
		switch {
		case old.gone():
			return pubsub.ErrGone
		case old.ReplayedBy == token:
			return nil
		case old.ReplayMinute >= minute:
			return pubsub.ErrReplayLimit
		}
		old, err = s.count(ctx, connectionID, "replayed = :n, replayedBytes = :bytes, replayMinute = :minute",
			"(attribute_not_exists(replayMinute) OR replayMinute < :minute)", values())
		if err != nil || old == nil {
			return err
		}
	}
}

// count applies the update if the connection exists and the condition holds. Otherwise
// it returns the connection as it is.
func (s *Store) count(ctx context.Context, connectionID, update, condition string, values attributes) (
	*connectionItem, error) {
	_, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(connectionID),
		UpdateExpression:                    aws.String("SET replayedBy = :token, " + update),
		ConditionExpression:                 aws.String(alive + " AND " + condition),
		ExpressionAttributeNames:            map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err == nil {
		return nil, nil
	}
	old, failed := failedCondition(err)
	if !failed {
		return nil, fmt.Errorf("count replayed events: %w", err)
	}
	item, err := decodeItem(old)
	return &item, err
}
