package esm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// calls turns a function of sequence numbers into an Invoker that remembers each call
// as "1 2 3", with its time.
type calls struct {
	mu       sync.Mutex
	made     []string
	at       []time.Time
	function func(sequences []string) ([]byte, error)
}

func (c *calls) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	var e events.DynamoDBEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	var sequences []string
	for _, r := range e.Records {
		sequences = append(sequences, r.Change.SequenceNumber)
	}
	c.mu.Lock()
	c.made, c.at = append(c.made, strings.Join(sequences, " ")), append(c.at, time.Now())
	c.mu.Unlock()
	if c.function == nil {
		return nil, nil
	}
	return c.function(sequences)
}

// stream returns a mapping of one lane over the fakes.
func stream(client StreamClient, destination Destination, invoker Invoker) *Stream {
	return &Stream{
		Mapping: topology.StreamMapping{Table: chattest.Table, Function: topology.Stream, Events: chattest.Table.Events, BatchSize: 100,
			Parallelization: 1, MaxRetries: 2, MaxAge: time.Hour},
		ARN: streamARN, OnFailureURL: "dead", Client: client, Destination: destination, Invoker: invoker, Log: silent(),
	}
}

// runFor runs s for d of a synctest bubble's time.
func runFor(t *testing.T, s *Stream, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	s.Run(ctx)
}

func TestStreamFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("Unhandled")
	// The functions below fail on record 3, for ever or n times.
	throws := func(sequences []string) ([]byte, error) {
		if slices.Contains(sequences, "3") {
			return nil, broken
		}
		return nil, nil
	}
	reports := func(sequences []string) ([]byte, error) {
		if slices.Contains(sequences, "3") {
			return report("3"), nil
		}
		return report(), nil
	}
	once := func(response []byte, err error) func([]string) ([]byte, error) {
		called := false
		return func([]string) ([]byte, error) {
			if called {
				return nil, nil
			}
			called = true
			return response, err
		}
	}
	tests := map[string]struct {
		function func([]string) ([]byte, error)
		bisect   bool
		retries  int
		want     []string
		givenUp  []string
	}{
		"success":                               {once(report(), nil), false, 2, []string{"1 2 3 4"}, nil},
		"an error fails the whole batch":        {once(nil, broken), false, 2, []string{"1 2 3 4", "1 2 3 4"}, nil},
		"a report is where it goes on":          {once(report("3"), nil), false, 2, []string{"1 2 3 4", "3 4"}, nil},
		"the lowest in a report counts":         {once(report("4", "2", "3"), nil), false, 2, []string{"1 2 3 4", "2 3 4"}, nil},
		"an empty identifier fails the whole":   {once(report(""), nil), false, 2, []string{"1 2 3 4", "1 2 3 4"}, nil},
		"an unknown identifier fails the whole": {once(report("3", "9"), nil), false, 2, []string{"1 2 3 4", "1 2 3 4"}, nil},
		"no JSON fails the whole":               {once([]byte("{"), nil), false, 2, []string{"1 2 3 4", "1 2 3 4"}, nil},
		"the whole batch is given up": {throws, false, 2,
			[]string{"1 2 3 4", "1 2 3 4", "1 2 3 4"}, []string{"1-4 (4) RetryAttemptsExhausted"}},
		"the rest of the batch is given up": {reports, false, 2,
			[]string{"1 2 3 4", "3 4", "3 4"}, []string{"3-4 (2) RetryAttemptsExhausted"}},
		"without retries it is given up at once": {reports, false, 0,
			[]string{"1 2 3 4"}, []string{"3-4 (2) RetryAttemptsExhausted"}},
		"bisect finds the record that throws": {throws, true, 2,
			[]string{"1 2 3 4", "1 2", "3 4", "3", "3", "3", "4"}, []string{"3-3 (1) RetryAttemptsExhausted"}},
		"bisect splits where the report says": {reports, true, 2,
			[]string{"1 2 3 4", "3 4", "3", "3", "3", "4"}, []string{"3-3 (1) RetryAttemptsExhausted"}},
		"a split is not a retry": {reports, true, 0,
			[]string{"1 2 3 4", "3 4", "3", "4"}, []string{"3-3 (1) RetryAttemptsExhausted"}},
		"bisect halves and goes on": {once(nil, broken), true, 2, []string{"1 2 3 4", "1 2", "3 4"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				function, dead := &calls{function: tt.function}, &fakeDestination{}
				s := stream(&fakeStream{page: 10, shards: []fakeShard{{id: "a", records: inserts(4), open: true}}}, dead, function)
				s.Mapping.Bisect, s.Mapping.MaxRetries = tt.bisect, tt.retries
				runFor(t, s, time.Minute)
				if diff := cmp.Diff(tt.want, function.made); diff != "" {
					t.Errorf("invocations (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.givenUp, dead.ranges(t)); diff != "" {
					t.Errorf("given up (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestStreamRetriesAfterGrowingPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		function := &calls{function: func([]string) ([]byte, error) { return nil, errors.New("Unhandled") }}
		s := stream(&fakeStream{page: 1, shards: []fakeShard{{id: "a", records: inserts(1)}}}, &fakeDestination{}, function)
		s.Mapping.MaxRetries, s.RetryPause = 5, time.Second
		runFor(t, s, time.Hour)
		var pauses []time.Duration
		for i := range len(function.at) - 1 {
			pauses = append(pauses, function.at[i+1].Sub(function.at[i]))
		}
		want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, maxPause}
		if diff := cmp.Diff(want, pauses); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
	})
}

func TestStreamGivesUpOldRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := inserts(3)
		time.Sleep(50 * time.Minute) // of the bubble's time
		records := append(old, insert(4, "lobby"))
		function, dead := &calls{}, &fakeDestination{}
		function.function = func(sequences []string) ([]byte, error) {
			if len(function.made) == 1 { // by then the first three are too old
				time.Sleep(20 * time.Minute)
				return report("2"), nil
			}
			return nil, nil
		}
		s := stream(&fakeStream{page: 10, shards: []fakeShard{{id: "a", records: records}}}, dead, function)
		runFor(t, s, time.Hour)
		if diff := cmp.Diff([]string{"1 2 3 4", "4"}, function.made); diff != "" {
			t.Errorf("invocations (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"2-3 (2) RecordAgeExceeded"}, dead.ranges(t)); diff != "" {
			t.Errorf("given up (-want +got):\n%s", diff)
		}
	})
}

