package dynamo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// A holder's item is in the connections table, under an id that no connection has, as
// theirs hold no '/'. Its set has one entry for each connection of the holder. The
// entry begins with the connection's expiry, so that what a lost deletion left behind
// is recognised and expires.
const holderPrefix = "holder/"

// holderTTL is how long a holder's item is kept after its last entry. It is longer than
// any entry can last: with only the connection's life, one whose token soon expires
// would take the others' entries with it.
const holderTTL = 2 * topology.ConnectionTTL

// entry stands for a connection in its holder's set: expiry#id.
func entry(id string, expires int64) string { return strconv.FormatInt(expires, 10) + "#" + id }

// expired reports whether the entry's connection can no longer live.
func expired(entry string, now time.Time) bool {
	digits, _, _ := strings.Cut(entry, "#")
	expires, err := strconv.ParseInt(digits, 10, 64)
	return err != nil || expires <= now.Unix()
}

// entries returns the entries of a holder's set that want accepts.
func entries(holder attributes, want func(entry string) bool) (found []string) {
	held, _ := holder["held"].(*types.AttributeValueMemberSS)
	if held == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(held.Value), func(e string) bool { return !want(e) })
}

// of reports of an entry whether it stands for the connection.
func of(id string) func(entry string) bool {
	return func(entry string) bool { return strings.HasSuffix(entry, "#"+id) }
}

// Hold implements pubsub.Store. If the set is full, Hold drops the expired entries, and
// those that the connection had with another expiry, and tries once more.
func (s *Store) Hold(ctx context.Context, c pubsub.Connection, max int) error {
	mine, now := entry(c.ID, c.Expires.Unix()), time.Now()
	holder, err := s.hold(ctx, c, max)
	if full, isFull := refused(err); isFull {
		stale := entries(full, func(e string) bool { return expired(e, now) || of(c.ID)(e) })
		if len(stale) == 0 {
			return pubsub.ErrTooManyConnections
		}
		if _, err := s.dropEntries(ctx, c.Holder, stale); err != nil {
			return fmt.Errorf("drop expired connections of holder: %w", err)
		}
		holder, err = s.hold(ctx, c, max)
	}
	if _, isFull := refused(err); isFull {
		return pubsub.ErrTooManyConnections
	}
	if err != nil {
		return fmt.Errorf("hold connection: %w", err)
	}
	former := entries(holder, func(e string) bool { return of(c.ID)(e) && e != mine })
	if _, err := s.dropEntries(ctx, c.Holder, former); err != nil {
		return fmt.Errorf("drop former entry of connection: %w", err)
	}
	return nil
}

// hold adds the connection to its holder's set, unless that has max others. It returns
// the holder's item.
func (s *Store) hold(ctx context.Context, c pubsub.Connection, max int) (attributes, error) {
	mine := entry(c.ID, c.Expires.Unix())
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(holderPrefix + c.Holder),
		UpdateExpression:         aws.String("ADD held :set SET #ttl = :ttl"),
		ConditionExpression:      aws.String("attribute_not_exists(held) OR size(held) < :max OR contains(held, :entry)"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{
			":set": &types.AttributeValueMemberSS{Value: []string{mine}}, ":entry": text(mine),
			":max": number(int64(max)), ":ttl": number(time.Now().Add(holderTTL).Unix()),
		},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// Release implements pubsub.Store.
func (s *Store) Release(ctx context.Context, c pubsub.Connection) error {
	return s.release(ctx, connectionItem{ID: c.ID, Holder: c.Holder, TTL: c.Expires.Unix()})
}

// release takes a connection out of its holder's set. Its expiry may differ from when
// it was counted: what is left in the set shows that.
func (s *Store) release(ctx context.Context, item connectionItem) error {
	if item.Holder == "" {
		return nil
	}
	left, err := s.dropEntries(ctx, item.Holder, []string{entry(item.ID, item.TTL)})
	if err == nil {
		_, err = s.dropEntries(ctx, item.Holder, entries(left, of(item.ID)))
	}
	if err != nil {
		return fmt.Errorf("release connection: %w", err)
	}
	return nil
}

// dropEntries removes entries from a holder's set and returns the item after that. The
// condition keeps the update from creating an item that nothing would delete.
func (s *Store) dropEntries(ctx context.Context, holder string, entries []string) (attributes, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(holderPrefix + holder),
		UpdateExpression:          aws.String("DELETE held :entries"),
		ConditionExpression:       aws.String("attribute_exists(id)"),
		ExpressionAttributeValues: attributes{":entries": &types.AttributeValueMemberSS{Value: entries}},
		ReturnValues:              types.ReturnValueAllNew,
	})
	if _, missing := refused(err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}
