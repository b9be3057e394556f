package dead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	tabletypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/oklog/ulid/v2"

	"subwire/scripts/internal/esm"
	"subwire/shared/topology"
)

// streamReader is the part of *dynamodbstreams.Client that reads records.
type streamReader interface {
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// source reads stream records again: from the stream for a day, and from the messages
// table after that.
type source struct {
	stream streamReader
	table  dynamodb.ScanAPIClient
	name   string // of the messages table
}

const (
	// A stream may answer with nothing although more follows. After emptyReads in a
	// row the record is considered missing; five reads per second are allowed
	// ("DynamoDB Streams" in the DynamoDB Developer Guide).
	emptyReads = 50
	emptyPause = 200 * time.Millisecond

	// A message's id has its creation time, a little before its record arrived;
	// arrival times have a resolution of one second.
	beforeArrival = 10 * time.Second
	afterArrival  = 2 * time.Second
)

var errNotInStream = errors.New("the stream does not have the records")

// records returns the inserts of the range in the stream's order, and whether they
// had to be read from the table. The table has no sequence numbers: then they are all
// messages of that time, by chat and id.
func (s source) records(ctx context.Context, r recordRange) (records []events.DynamoDBEventRecord, fromTable bool, err error) {
	records, err = s.fromStream(ctx, r)
	if err == nil || !trimmed(err) {
		return records, false, err
	}
	records, err = s.fromTable(ctx, r)
	return records, true, err
}

// trimmed reports whether the stream no longer has the records: they or the shard are
// older than a day, or the stream was replaced.
func trimmed(err error) bool {
	_, old := errors.AsType[*types.TrimmedDataAccessException](err)
	_, lost := errors.AsType[*types.ResourceNotFoundException](err)
	return old || lost || errors.Is(err, errNotInStream)
}

func (s source) fromStream(ctx context.Context, r recordRange) ([]events.DynamoDBEventRecord, error) {
	out, err := s.stream.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: &r.Stream, ShardId: &r.Shard,
		ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: &r.Start})
	if err != nil {
		return nil, fmt.Errorf("get shard iterator: %w", err)
	}
	var inserts []events.DynamoDBEventRecord
	for empty, iterator := 0, out.ShardIterator; iterator != nil; {
		page, err := s.stream.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			return nil, fmt.Errorf("get records: %w", err)
		}
		for _, record := range page.Records {
			order := compareSequence(aws.ToString(record.Dynamodb.SequenceNumber), r.End)
			if order <= 0 && record.EventName == types.OperationTypeInsert {
				inserts = append(inserts, insert(esm.Attributes(record.Dynamodb.NewImage)))
			}
			if order >= 0 {
				return inserts, nil
			}
		}
		if iterator = page.NextShardIterator; len(page.Records) > 0 {
			empty = 0
		} else if empty++; empty == emptyReads {
			break
		} else if !pause(ctx, emptyPause) {
			return nil, fmt.Errorf("get records: %w", context.Cause(ctx))
		}
	}
	return nil, errNotInStream
}

// compareSequence orders sequence numbers, which do not fit into an integer.
func compareSequence(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// fromTable reads the whole table, as an id cannot be found by its time in another
// way. The cost grows with the table.
func (s source) fromTable(ctx context.Context, r recordRange) ([]events.DynamoDBEventRecord, error) {
	var from, to ulid.ULID
	if err := errors.Join(from.SetTime(ulid.Timestamp(r.First.Add(-beforeArrival))), to.SetTime(ulid.Timestamp(r.Last.Add(afterArrival)))); err != nil {
		return nil, fmt.Errorf("time of the records: %w", err)
	}
	var found []events.DynamoDBEventRecord
	pages := dynamodb.NewScanPaginator(s.table, &dynamodb.ScanInput{TableName: &s.name, ConsistentRead: aws.Bool(true),
		FilterExpression:         aws.String("#id BETWEEN :from AND :to"),
		ExpressionAttributeNames: map[string]string{"#id": topology.Messages.Sort},
		ExpressionAttributeValues: map[string]tabletypes.AttributeValue{
			":from": &tabletypes.AttributeValueMemberS{Value: from.String()}, ":to": &tabletypes.AttributeValueMemberS{Value: to.String()}}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("scan messages: %w", err)
		}
		for _, item := range page.Items {
			found = append(found, insert(tableImage(item)))
		}
	}
	return found, nil
}

// insert is the record of a new item, as the stream function gets it.
func insert(image map[string]events.DynamoDBAttributeValue) events.DynamoDBEventRecord {
	return events.DynamoDBEventRecord{EventName: string(events.DynamoDBOperationTypeInsert),
		Change: events.DynamoDBStreamRecord{NewImage: image}}
}

// tableImage copies strings and numbers. Other types become null: a message has none
// of them, so its decoder refuses both.
func tableImage(in map[string]tabletypes.AttributeValue) map[string]events.DynamoDBAttributeValue {
	out := make(map[string]events.DynamoDBAttributeValue, len(in))
	for name, v := range in {
		switch v := v.(type) {
		case *tabletypes.AttributeValueMemberS:
			out[name] = events.NewStringAttribute(v.Value)
		case *tabletypes.AttributeValueMemberN:
			out[name] = events.NewNumberAttribute(v.Value)
		default:
			out[name] = events.NewNullAttribute()
		}
	}
	return out
}