func TestStreamTakesOnlyTheEventsOfItsMappingInFullBatches(t *testing.T) {
	t.Parallel()
	for events, want := range map[string][]string{"INSERT": {"1 3 4", "6 7"}, "INSERT REMOVE": {"1 3 4", "5 6 7"}, "MODIFY": {"2"}} {
		synctest.Test(t, func(t *testing.T) {
			records := inserts(7)
			records[1].EventName, records[4].EventName = types.OperationTypeModify, types.OperationTypeRemove
			function := &calls{}
			s := stream(&fakeStream{page: 10, shards: []fakeShard{{id: "a", records: records}}}, nil, function)
			s.Mapping.BatchSize, s.Mapping.Events = 3, strings.Fields(events)
			runFor(t, s, time.Minute)
			if diff := cmp.Diff(want, function.made); diff != "" {
				t.Errorf("invocations with %s (-want +got):\n%s", events, diff)
			}
		})
	}
}

// follow runs a mapping with the parallelization factor over records of chat and id,
// each named by its sequence number. It returns the sequence numbers in the order in
// which their invocations began, by chat and by item, and the most batches of one
// chat that ran at once.
func follow(t *testing.T, factor int, records []types.Record) (chats, items map[string][]int, most int) {
	t.Helper()
	var mu sync.Mutex
	chats, items = map[string][]int{}, map[string][]int{}
	running := map[string]int{}
	function := invokerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
		var e events.DynamoDBEvent
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		here := map[string]bool{}
		for _, r := range e.Records {
			sequence, _ := strconv.Atoi(r.Change.SequenceNumber)
			chat, id := r.Change.Keys["chatId"].String(), r.Change.Keys["id"].String()
			chats[chat] = append(chats[chat], sequence)
			items[chat+"/"+id] = append(items[chat+"/"+id], sequence)
			here[chat] = true
		}
		for chat := range here {
			running[chat]++
			most = max(most, running[chat])
		}
		mu.Unlock()
		time.Sleep(time.Duration(len(payload)) * time.Microsecond)
		mu.Lock()
		for chat := range here {
			running[chat]--
		}
		return nil, nil
	})
	s := stream(&fakeStream{page: 50, shards: []fakeShard{{id: "a", records: records}}}, nil, function)
	s.Mapping.Parallelization, s.Mapping.BatchSize = factor, 5
	runFor(t, s, time.Minute)
	return chats, items, most
}

