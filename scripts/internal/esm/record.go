package esm

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// record is a stream record on its way to the function.
type record struct {
	sequence string
	at       time.Time // when it entered the stream, to the second
	json     []byte    // its element of the event's Records
	hash     uint32    // of its item's key: partition and sort key
	read     time.Time // when it was read: DynamoDB Local's streams tell at only to the minute
}

// Record translates a stream record from the form of the stream's API to that of a
// function's input.
func Record(r types.Record, streamARN string) events.DynamoDBEventRecord {
	change := events.DynamoDBStreamRecord{
		ApproximateCreationDateTime: events.SecondsEpochTime{Time: aws.ToTime(r.Dynamodb.ApproximateCreationDateTime).Truncate(time.Second)},
		Keys:                        attributes(r.Dynamodb.Keys),
		NewImage:                    attributes(r.Dynamodb.NewImage),
		OldImage:                    attributes(r.Dynamodb.OldImage),
		SequenceNumber:              aws.ToString(r.Dynamodb.SequenceNumber),
		SizeBytes:                   aws.ToInt64(r.Dynamodb.SizeBytes),
		StreamViewType:              string(r.Dynamodb.StreamViewType),
	}
	return events.DynamoDBEventRecord{
		AWSRegion:      aws.ToString(r.AwsRegion),
		Change:         change,
		EventID:        aws.ToString(r.EventID),
		EventName:      string(r.EventName),
		EventSource:    aws.ToString(r.EventSource),
		EventVersion:   aws.ToString(r.EventVersion),
		EventSourceArn: streamARN,
	}
}

// newRecord encodes r as an element of a function's input.
func newRecord(r types.Record, streamARN string) (record, error) {
	translated := Record(r, streamARN)
	change := translated.Change
	encoded, err := json.Marshal(translated)
	if err != nil {
		return record{}, fmt.Errorf("encode record %s: %w", change.SequenceNumber, err)
	}
	hash, err := hashOf(change.Keys)
	if err != nil {
		return record{}, fmt.Errorf("encode key of record %s: %w", change.SequenceNumber, err)
	}
	return record{change.SequenceNumber, change.ApproximateCreationDateTime.Time, encoded, hash, time.Now()}, nil
}

// hashOf is equal for equal keys.
func hashOf(key map[string]events.DynamoDBAttributeValue) (uint32, error) {
	encoded, err := json.Marshal(key) // maps are encoded in the order of their names
	if err != nil {
		return 0, err
	}
	h := fnv.New32a()
	h.Write(encoded)
	return h.Sum32(), nil
}

func event(records []record) []byte {
	payload := []byte(eventHead)
	for i, r := range records {
		if i > 0 {
			payload = append(payload, ',')
		}
		payload = append(payload, r.json...)
	}
	return append(payload, eventTail...)
}

const (
	eventHead = `{"Records":[`
	eventTail = `]}`
)

// fit returns how many records, from the first, make one batch: at most size, and at
// most what one invocation may carry.
func fit(records []record, size int) int {
	bytes := len(eventHead) + len(eventTail)
	for i, r := range records[:min(size, len(records))] {
		if bytes += len(r.json) + 1; bytes > maxPayload && i > 0 {
			return i
		}
	}
	return min(size, len(records))
}

// attributes translates an item likewise.
func attributes(in map[string]types.AttributeValue) map[string]events.DynamoDBAttributeValue {
	out := make(map[string]events.DynamoDBAttributeValue, len(in))
	for name, v := range in {
		out[name] = attribute(v)
	}
	return out
}

func attribute(v types.AttributeValue) events.DynamoDBAttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return events.NewStringAttribute(v.Value)
	case *types.AttributeValueMemberN:
		return events.NewNumberAttribute(v.Value)
	case *types.AttributeValueMemberB:
		return events.NewBinaryAttribute(v.Value)
	case *types.AttributeValueMemberBOOL:
		return events.NewBooleanAttribute(v.Value)
	case *types.AttributeValueMemberSS:
		return events.NewStringSetAttribute(v.Value)
	case *types.AttributeValueMemberNS:
		return events.NewNumberSetAttribute(v.Value)
	case *types.AttributeValueMemberBS:
		return events.NewBinarySetAttribute(v.Value)
	case *types.AttributeValueMemberM:
		return events.NewMapAttribute(attributes(v.Value))
	case *types.AttributeValueMemberL:
		list := make([]events.DynamoDBAttributeValue, len(v.Value))
		for i, e := range v.Value {
			list[i] = attribute(e)
		}
		return events.NewListAttribute(list)
	default: // NULL
		return events.NewNullAttribute()
	}
}
