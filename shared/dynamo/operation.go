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

const (
	// operationMargin is how much longer than its latest subscriber an operation is kept at
	// least. The previous release may set an earlier expiry, for a connection that ends
	// earlier; the margin covers the longest life of any.
	operationMargin = topology.HostTTL

	// operationInterval is how much longer it is kept besides, so that one in use need be
	// written once an hour, and not by each subscriber: a partition has a thousand write
	// units a second, of which a large document takes dozens.
	operationInterval = time.Hour

	// knownOperations is how many operations a process knows to be stored, at some 200
	// bytes each.
	knownOperations = 10_000
)

// Operation implements pubsub.Store. It does not check the expiry, which is long after
// that of any subscription. What is stored under a key is the same for ever, so the first
// read may be an old one, which costs half; only what that does not find is asked again.
func (s *Store) Operation(ctx context.Context, key string) (pubsub.Operation, error) {
	in := &dynamodb.GetItemInput{TableName: &s.tables.Operations, Key: attributes{"key": text(key)}}
	out, err := call(ctx, s.client.GetItem, in)
	if err == nil && out.Item == nil {
		in.ConsistentRead = aws.Bool(true)
		out, err = call(ctx, s.client.GetItem, in)
	}
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

	// Expires is when the subscription that stored it last expires. Others, which found it
	// stored, may expire later, by no more than topology.HostTTL.
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
			expires := time.Unix(item.TTL, 0).Add(-operationMargin - operationInterval)
			if !yield(Stored{item.Key, item.operation(), expires}, nil) {
				return
			}
		}
	}
}

// PutOperation implements pubsub.Store. It writes only if the operation may not last as
// long as its subscriber; what it need not write it need not read again either. A write
// never makes an operation end earlier, so whatever a process knows of it stays true.
func (s *Store) PutOperation(ctx context.Context, key string, op pubsub.Operation, expires time.Time) error {
	needed := expires.Add(operationMargin).Unix()
	if ends, ok := s.operationEnds.Get(key); ok && ends >= needed {
		return nil
	}
	ends := expires.Add(operationMargin + operationInterval).Unix()
	item, err := attributevalue.MarshalMap(operationItem{
		Key: key, Document: op.Document, Name: op.Name, Variables: string(op.Variables), TTL: ends})
	if err != nil {
		return fmt.Errorf("encode operation: %w", err)
	}
	// Each try looks first: others may have written meanwhile, and be why DynamoDB has no
	// units left for another write.
	err = retry(ctx, func(ctx context.Context) error {
		found, err := s.operationEnd(ctx, key)
		switch {
		case err == nil && found >= needed:
			ends = found
			return nil
		case err != nil && passing(err):
			return err
		}
		return s.writeOperation(ctx, item)
	})
	if err != nil {
		return fmt.Errorf("put operation: %w", err)
	}
	s.operationEnds.Add(key, ends)
	return nil
}

// operationEnd is until when an operation is stored, in Unix seconds, or was a moment ago.
// Its error may be pubsub.ErrUnknownOperation.
func (s *Store) operationEnd(ctx context.Context, key string) (int64, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.tables.Operations, Key: attributes{"key": text(key)},
		ProjectionExpression: aws.String("#ttl"), ExpressionAttributeNames: map[string]string{"#ttl": "ttl"}})
	if err != nil {
		return 0, fmt.Errorf("look for operation: %w", err)
	}
	if out.Item == nil {
		return 0, pubsub.ErrUnknownOperation
	}
	var item operationItem
	err = attributevalue.UnmarshalMap(out.Item, &item)
	return item.TTL, err
}

// writeOperation writes the item, unless the operation already lasts as long.
func (s *Store) writeOperation(ctx context.Context, item attributes) error {
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.tables.Operations, Item: item,
		ConditionExpression:       aws.String("attribute_not_exists(#ttl) OR #ttl < :ttl"),
		ExpressionAttributeNames:  map[string]string{"#ttl": "ttl"},
		ExpressionAttributeValues: attributes{":ttl": item["ttl"]},
	})
	if _, lasts := failedCondition(err); lasts {
		return nil
	}
	return err
}