// TestStreamKeepsOrderPerItem with a factor of 4, and per partition key only with a
// factor of 1: "Using AWS Lambda with Amazon DynamoDB" promises no more.
func TestStreamKeepsOrderPerItem(t *testing.T) {
	t.Parallel()
	var records []types.Record
	for i := range 300 { // each of 60 items five times
		records = append(records, insertItem(i+1, fmt.Sprint("chat", i%3), fmt.Sprint("id", i/3%20)))
	}
	for factor, concurrent := range map[int]bool{1: false, 4: true} {
		t.Run(fmt.Sprint(factor), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				chats, items, most := follow(t, factor, records)
				for item, sequences := range items {
					if len(sequences) != 5 || !slices.IsSorted(sequences) {
						t.Errorf("%s has %v, want 5 in order", item, sequences)
					}
				}
				if len(chats) != 3 || len(items) != 60 || (most > 1) != concurrent || most > factor {
					t.Errorf("%d chats, %d items, %d batches of one chat at once", len(chats), len(items), most)
				}
				for chat, sequences := range chats {
					if slices.IsSorted(sequences) == concurrent {
						t.Errorf("with a factor of %d, is %s in order? %v", factor, chat, concurrent)
					}
				}
			})
		})
	}
}

func TestStreamReadsParentsBeforeChildren(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		function := &calls{function: func(sequences []string) ([]byte, error) {
			time.Sleep(time.Second)
			return nil, nil
		}}
		client := &fakeStream{page: 10, shards: []fakeShard{
			{id: "child", parent: "parent", records: []types.Record{insert(2, "a")}, open: true},
			{id: "parent", parent: "forgotten", records: []types.Record{insert(1, "a")}},
		}}
		go func() {
			time.Sleep(20 * time.Second)
			client.add(fakeShard{id: "late", parent: "child", records: []types.Record{insert(4, "a")}, open: true})
			client.add(fakeShard{id: "other", records: []types.Record{insert(3, "a")}, open: true})
		}()
		runFor(t, stream(client, nil, function), time.Minute)
		// The child is still open, so its own child has to wait.
		if diff := cmp.Diff([]string{"1", "2", "3"}, function.made); diff != "" {
			t.Errorf("invocations (-want +got):\n%s", diff)
		}
	})
}

func TestStreamSurvivesFaultsOfTheServices(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	tests := map[string]func(call string, n int) error{
		"each call once": func(_ string, n int) error {
			if n == 1 {
				return lost
			}
			return nil
		},
		"every second read": func(call string, n int) error {
			if call == "GetRecords" && n%2 == 0 {
				return lost
			}
			return nil
		},
		"expired iterator": func(call string, n int) error {
			if call == "GetRecords" && n == 3 {
				return &types.ExpiredIteratorException{}
			}
			return nil
		},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				function := &calls{}
				client := &fakeStream{page: 1, fault: fault, shards: []fakeShard{{id: "a", records: inserts(5), open: true}}}
				runFor(t, stream(client, nil, function), time.Minute)
				got := strings.Join(function.made, " ")
				if want := "1 2 3 4 5"; got != want {
					t.Errorf("records are %s, want %s", got, want)
				}
			})
		})
	}
	t.Run("trimmed position", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			function := &calls{}
			client := &fakeStream{page: 1, shards: []fakeShard{{id: "a", records: inserts(3), open: true}}}
			client.fault = func(call string, n int) error {
				if call == "GetRecords" && n == 2 {
					client.shards[0].records = client.shards[0].records[2:] // 1 and 2 are gone
					return &types.TrimmedDataAccessException{}
				}
				return nil
			}
			runFor(t, stream(client, nil, function), time.Minute)
			if diff := cmp.Diff([]string{"1", "3"}, function.made); diff != "" {
				t.Errorf("invocations (-want +got):\n%s", diff)
			}
		})
	})
}

