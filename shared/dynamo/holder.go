package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// A holder's item lies in the connections table, under an id that no
// connection has, as those hold no '/'. Its set has one entry for each
// connection of the holder. The entry begins with the connection's expiry, so
// that what a lost deletion left behind can be told and goes by itself.
const holderPrefix = "holder/"

// entry is what stands for a connection in its holder's set: expiry#id.
func entry(id string, expires int64) string { return strconv.FormatInt(expires, 10) + "#" + id }

// expired reports whether the entry's connection cannot live any more.
func expired(entry string, now time.Time) bool {
	digits, _, _ := strings.Cut(entry, "#")
	expires, err := strconv.ParseInt(digits, 10, 64)
	return err != nil || expires <= now.Unix()
}

// Hold implements pubsub.Store. A set that is full loses its expired entries
// and is asked once more.
func (s *Store) Hold(ctx context.Context, c pubsub.Connection, max int) error {
	old, err := s.hold(ctx, c, max)
	if stale := expiredEntries(old, time.Now()); len(stale) > 0 {
		if err := s.dropEntries(ctx, c.Holder, stale); err != nil {
			return fmt.Errorf("drop expired connections of holder: %w", err)
		}
		_, err = s.hold(ctx, c, max)
	}
	if _, full := refused(err); full {
		return pubsub.ErrTooManyConnections
	}
	if err != nil {
		return fmt.Errorf("hold connection: %w", err)
	}
	return nil
}

// hold adds the connection to its holder's set, unless that has max others. A
// full set is returned with the error.
func (s *Store) hold(ctx context.Context, c pubsub.Connection, max int) (full attributes, err error) {
	mine := entry(c.ID, c.Expires.Unix())
	err = retry(ctx, func() error {
		_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &s.tables.Connections, Key: connectionKey(holderPrefix + c.Holder),
			UpdateExpression:         aws.String("ADD held :set SET #ttl = :ttl"),
			ConditionExpression:      aws.String("attribute_not_exists(held) OR size(held) < :max OR contains(held, :entry)"),
			ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
			ExpressionAttributeValues: attributes{
				":set": &types.AttributeValueMemberSS{Value: []string{mine}}, ":entry": text(mine),
				":max": number(int64(max)), ":ttl": number(c.Expires.Unix()),
			},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		return err
	})
	full, _ = refused(err)
	return full, err
}

func expiredEntries(holder attributes, now time.Time) []string {
	held, _ := holder["held"].(*types.AttributeValueMemberSS)
	if held == nil {
		return nil
	}
	var stale []string
	for _, e := range held.Value {
		if expired(e, now) {
			stale = append(stale, e)
		}
	}
	return stale
}

// release takes a connection that is being deleted out of its holder's set.
func (s *Store) release(ctx context.Context, item connectionItem) error {
	if item.Holder == "" {
		return nil
	}
	if err := s.dropEntries(ctx, item.Holder, []string{entry(item.ID, item.TTL)}); err != nil {
		return fmt.Errorf("release connection: %w", err)
	}
	return nil
}

// Release implements pubsub.Store.
func (s *Store) Release(ctx context.Context, c pubsub.Connection) error {
	return s.release(ctx, connectionItem{ID: c.ID, Holder: c.Holder, TTL: c.Expires.Unix()})
}

// dropEntries removes entries from a holder's set. The condition keeps an
// update from making an item that nothing would delete.
func (s *Store) dropEntries(ctx context.Context, holder string, entries []string) error {
	err := retry(ctx, func() error {
		_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: &s.tables.Connections, Key: connectionKey(holderPrefix + holder),
			UpdateExpression:          aws.String("DELETE held :entries"),
			ConditionExpression:       aws.String("attribute_exists(id)"),
			ExpressionAttributeValues: attributes{":entries": &types.AttributeValueMemberSS{Value: entries}},
		})
		return err
	})
	if _, missing := refused(err); missing {
		return nil
	}
	return err
}
