package dynamo

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// operationItem is an operation, shared by all its subscribers.
type operationItem struct {
	Key       string `dynamodbav:"key"`
	Document  string `dynamodbav:"document"`
	Name      string `dynamodbav:"name,omitempty"`
	Variables string `dynamodbav:"variables,omitempty"` // JSON
	TTL       int64  `dynamodbav:"ttl"`
}

// operationMargin is how much longer than its latest subscriber an operation is kept.
// An older connection may write it after a younger one and set an earlier expiry; the
// margin covers the longest life of any.
const operationMargin = topology.HostTTL

// Operation implements pubsub.Store. It does not check the expiry, which is long after
// that of any subscription.
func (s *Store) Operation(ctx context.Context, key string) (pubsub.Operation, error) {
	out, err := call(ctx, s.client.GetItem, &dynamodb.GetItemInput{
		TableName: &s.tables.Operations, Key: attributes{"key": text(key)}, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return pubsub.Operation{}, fmt.Errorf("get operation: %w", err)
	}
	if out.Item == nil {
		return pubsub.Operation{}, pubsub.ErrUnknownOperation
	}
	var item operationItem
	if err := attributevalue.UnmarshalMap(out.Item, &item); err != nil {
		return pubsub.Operation{}, fmt.Errorf("decode operation: %w", err)
	}
	return item.operation(), nil
}

func (i operationItem) operation() pubsub.Operation {
	op := pubsub.Operation{Document: i.Document, Name: i.Name}
	if i.Variables != "" {
		op.Variables = json.RawMessage(i.Variables)
	}
	return op
}

// Stored is an operation as it is stored.
type Stored struct {
	Key string
	pubsub.Operation

	// Expires is when the subscription that stored it last expires. Another that began
	// earlier may expire later, by no more than topology.ConnectionTTL; one of a host, if a
	// client of API Gateway has stored the same operation since, by topology.HostTTL.
	Expires time.Time
}

// Operations yields every operation. It reads the whole table, as Connections does. It
// ends after the first error.
func (s *Store) Operations(ctx context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for row, err := range s.scan(ctx, &dynamodb.ScanInput{TableName: &s.tables.Operations}) {
			var item operationItem
			if err == nil {
				err = attributevalue.UnmarshalMap(row, &item)
			}
			if err != nil {
				yield(Stored{}, fmt.Errorf("scan operations: %w", err))
				return
			}
			if !yield(Stored{item.Key, item.operation(), time.Unix(item.TTL, 0).Add(-operationMargin)}, nil) {
				return
			}
		}
	}
}

// PutOperation implements pubsub.Store.
func (s *Store) PutOperation(ctx context.Context, key string, op pubsub.Operation, expires time.Time) error {
	item, err := attributevalue.MarshalMap(operationItem{
		Key: key, Document: op.Document, Name: op.Name, Variables: string(op.Variables),
		TTL: expires.Add(operationMargin).Unix(),
	})
	if err != nil {
		return fmt.Errorf("encode operation: %w", err)
	}
	_, err = call(ctx, s.client.PutItem, &dynamodb.PutItemInput{TableName: &s.tables.Operations, Item: item})
	if err != nil {
		return fmt.Errorf("put operation: %w", err)
	}
	return nil
}