func TestStreamLosesNoRecordUnseen(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"not applied": false, "applied": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				function := &calls{function: func(sequences []string) ([]byte, error) {
					if sequences[0] == "1" {
						return report("1"), nil
					}
					return nil, nil
				}}
				dead := &fakeDestination{fault: func(n int) (bool, error) {
					if n <= 2 {
						return applied, errors.New("connection reset")
					}
					return false, nil
				}}
				s := stream(&fakeStream{page: 10, shards: []fakeShard{{id: "a", records: inserts(2)}}}, dead, function)
				s.Mapping.MaxRetries, s.Mapping.BatchSize = 0, 1
				runFor(t, s, time.Minute)
				told := dead.ranges(t)
				slices.Sort(told)
				if diff := cmp.Diff([]string{"1-1 (1) RetryAttemptsExhausted"}, slices.Compact(told)); diff != "" {
					t.Errorf("given up (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"1", "2"}, function.made); diff != "" {
					t.Errorf("invocations (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestStreamEndsDuringInvocation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dead := &fakeDestination{}
		function := invokerFunc(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		s := stream(&fakeStream{page: 10, shards: []fakeShard{{id: "a", records: inserts(500), open: true}}}, dead, function)
		s.Mapping.MaxRetries, s.Mapping.Parallelization = 0, 10
		runFor(t, s, time.Minute)
		if len(dead.told) != 0 {
			t.Errorf("%d batches were given up because Run ended", len(dead.told))
		}
	})
}

// TestInvocationRecord of a shard made by Shards: it names the stream's own shard.
func TestInvocationRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		function, dead := &calls{function: func([]string) ([]byte, error) { return nil, errors.New("Unhandled") }}, &fakeDestination{}
		s := stream(&fakeStream{page: 10, shards: []fakeShard{{id: "shardId-1.7", records: inserts(2)}}}, dead, function)
		s.Mapping.MaxRetries, s.RetryPause = 1, 1500*time.Millisecond
		runFor(t, s, time.Minute)
		const want = `{
			"requestContext": {"functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:stream",
				"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 2},
			"responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
			"version": "1.0", "timestamp": "2000-01-01T00:00:01.500Z",
			"DDBStreamBatchInfo": {"shardId": "shardId-1", "startSequenceNumber": "1", "endSequenceNumber": "2",
				"approximateArrivalOfFirstRecord": "2000-01-01T00:00:00Z", "approximateArrivalOfLastRecord": "2000-01-01T00:00:00Z",
				"batchSize": 2, "streamArn": "` + streamARN + `"}}`
		if len(dead.told) != 1 {
			t.Fatalf("destination was told %v", dead.told)
		}
		compareJSON(t, want, dead.told[0])
	})
}

