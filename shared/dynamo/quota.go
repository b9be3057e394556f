package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// A quota's item is in the connections table, under an id that no connection has, as
// theirs hold no '/'. Its set has one entry for each connection that counts. The entry
// begins with the connection's expiry, so that what a lost deletion left behind is
// recognised and expires. Holder and held, as it is stored, are words of earlier
// releases.
const quotaPrefix = "holder/"

// quotaTTL is how long a quota's item is kept after its last entry. It is longer than
// any entry can last: with only the connection's life, one whose token soon expires
// would take the others' entries with it.
const quotaTTL = 2 * topology.HostTTL

// revocationTTL is how much longer a revoked quota's item is kept: as long as a token is
// expected to live that was issued before. Each connection that is counted begins it anew.
// (The previous release, which knows no revocation, would shorten it to quotaTTL.)
const revocationTTL = 400 * 24 * time.Hour

// entry stands for a connection in its quota's set: expiry#id.
func entry(id string, expires int64) string { return strconv.FormatInt(expires, 10) + "#" + id }

// expired reports whether the entry's connection can no longer live.
func expired(entry string, now time.Time) bool {
	digits, _, _ := strings.Cut(entry, "#")
	expires, err := strconv.ParseInt(digits, 10, 64)
	return err != nil || expires <= now.Unix()
}

// entries returns the entries of a quota's set that want accepts.
func entries(quota attributes, want func(entry string) bool) (found []string) {
	set, _ := quota["held"].(*types.AttributeValueMemberSS)
	if set == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(set.Value), func(e string) bool { return !want(e) })
}

// of reports of an entry whether it stands for the connection.
func of(id string) func(entry string) bool {
	return func(entry string) bool { return strings.HasSuffix(entry, "#"+id) }
}

// TakeQuota implements pubsub.Store. If the set is full, it drops the expired entries, those
// of nodes that are gone, and those that the connection had with another expiry, and tries
// once more.
func (s *Store) TakeQuota(ctx context.Context, c pubsub.Connection, max int) error {
	mine, now := entry(c.ID, c.Expires.Unix()), time.Now()
	quota, err := s.addEntry(ctx, c, max)
	if full, isFull := failedCondition(err); isFull {
		if isRevoked(full, c.Issued) {
			return pubsub.ErrTokenRevoked
		}
		lost, failed := s.ofLostNodes(ctx, full)
		if failed != nil {
			return fmt.Errorf("take quota: %w", failed)
		}
		stale := entries(full, func(e string) bool { return expired(e, now) || of(c.ID)(e) || lost(e) })
		if len(stale) == 0 {
			return pubsub.ErrTooManyConnections
		}
		if _, err := s.dropEntries(ctx, c.Quota, stale); err != nil {
			return fmt.Errorf("drop expired connections of quota: %w", err)
		}
		quota, err = s.addEntry(ctx, c, max)
	}
	if full, isFull := failedCondition(err); isFull {
		if isRevoked(full, c.Issued) {
			return pubsub.ErrTokenRevoked
		}
		return pubsub.ErrTooManyConnections
	}
	if err != nil {
		return fmt.Errorf("take quota: %w", err)
	}
	former := entries(quota, func(e string) bool { return of(c.ID)(e) && e != mine })
	if _, err := s.dropEntries(ctx, c.Quota, former); err != nil {
		return fmt.Errorf("drop former entry of connection: %w", err)
	}
	return nil
}

// ofLostNodes reports of an entry whether it stands for a socket of a node without a lease.
// If the node has died, nobody deletes what is stored of its sockets. It costs a read for
// each node in the set.
func (s *Store) ofLostNodes(ctx context.Context, quota attributes) (func(entry string) bool, error) {
	lost := map[string]bool{}
	nodeOf := func(entry string) (id string, ok bool) {
		_, id, _ = strings.Cut(entry, "#")
		at, ok := node.Parse(id)
		return at.Node(), ok
	}
	for _, e := range entries(quota, func(string) bool { return true }) {
		id, ok := nodeOf(e)
		if _, known := lost[id]; !ok || known {
			continue
		}
		_, err := s.Connection(ctx, id)
		if err != nil && !errors.Is(err, pubsub.ErrGone) {
			return nil, fmt.Errorf("load lease: %w", err)
		}
		lost[id] = err != nil
	}
	return func(e string) bool { id, ok := nodeOf(e); return ok && lost[id] }, nil
}

