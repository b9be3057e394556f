package dead

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	tabletypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// fakeStream has pages of records, and errors that replace them.
type fakeStream struct {
	pages    [][]types.Record
	iterator error
	records  error
	open     bool // the shard continues after the pages
	reads    int
	from     *dynamodbstreams.GetShardIteratorInput
}

func (f *fakeStream) GetShardIterator(_ context.Context, in *dynamodbstreams.GetShardIteratorInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	f.from, f.reads = in, 0
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: aws.String("i")}, f.iterator
}

func (f *fakeStream) GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	if f.records != nil {
		return nil, f.records
	}
	out := &dynamodbstreams.GetRecordsOutput{}
	if f.reads < len(f.pages) {
		out.Records = f.pages[f.reads]
	}
	if f.reads++; f.open || f.reads < len(f.pages) {
		out.NextShardIterator = aws.String("i")
	}
	return out, nil
}

// record is the insert of a message, or of an invalid one if content is "".
func record(sequence, chat, id, content string) types.Record {
	image := map[string]types.AttributeValue{"chatId": &types.AttributeValueMemberS{Value: chat}, "id": &types.AttributeValueMemberS{Value: id},
		"content": &types.AttributeValueMemberS{Value: content}, "senderName": &types.AttributeValueMemberS{Value: "Ada"},
		"createdAt": &types.AttributeValueMemberN{Value: "1"}}
	if content == "" {
		image["content"] = &types.AttributeValueMemberBOOL{}
	}
	return types.Record{EventName: types.OperationTypeInsert, Dynamodb: &types.StreamRecord{SequenceNumber: &sequence, NewImage: image}}
}

// fakeScan has the messages of a table, on two pages.
type fakeScan struct {
	items []map[string]tabletypes.AttributeValue
	in    *dynamodb.ScanInput
	err   error
}

func (f *fakeScan) Scan(_ context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	f.in = in
	if f.err != nil {
		return nil, f.err
	}
	if in.ExclusiveStartKey == nil {
		return &dynamodb.ScanOutput{LastEvaluatedKey: map[string]tabletypes.AttributeValue{"id": nil}}, nil
	}
	return &dynamodb.ScanOutput{Items: f.items}, nil
}

// stored is record as an item of the table.
func stored(chat, id string) map[string]tabletypes.AttributeValue {
	item := map[string]tabletypes.AttributeValue{"createdAt": &tabletypes.AttributeValueMemberN{Value: "1"}}
	for name, value := range map[string]string{"chatId": chat, "id": id, "content": "hi", "senderName": "Ada"} {
		item[name] = &tabletypes.AttributeValueMemberS{Value: value}
	}
	return item
}

// streamTool is a tool with one dead letter of records 100 to 105; a listens to the
// lobby twice and c to the hall.
func streamTool(stream *fakeStream, table *fakeScan) (*tool, *fakeSQS, *strings.Builder) {
	f := newFake()
	f.put("stream-dead", held{body: invocationRecord})
	tool, out := newTestTool(f, connected())
	tool.packer.records = source{stream, table, chattest.Product.StreamMappings(), map[string]string{"messages": "dev-messages"}}
	tool.packer.subscriptions = topics{
		"newMessage/lobby": {{ConnectionID: "a", OperationID: "1", OperationKey: "k"}, {ConnectionID: "a", OperationID: "2", OperationKey: "k"}},
		"newMessage/hall":  {{ConnectionID: "c", OperationID: "1", OperationKey: "k"}},
	}
	return tool, f, out
}