func compareJSON(t *testing.T, want, got string) {
	t.Helper()
	var w, g any
	if err := errors.Join(json.Unmarshal([]byte(want), &w), json.Unmarshal([]byte(got), &g)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestRecordHasTheShapeOfAWS(t *testing.T) {
	t.Parallel()
	r := insert(7, "lobby")
	r.Dynamodb.ApproximateCreationDateTime = aws.Time(time.Unix(1480642020, 999e6))
	maps.Copy(r.Dynamodb.NewImage, map[string]types.AttributeValue{
		"n":    &types.AttributeValueMemberN{Value: "3.14"},
		"b":    &types.AttributeValueMemberB{Value: []byte("test")},
		"bool": &types.AttributeValueMemberBOOL{Value: true},
		"null": &types.AttributeValueMemberNULL{Value: true},
		"ss":   &types.AttributeValueMemberSS{Value: []string{"a"}},
		"ns":   &types.AttributeValueMemberNS{Value: []string{"1"}},
		"bs":   &types.AttributeValueMemberBS{Value: [][]byte{[]byte("test")}},
		"l":    &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberS{Value: "x"}}},
		"m":    &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"x": &types.AttributeValueMemberN{Value: "1"}}},
	})
	rec, err := newRecord(r, streamARN)
	if err != nil {
		t.Fatal(err)
	}
	compareJSON(t, `{"Records": [{
		"eventID": "event-7", "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "eu-central-1",
		"dynamodb": {
			"ApproximateCreationDateTime": 1480642020, "Keys": {"chatId": {"S": "lobby"}},
			"NewImage": {"chatId": {"S": "lobby"}, "n": {"N": "3.14"}, "b": {"B": "dGVzdA=="}, "bool": {"BOOL": true}, "null": {"NULL": true},
				"ss": {"SS": ["a"]}, "ns": {"NS": ["1"]}, "bs": {"BS": ["dGVzdA=="]}, "l": {"L": [{"S": "x"}]}, "m": {"M": {"x": {"N": "1"}}}},
			"SequenceNumber": "7", "SizeBytes": 9, "StreamViewType": "NEW_IMAGE"},
		"eventSourceARN": "`+streamARN+`"}]}`, string(event([]record{rec})))
}

func TestFit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		bytes []int
		size  int
		want  int
	}{
		"all":                     {[]int{1, 1, 1}, 10, 3},
		"by number":               {[]int{1, 1, 1}, 2, 2},
		"by bytes":                {[]int{3 << 20, 3<<20 - 100, 100}, 10, 2},
		"two of 3 MB are more":    {[]int{3 << 20, 3 << 20}, 10, 1},
		"one too large by itself": {[]int{7 << 20, 1}, 10, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var records []record
			for _, n := range tt.bytes {
				records = append(records, record{json: make([]byte, n)})
			}
			got := fit(records, tt.size)
			if got != tt.want {
				t.Errorf("%d fit, want %d", got, tt.want)
			}
			if n := len(event(records[:got])); got > 1 && n > maxPayload {
				t.Errorf("payload has %d bytes", n)
			}
		})
	}
}

// "Using event filtering with a DynamoDB event source": a filter may look at keys.
func TestWhatAMappingMoves(t *testing.T) {
	t.Parallel()
	m := topology.StreamMapping{Table: topology.Table{Key: "topic"}, Events: []string{"INSERT"}, Prefix: "present/"}
	for name, tc := range map[string]struct {
		event  types.OperationType
		topic  types.AttributeValue
		prefix string
		want   bool
	}{
		"Prefix":      {types.OperationTypeInsert, &types.AttributeValueMemberS{Value: "present/a"}, m.Prefix, true},
		"OtherEvent":  {types.OperationTypeRemove, &types.AttributeValueMemberS{Value: "present/a"}, m.Prefix, false},
		"OtherPrefix": {types.OperationTypeInsert, &types.AttributeValueMemberS{Value: "newMessage/present/"}, m.Prefix, false},
		"NoText":      {types.OperationTypeInsert, &types.AttributeValueMemberN{Value: "1"}, m.Prefix, false},
		"NoKey":       {types.OperationTypeInsert, nil, m.Prefix, false},
		"NoPrefix":    {types.OperationTypeInsert, nil, "", true},
	} {
		record := types.Record{EventName: tc.event, Dynamodb: &types.StreamRecord{Keys: map[string]types.AttributeValue{"topic": tc.topic}}}
		m.Prefix = tc.prefix
		if got := Moves(m, record); got != tc.want {
			t.Errorf("%s: moves it: %t", name, got)
		}
	}
}
