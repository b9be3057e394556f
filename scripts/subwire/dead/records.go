package dead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// source reads stream records again: from the stream for a day, and from its table after
// that.
type source struct {
	stream   streamReader
	table    dynamodb.ScanAPIClient
	mappings []topology.StreamMapping // of the product
	names    map[string]string        // physical names of the tables, by logical name
}

const (
	// A stream may answer with nothing although more follows. After emptyReads in a
	// row the record is considered missing; five reads per second are allowed
	// ("DynamoDB Streams" in the DynamoDB Developer Guide).
	emptyReads = 50
	emptyPause = 200 * time.Millisecond

	// A ULID has its creation time, a little before its record arrived; arrival times
	// have a resolution of one second.
	beforeArrival = 10 * time.Second
	afterArrival  = 2 * time.Second
)

var errNotInStream = errors.New("the stream does not have the records")

// mapping is the one that gave the records up; ok is false if the product has none such.
func (s source) mapping(r recordRange) (_ topology.StreamMapping, ok bool) {
	for _, m := range s.mappings {
		if strings.Contains(r.Stream, ":table/"+s.names[m.Table.Name]+"/") {
			return m, true
		}
	}
	return topology.StreamMapping{}, false
}

// records returns what the mapping moves of the range, in the stream's order, and whether
// it had to be read from the table. The table has no sequence numbers: then it is all
// rows of that time, by key.
func (s source) records(ctx context.Context, m topology.StreamMapping, r recordRange) (records []events.DynamoDBEventRecord, fromTable bool, err error) {
	records, err = s.fromStream(ctx, m, r)
	if err == nil || !trimmed(err) {
		return records, false, err
	}
	records, err = s.fromTable(ctx, m, r)
	return records, true, err
}

// trimmed reports whether the stream no longer has the records: they or the shard are
// older than a day, or the stream was replaced.
func trimmed(err error) bool {
	_, old := errors.AsType[*types.TrimmedDataAccessException](err)
	_, lost := errors.AsType[*types.ResourceNotFoundException](err)
	return old || lost || errors.Is(err, errNotInStream)
}

func (s source) fromStream(ctx context.Context, m topology.StreamMapping, r recordRange) ([]events.DynamoDBEventRecord, error) {
	out, err := s.stream.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: &r.Stream, ShardId: &r.Shard,
		ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: &r.Start})
	if err != nil {
		return nil, fmt.Errorf("get shard iterator: %w", err)
	}
	var moved []events.DynamoDBEventRecord
	for empty, iterator := 0, out.ShardIterator; iterator != nil; {
		page, err := s.stream.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			return nil, fmt.Errorf("get records: %w", err)
		}
		for _, record := range page.Records {
			order := compareSequence(aws.ToString(record.Dynamodb.SequenceNumber), r.End)
			if order <= 0 && esm.Moves(m, record) {
				moved = append(moved, esm.Record(record, r.Stream))
			}
			if order >= 0 {
				return moved, nil
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

// fromTable reads the whole table, as a row cannot be found by its time in another way.
// The cost grows with the table. It finds rows that are written once and whose sort key
// is a ULID; what others have been is known to their stream alone.
func (s source) fromTable(ctx context.Context, m topology.StreamMapping, r recordRange) ([]events.DynamoDBEventRecord, error) {
	if m.Table.Sort == "" || !slices.Equal(m.Events, []string{string(events.DynamoDBOperationTypeInsert)}) {
		return nil, nil
	}
	var from, to ulid.ULID
	if err := errors.Join(from.SetTime(ulid.Timestamp(r.First.Add(-beforeArrival))), to.SetTime(ulid.Timestamp(r.Last.Add(afterArrival)))); err != nil {
		return nil, fmt.Errorf("time of the records: %w", err)
	}
	var found []events.DynamoDBEventRecord
	pages := dynamodb.NewScanPaginator(s.table, &dynamodb.ScanInput{TableName: aws.String(s.names[m.Table.Name]), ConsistentRead: aws.Bool(true),
		FilterExpression:         aws.String("#sort BETWEEN :from AND :to"),
		ExpressionAttributeNames: map[string]string{"#sort": m.Table.Sort},
		ExpressionAttributeValues: map[string]tabletypes.AttributeValue{
			":from": &tabletypes.AttributeValueMemberS{Value: from.String()}, ":to": &tabletypes.AttributeValueMemberS{Value: to.String()}}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("scan %s: %w", m.Table.Name, err)
		}
		for _, item := range page.Items {
			found = append(found, insert(tableImage(item), r.Stream))
		}
	}
	return found, nil
}

// insert is the record of a new row, as the stream function gets it.
func insert(image map[string]events.DynamoDBAttributeValue, stream string) events.DynamoDBEventRecord {
	return events.DynamoDBEventRecord{EventName: string(events.DynamoDBOperationTypeInsert), EventSourceArn: stream,
		Change: events.DynamoDBStreamRecord{NewImage: image}}
}

// tableImage translates a row from the form of the table's API.
func tableImage(in map[string]tabletypes.AttributeValue) map[string]events.DynamoDBAttributeValue {
	out := make(map[string]events.DynamoDBAttributeValue, len(in))
	for name, v := range in {
		out[name] = tableValue(v)
	}
	return out
}

func tableValue(v tabletypes.AttributeValue) events.DynamoDBAttributeValue {
	switch v := v.(type) {
	case *tabletypes.AttributeValueMemberS:
		return events.NewStringAttribute(v.Value)
	case *tabletypes.AttributeValueMemberN:
		return events.NewNumberAttribute(v.Value)
	case *tabletypes.AttributeValueMemberB:
		return events.NewBinaryAttribute(v.Value)
	case *tabletypes.AttributeValueMemberBOOL:
		return events.NewBooleanAttribute(v.Value)
	case *tabletypes.AttributeValueMemberSS:
		return events.NewStringSetAttribute(v.Value)
	case *tabletypes.AttributeValueMemberNS:
		return events.NewNumberSetAttribute(v.Value)
	case *tabletypes.AttributeValueMemberBS:
		return events.NewBinarySetAttribute(v.Value)
	case *tabletypes.AttributeValueMemberM:
		return events.NewMapAttribute(tableImage(v.Value))
	case *tabletypes.AttributeValueMemberL:
		list := make([]events.DynamoDBAttributeValue, len(v.Value))
		for i, item := range v.Value {
			list[i] = tableValue(item)
		}
		return events.NewListAttribute(list)
	}
	return events.NewNullAttribute()
}
