package esm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

const streamARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/messages/stream/2026-01-01T00:00:00.000"

// fakeShard is a shard of a fakeStream; its records are numbered from 1.
type fakeShard struct {
	id, parent string
	records    []types.Record
	open       bool
}

// fakeStream is a stream with page records per page. It implements the three calls of
// StreamClient; fault may fail any of them.
type fakeStream struct {
	mu     sync.Mutex
	shards []fakeShard
	page   int
	calls  map[string]int
	fault  func(call string, n int) error
}

func (f *fakeStream) call(name string) error {
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[name]++
	if f.fault == nil {
		return nil
	}
	return f.fault(name, f.calls[name])
}

func (f *fakeStream) add(s fakeShard) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shards = append(f.shards, s)
}

// DescribeStream returns one shard at a time.
func (f *fakeStream) DescribeStream(_ context.Context, in *dynamodbstreams.DescribeStreamInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("DescribeStream"); err != nil {
		return nil, err
	}
	i := 0
	if in.ExclusiveStartShardId != nil {
		i = 1 + slices.IndexFunc(f.shards, func(s fakeShard) bool { return s.id == *in.ExclusiveStartShardId })
	}
	d := &types.StreamDescription{}
	if i < len(f.shards) {
		s := f.shards[i]
		d.Shards = []types.Shard{{ShardId: &s.id}}
		if s.parent != "" {
			d.Shards[0].ParentShardId = &s.parent
		}
		if i+1 < len(f.shards) {
			d.LastEvaluatedShardId = &s.id
		}
	}
	return &dynamodbstreams.DescribeStreamOutput{StreamDescription: d}, nil
}

func (f *fakeStream) GetShardIterator(_ context.Context, in *dynamodbstreams.GetShardIteratorInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("GetShardIterator"); err != nil {
		return nil, err
	}
	position := 0
	if in.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber {
		s := f.shard(*in.ShardId)
		position = 1 + slices.IndexFunc(s.records, func(r types.Record) bool { return *r.Dynamodb.SequenceNumber == *in.SequenceNumber })
	}
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: iterator(*in.ShardId, position)}, nil
}

func (f *fakeStream) GetRecords(_ context.Context, in *dynamodbstreams.GetRecordsInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("GetRecords"); err != nil {
		return nil, err
	}
	id, number, _ := strings.Cut(*in.ShardIterator, "@")
	from, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	s := f.shard(id)
	to := min(from+max(f.page, 1), len(s.records))
	out := &dynamodbstreams.GetRecordsOutput{Records: s.records[from:to]}
	if s.open || to < len(s.records) {
		out.NextShardIterator = iterator(id, to)
	}
	return out, nil
}

func (f *fakeStream) shard(id string) fakeShard {
	return f.shards[slices.IndexFunc(f.shards, func(s fakeShard) bool { return s.id == id })]
}

func iterator(shard string, position int) *string {
	return aws.String(fmt.Sprintf("%s@%d", shard, position))
}

// fakeDestination remembers what it received. fault may fail a call, with or without effect.
type fakeDestination struct {
	told  []string
	calls int
	fault func(n int) (applied bool, err error)
}

func (f *fakeDestination) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	f.calls++
	if f.fault != nil {
		if applied, err := f.fault(f.calls); err != nil {
			if applied {
				f.told = append(f.told, *in.MessageBody)
			}
			return nil, err
		}
	}
	f.told = append(f.told, *in.MessageBody)
	return &sqs.SendMessageOutput{}, nil
}

// ranges returns the sequence numbers of what was given up.
func (f *fakeDestination) ranges(t *testing.T) (out []string) {
	t.Helper()
	for _, body := range f.told {
		var told struct {
			RequestContext     struct{ Condition string }
			DDBStreamBatchInfo struct {
				StartSequenceNumber, EndSequenceNumber string
				BatchSize                              int
			}
		}
		if err := json.Unmarshal([]byte(body), &told); err != nil {
			t.Fatal(err)
		}
		b := told.DDBStreamBatchInfo
		out = append(out, fmt.Sprintf("%s-%s (%d) %s", b.StartSequenceNumber, b.EndSequenceNumber, b.BatchSize, told.RequestContext.Condition))
	}
	return out
}

// insert is a record of a chat, which is the partition key.
func insert(sequence int, chat string) types.Record {
	return types.Record{
		AwsRegion: aws.String("eu-central-1"), EventID: aws.String("event-" + strconv.Itoa(sequence)), EventName: types.OperationTypeInsert,
		EventSource: aws.String("aws:dynamodb"), EventVersion: aws.String("1.1"),
		Dynamodb: &types.StreamRecord{
			ApproximateCreationDateTime: aws.Time(time.Now()),
			Keys:                        map[string]types.AttributeValue{"chatId": &types.AttributeValueMemberS{Value: chat}},
			NewImage:                    map[string]types.AttributeValue{"chatId": &types.AttributeValueMemberS{Value: chat}},
			SequenceNumber:              aws.String(strconv.Itoa(sequence)), SizeBytes: aws.Int64(9), StreamViewType: types.StreamViewTypeNewImage,
		},
	}
}

// insertItem is insert with a sort key.
func insertItem(sequence int, chat, id string) types.Record {
	r := insert(sequence, chat)
	r.Dynamodb.Keys["id"] = &types.AttributeValueMemberS{Value: id}
	return r
}

// inserts are records from 1 to n of one chat.
func inserts(n int) (out []types.Record) {
	for i := range n {
		out = append(out, insert(i+1, "lobby"))
	}
	return out
}