// isRevoked reports whether the quota's item refuses tokens of that time.
func isRevoked(quota attributes, issued time.Time) bool {
	revoked, _ := quota["revoked"].(*types.AttributeValueMemberN)
	if revoked == nil {
		return false
	}
	at, err := strconv.ParseInt(revoked.Value, 10, 64)
	return err != nil || issued.Unix() <= at
}

// Revoke implements pubsub.Store. Both this and addEntry are one write to the same item: a
// connection is either refused, or was added before and is returned. A revocation by a
// clock that is behind changes nothing, but also returns them.
func (s *Store) Revoke(ctx context.Context, quota string, at time.Time) ([]string, error) {
	now := time.Now()
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(quotaPrefix + quota),
		UpdateExpression:         aws.String("SET revoked = :at, kept = :kept, #ttl = :ttl"),
		ConditionExpression:      aws.String("attribute_not_exists(revoked) OR revoked <= :at"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":at": number(at.Unix()), ":kept": number(int64(revocationTTL.Seconds())),
			":ttl": number(now.Add(revocationTTL + quotaTTL).Unix())},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	item, later := failedCondition(err)
	if !later {
		if err != nil {
			return nil, fmt.Errorf("revoke: %w", err)
		}
		item = out.Attributes
	}
	var connections []string
	for _, e := range entries(item, func(e string) bool { return !expired(e, now) }) {
		_, id, _ := strings.Cut(e, "#")
		connections = append(connections, id)
	}
	return connections, nil
}

// addEntry adds the connection to its quota's set, unless that has max others or its token
// is revoked. It returns the quota's item.
func (s *Store) addEntry(ctx context.Context, c pubsub.Connection, max int) (attributes, error) {
	mine := entry(c.ID, c.Expires.Unix())
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(quotaPrefix + c.Quota),
		UpdateExpression: aws.String("ADD held :set SET #ttl = if_not_exists(kept, :zero) + :ttl"),
		ConditionExpression: aws.String("(attribute_not_exists(revoked) OR revoked < :issued) AND" +
			" (attribute_not_exists(held) OR size(held) < :max OR contains(held, :entry))"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{
			":set": &types.AttributeValueMemberSS{Value: []string{mine}}, ":entry": text(mine),
			":max": number(int64(max)), ":ttl": number(time.Now().Add(quotaTTL).Unix()),
			":issued": number(c.Issued.Unix()), ":zero": number(0),
		},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// ReleaseQuota implements pubsub.Store.
func (s *Store) ReleaseQuota(ctx context.Context, c pubsub.Connection) error {
	return s.releaseQuota(ctx, connectionItem{ID: c.ID, Quota: c.Quota, TTL: c.Expires.Unix()})
}

// releaseQuota takes a connection out of its quota's set. Its expiry may differ from when
// it was counted: what is left in the set shows that.
func (s *Store) releaseQuota(ctx context.Context, item connectionItem) error {
	if item.Quota == "" {
		return nil
	}
	left, err := s.dropEntries(ctx, item.Quota, []string{entry(item.ID, item.TTL)})
	if err == nil {
		_, err = s.dropEntries(ctx, item.Quota, entries(left, of(item.ID)))
	}
	if err != nil {
		return fmt.Errorf("release connection: %w", err)
	}
	return nil
}

// dropEntries removes entries from a quota's set and returns the item after that. The
// condition keeps the update from creating an item that nothing would delete.
func (s *Store) dropEntries(ctx context.Context, quota string, entries []string) (attributes, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(quotaPrefix + quota),
		UpdateExpression:          aws.String("DELETE held :entries"),
		ConditionExpression:       aws.String("attribute_exists(id)"),
		ExpressionAttributeValues: attributes{":entries": &types.AttributeValueMemberSS{Value: entries}},
		ReturnValues:              types.ReturnValueAllNew,
	})
	if _, missing := failedCondition(err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}