func TestStreamRecordsArePlannedAgain(t *testing.T) {
	t.Parallel()
	removal := record("101", "lobby", "x", "bye")
	removal.EventName = types.OperationTypeRemove
	whole := [][]types.Record{{record("100", "lobby", "A", "hi")}, {}, {removal, record("103", "hall", "B", "hi")},
		{record("105", "empty", "C", "hi"), record("106", "lobby", "D", "later")}}
	trimmed := &types.TrimmedDataAccessException{}
	for name, tt := range map[string]struct {
		stream fakeStream
		table  fakeScan
		topic  string
		err    error
		want   []string // events sent, by the topic's group
		stays  string
	}{
		"FromTheStream":          {stream: fakeStream{pages: whole, open: true}, want: []string{"A", "B"}},
		"FromTheTableWhenOld":    {stream: fakeStream{iterator: trimmed}, table: fakeScan{items: []map[string]tabletypes.AttributeValue{stored("lobby", "A"), stored("hall", "B")}}, want: []string{"A", "B"}},
		"TrimmedMeanwhile":       {stream: fakeStream{records: trimmed}, table: fakeScan{items: []map[string]tabletypes.AttributeValue{stored("lobby", "A")}}, want: []string{"A"}},
		"ItsShardIsGone":         {stream: fakeStream{iterator: &types.ResourceNotFoundException{}}, table: fakeScan{items: []map[string]tabletypes.AttributeValue{stored("lobby", "A")}}, want: []string{"A"}},
		"TheStreamHasOthersOnly": {stream: fakeStream{pages: [][]types.Record{{record("90", "lobby", "Z", "hi")}}}, table: fakeScan{items: []map[string]tabletypes.AttributeValue{stored("lobby", "A")}}, want: []string{"A"}},
		"TheEndIsNoMore":         {stream: fakeStream{pages: [][]types.Record{{record("100", "lobby", "A", "hi"), record("106", "lobby", "D", "later")}}}, want: []string{"A"}},
		"NobodyListens":          {stream: fakeStream{pages: [][]types.Record{{record("105", "empty", "C", "hi")}}}},
		"StillUndecodable": {stream: fakeStream{pages: [][]types.Record{{record("100", "lobby", "A", "hi"), record("105", "lobby", "B", "")}}},
			err: errRemain, want: []string{"A"}, stays: "stream record cannot be decoded: decode row:"},
		"OneTopicOfTwo": {stream: fakeStream{pages: whole, open: true}, topic: "newMessage/hall", err: errRemain, want: []string{"B"}, stays: "it has events of other topics"},
		"TooLarge": {stream: fakeStream{pages: [][]types.Record{{record("105", "lobby", "A", strings.Repeat("x", 60_000))}}},
			err: errRemain, stays: "event is too large"},
		"NotFoundAnywhere":  {stream: fakeStream{iterator: trimmed}, err: errRemain, stays: "neither the stream nor its table"},
		"TheStreamIsBroken": {stream: fakeStream{iterator: errBroken}, err: errBroken, stays: ""},
		"TheTableIsBroken":  {stream: fakeStream{iterator: trimmed}, table: fakeScan{err: errBroken}, err: errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tool, f, out := streamTool(&tt.stream, &tt.table)
			send(t, tool, options{queue: "stream-dead", topic: tt.topic, yes: true}, tt.err)
			if diff := cmp.Diff(tt.want, f.events(t, topology.Fanout.Name)); diff != "" {
				t.Errorf("events sent (-want +got):\n%s", diff)
			}
			if n := len(f.queues["stream-dead"]); (n == 0) != (tt.err == nil) {
				t.Errorf("%d dead letters are left", n)
			}
			if !strings.Contains(out.String(), tt.stays) {
				t.Errorf("it says %s", out)
			}
		})
	}
}

func TestAStreamsLetterSentTwiceIsSuppressed(t *testing.T) {
	t.Parallel()
	stream := &fakeStream{pages: [][]types.Record{{record("100", "lobby", "A", "hi"), record("105", "lobby", "B", "hi")}}}
	tool, f, _ := streamTool(stream, nil)
	f.fault = func(o string, n int) (bool, error) {
		if o == "delete" && n == 1 {
			return false, errBroken
		}
		return true, nil
	}
	send(t, tool, options{queue: "stream-dead", yes: true}, errBroken)
	send(t, tool, options{queue: "stream-dead", yes: true}, nil)
	got := f.batches(t, topology.Fanout.Name)
	if len(got) != 2 || len(f.queues["stream-dead"]) != 0 {
		t.Errorf("%d batches sent, %d letters left", len(got), len(f.queues["stream-dead"]))
	}
	if in := stream.from; *in.ShardId != "shard-1" || *in.SequenceNumber != "100" || *in.StreamArn != streamARN || in.ShardIteratorType != types.ShardIteratorTypeAtSequenceNumber {
		t.Errorf("asked for %+v", in)
	}
}

func TestADryRunTellsWhereRecordsAreReadFrom(t *testing.T) {
	t.Parallel()
	table := &fakeScan{items: []map[string]tabletypes.AttributeValue{stored("lobby", "A")}}
	tool, f, out := streamTool(&fakeStream{iterator: &types.TrimmedDataAccessException{}}, table)
	send(t, tool, options{queue: "stream-dead"}, nil)
	want := "would send stream-dead, records 100 to 105 to fanout.fifo (1 event of that time in its table, as the stream has them no longer, 2 targets)\n"
	if !strings.HasPrefix(out.String(), want) || len(f.queues[topology.Fanout.Name]) > 0 {
		t.Errorf("it says %s", out)
	}
	for name, want := range map[string]string{":from": "2026-11-14T00:37:50Z", ":to": "2026-11-14T00:38:07Z"} {
		id, err := ulid.ParseStrict(table.in.ExpressionAttributeValues[name].(*tabletypes.AttributeValueMemberS).Value)
		if got := ulid.Time(id.Time()).UTC().Format(time.RFC3339); err != nil || got != want || id.Entropy()[0] != 0 {
			t.Errorf("scans %s %s, %v; want %s", name, got, err, want)
		}
	}
}

func TestAStreamThatStaysSilentIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stream := &fakeStream{open: true}
		start := time.Now()
		_, err := source{stream: stream}.fromStream(t.Context(), topology.StreamMapping{}, recordRange{Start: "1", End: "2"})
		if !errors.Is(err, errNotInStream) || stream.reads != emptyReads || time.Since(start) != (emptyReads-1)*emptyPause {
			t.Errorf("after %d reads, %s: %v", stream.reads, time.Since(start), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := (source{stream: stream}).fromStream(ctx, topology.StreamMapping{}, recordRange{}); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

func TestCompareSequence(t *testing.T) {
	t.Parallel()
	for pair, want := range map[[2]string]int{
		{"9", "10"}: -1, {"10", "9"}: 1, {"010", "10"}: 0, {"000000000000000000030", "31"}: -1,
		{"49590338271490256608559692540925702759324208523137515618", "49590338271490256608559692540925702759324208523137515619"}: -1,
	} {
		if got := compareSequence(pair[0], pair[1]); got != want {
			t.Errorf("%v: %d, want %d", pair, got, want)
		}
	}
}
