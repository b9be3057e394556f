package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// How many targets a topic's events have is kept in the connections table, like what a
// quota has.
const audiencePrefix = "audience/"

// SetAudience implements allowance.AudienceStore.
func (s *Store) SetAudience(ctx context.Context, topic string, targets int, expires time.Time) error {
	item := connectionKey(audiencePrefix + topic)
	item["targets"], item["ttl"] = number(int64(targets)), number(expires.Unix())
	_, err := call(ctx, s.client.PutItem, &dynamodb.PutItemInput{TableName: &s.tables.Connections, Item: item})
	if err != nil {
		return fmt.Errorf("note audience: %w", err)
	}
	return nil
}

// Audience implements allowance.AudienceStore. It need not be the newest, so the read
// costs half.
func (s *Store) Audience(ctx context.Context, topic string) (int, error) {
	out, err := call(ctx, s.client.GetItem, &dynamodb.GetItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(audiencePrefix + topic)})
	if err != nil {
		return 0, fmt.Errorf("get audience: %w", err)
	}
	ttl, _ := out.Item["ttl"].(*types.AttributeValueMemberN)
	targets, _ := out.Item["targets"].(*types.AttributeValueMemberN)
	if ttl == nil || targets == nil {
		return 0, nil
	}
	if expires, err := strconv.ParseInt(ttl.Value, 10, 64); err != nil || expires <= time.Now().Unix() {
		return 0, err
	}
	return strconv.Atoi(targets.Value)
}
