package esm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/google/go-cmp/cmp"
)

// chatRecords returns n records, of 20 chats in turn.
func chatRecords(n int) (out []types.Record) {
	for i := range n {
		out = append(out, insertItem(i+1, fmt.Sprint("chat", i%20), strconv.Itoa(i)))
	}
	return out
}

// recorder is a function that notes the sequence numbers by chat.
type recorder struct {
	mu   sync.Mutex
	got  map[string][]int
	at   int
	most int // most concurrent invocations
}

func (r *recorder) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	var e events.DynamoDBEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at++
	r.most = max(r.most, r.at)
	for _, record := range e.Records {
		sequence, _ := strconv.Atoi(record.Change.SequenceNumber)
		chat := record.Change.Keys["chatId"].String()
		r.got[chat] = append(r.got[chat], sequence)
	}
	r.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	r.mu.Lock()
	r.at--
	return nil, nil
}

// check that every record of chatRecords(n) came once, in order.
func (r *recorder) check(t *testing.T, n int) {
	t.Helper()
	for chat, sequences := range r.got {
		if len(sequences) != n/20 || !slices.IsSorted(sequences) {
			t.Errorf("%s has %v, want %d in order", chat, sequences, n/20)
		}
	}
	if len(r.got) != 20 {
		t.Errorf("%d chats, want 20", len(r.got))
	}
}

func shards(t *testing.T, client StreamClient, file string) *Shards {
	t.Helper()
	s, err := NewShards(client, ShardsConfig{Key: "chatId", Count: 2, Most: 4, Life: 30, File: file})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestShardsKeepOrderAcrossSplits(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	tests := map[string]func(call string, n int) error{
		"without faults": nil,
		"every third call fails": func(_ string, n int) error {
			if n%3 == 0 {
				return lost
			}
			return nil
		},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				function := &recorder{got: map[string][]int{}}
				client := &fakeStream{page: 50, fault: fault, shards: []fakeShard{{id: "shardId-1", records: chatRecords(1000), open: true}}}
				several := shards(t, client, "")
				runFor(t, stream(several, nil, function), 10*time.Minute)
				function.check(t, 1000)
				if function.most < 2 || function.most > 4 {
					t.Errorf("%d shards were handled at once, want 2 to 4", function.most)
				}
				split, replaced := 0, 0
				for _, n := range several.nodes {
					children := slices.DeleteFunc(slices.Clone(several.nodes), func(c *node) bool { return c.Parent != n.ID })
					switch len(children) {
					case 1:
						replaced++
					case 2:
						split++
					}
				}
				if split != 2 || replaced < 10 {
					t.Errorf("%d shards were split and %d replaced, want 2 and more than 10", split, replaced)
				}
			})
		})
	}
}

func TestShardsFollowTheShardsOfTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records, function := chatRecords(200), &recorder{got: map[string][]int{}}
		client := &fakeStream{page: 10, shards: []fakeShard{{id: "shardId-1", records: records[:100]}}}
		go func() {
			time.Sleep(time.Minute)
			client.add(fakeShard{id: "shardId-2", parent: "shardId-1", records: records[100:], open: true})
		}()
		runFor(t, stream(shards(t, client, ""), nil, function), 5*time.Minute)
		function.check(t, 200)
	})
}

func TestShardsAreFoundAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records, function, dir := chatRecords(400), &recorder{got: map[string][]int{}}, t.TempDir()
		for _, n := range []int{140, 300, 400} { // records there in each run
			client := &fakeStream{page: 10, shards: []fakeShard{{id: "shardId-1", records: records[:n], open: true}}}
			checkpoints, err := OpenCheckpoints(filepath.Join(dir, "checkpoints.json"))
			if err != nil {
				t.Fatal(err)
			}
			s := stream(shards(t, client, filepath.Join(dir, "shards.json")), nil, function)
			s.Checkpoints = checkpoints
			runFor(t, s, time.Minute)
		}
		function.check(t, 400)
	})
}

// TestChildrenWait: while their parent fails, the children are not read.
func TestChildrenWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const outage = 5 * time.Minute
		begin, first := time.Now(), map[string]time.Duration{}
		var mu sync.Mutex // shards run side by side
		function := invokerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
			var e events.DynamoDBEvent
			if err := json.Unmarshal(payload, &e); err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range e.Records {
				if time.Since(begin) < outage && r.Change.SequenceNumber != "31" {
					return report(r.Change.SequenceNumber), nil
				}
				if _, seen := first[r.Change.SequenceNumber]; !seen {
					first[r.Change.SequenceNumber] = time.Since(begin)
				}
			}
			return nil, nil
		})
		client := &fakeStream{page: 50, shards: []fakeShard{{id: "shardId-1", records: inserts(31), open: true}}}
		s := stream(shards(t, client, ""), nil, function)
		s.Mapping.MaxRetries = 1000
		runFor(t, s, 10*time.Minute)
		if len(first) != 31 || first["31"] < outage {
			t.Errorf("%d records; the child's came after %v", len(first), first["31"])
		}
	})
}

// TestTheStreamsOwnShardsCanBeRead through Shards, as subwire dead does.
func TestTheStreamsOwnShardsCanBeRead(t *testing.T) {
	t.Parallel()
	client := shards(t, &fakeStream{page: 50, shards: []fakeShard{{id: "shardId-1", records: inserts(3)}}}, "")
	it, err := client.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{ShardId: aws.String(RealShard("shardId-1.4")),
		ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: aws.String("1")})
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: it.ShardIterator})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range out.Records {
		got = append(got, *r.Dynamodb.SequenceNumber)
	}
	if diff := cmp.Diff([]string{"2", "3"}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
