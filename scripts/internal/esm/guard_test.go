package esm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/lambdart"
	"subwire/scripts/internal/lineage"
	"subwire/shared/topology"
)

func TestQueueIsThrottled(t *testing.T) {
	t.Parallel()
	throttled := fmt.Errorf("invoke sender: %w", lambdart.ErrThrottled)
	tests := map[string]struct {
		times    int      // that the function is throttled
		receives []string // receive counts with which the function was finally reached
		calls    int
	}{
		"for a while: tried again within the visibility": {4, []string{"1"}, 5},
		"for longer: the message comes back":             {7, []string{"2"}, 8},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, calls, receives := fill("a"), 0, []string(nil)
				q := &Queue{Mapping: topology.QueueMapping{Queue: topology.Queue{Name: "q", Visibility: visibility}, BatchSize: 10, MaxConcurrency: 1},
					URL: "url", ARN: queueARN, Client: client, Log: silent()}
				q.Invoker = invokerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
					var e events.SQSEvent
					if err := json.Unmarshal(payload, &e); err != nil {
						return nil, err
					}
					if calls++; calls <= tt.times {
						return nil, throttled
					}
					receives = append(receives, e.Records[0].Attributes["ApproximateReceiveCount"])
					return nil, nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				q.Run(ctx)
				if diff := cmp.Diff(tt.receives, receives); diff != "" || calls != tt.calls || len(client.left()) > 0 {
					t.Errorf("%d calls, left %v, receive counts (-want +got):\n%s", calls, client.left(), diff)
				}
			})
		})
	}
}

func TestStreamIsThrottledUntilItsRecordsAreTooOld(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		times   int
		want    []string
		givenUp []string
	}{
		"more often than it may retry": {20, []string{"1 2"}, nil},
		"for more than an hour":        {1000, nil, []string{"1-2 (2) RecordAgeExceeded"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dead, calls, done := &fakeDestination{}, 0, &calls{}
				function := invokerFunc(func(ctx context.Context, payload []byte) ([]byte, error) {
					if calls++; calls <= tt.times {
						return nil, lambdart.ErrThrottled
					}
					return done.Invoke(ctx, payload)
				})
				s := stream(&fakeStream{page: 10, shards: []fakeShard{{id: "a", records: inserts(2)}}}, dead, function)
				s.Mapping.MaxRetries, s.Mapping.Bisect = 2, true
				runFor(t, s, 2*time.Hour)
				if diff := cmp.Diff(tt.want, done.made); diff != "" {
					t.Errorf("invocations (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.givenUp, dead.ranges(t)); diff != "" {
					t.Errorf("given up (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// loop is a function that sends each message on several times, as sender does with a
// target that stays busy, and a queue that keeps headers.
type loop struct {
	*fakeQueue
	dead []string

	mu      sync.Mutex
	rounds  map[string]int // by body
	longest int            // longest chain of invocations
	most    int            // most times that a message is sent on
}

func (l *loop) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	l.dead = append(l.dead, *in.MessageBody)
	return &sqs.SendMessageOutput{}, nil
}

func (l *loop) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	n := lineage.Of(ctx)
	for _, body := range bodies(payload) {
		l.mu.Lock()
		l.longest = max(l.longest, n)
		l.rounds[body]++
		again := l.rounds[body] <= l.most
		l.mu.Unlock()
		if again {
			l.send(body, n)
		}
	}
	return nil, nil
}

// send queues the body, as the n-th invocation of a chain does. It arrives after a
// second, together with others, ordered by number.
func (l *loop) send(body string, n int) {
	time.AfterFunc(time.Second+time.Duration(body[1]-'0')*time.Millisecond, func() {
		l.fakeQueue.mu.Lock()
		defer l.fakeQueue.mu.Unlock()
		l.messages = append(l.messages, &fakeMessage{body: body, header: lineage.Header("Root=1-0", n)})
	})
}

// TestTheRecursionGuardCutsBoundedLoops: in mixed batches, each message goes round
// eight times, but one that was sent late takes over the count of those it meets. A
// function that allows loops is not cut.
func TestTheRecursionGuardCutsBoundedLoops(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		allowed, off bool
		reading      lineage.Reading
		cut          bool
	}{
		"guarded":               {cut: true},
		"allowed":               {allowed: true},
		"off":                   {off: true},
		"by the first message":  {reading: lineage.First, cut: true},
		"first one and allowed": {allowed: true, reading: lineage.First},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &loop{fakeQueue: fill(), rounds: map[string]int{}, most: 8}
				q := &Queue{Mapping: topology.QueueMapping{Queue: topology.Queue{Name: "retries", Visibility: visibility}, BatchSize: 10, MaxConcurrency: 1},
					URL: "url", ARN: queueARN, Client: l, Invoker: l, Log: silent(), DeadLettersURL: "dead", DeadLetters: l,
					Reading: tt.reading, Unguarded: tt.off}
				q.Mapping.Function.AllowLoops = tt.allowed
				for i := range 8 { // each arrives in the middle of its predecessor's rounds
					time.AfterFunc(time.Duration(i)*5*time.Second, func() { l.send(fmt.Sprint("m", i), 1) })
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				q.Run(ctx)
				if cut := len(l.dead) > 0; cut != tt.cut {
					t.Errorf("dead letters are %v, want some: %v; the longest chain has %d invocations", l.dead, tt.cut, l.longest)
				}
				if tt.cut && l.longest != lineage.Limit-1 {
					t.Errorf("the longest chain has %d invocations, want %d", l.longest, lineage.Limit-1)
				}
				if left := l.left(); len(left) > 0 {
					t.Errorf("left in the queue: %v", left)
				}
			})
		})
	}
}

func TestWhatTheGuardStops(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		deadLetters string
		fault       func(n int) (bool, error)
		told, left  []string
	}{
		"goes to the dead letters":           {"dead", nil, []string{"a", "b"}, nil},
		"or is gone":                         {"", nil, nil, nil},
		"and stays when these cannot be had": {"dead", func(int) (bool, error) { return false, errors.New("connection reset") }, nil, []string{"a", "b"}},
		"also those that were told":          {"dead", func(n int) (bool, error) { return true, errors.New("connection reset") }, []string{"a"}, []string{"a", "b"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, dead := fill("a", "b"), &fakeDestination{fault: tt.fault}
				for _, m := range client.messages {
					m.header = lineage.Header("Root=1-0", lineage.Limit-1)
				}
				q := &Queue{Mapping: topology.QueueMapping{Queue: topology.Queue{Name: "q", Visibility: visibility}, BatchSize: 10, MaxConcurrency: 1},
					URL: "url", ARN: queueARN, Client: client, Log: silent(), DeadLettersURL: tt.deadLetters, DeadLetters: dead}
				q.Invoker = invokerFunc(func(context.Context, []byte) ([]byte, error) {
					t.Error("invoked")
					return nil, nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), visibility/2)
				defer cancel()
				q.Run(ctx)
				if diff := cmp.Diff(tt.told, dead.told) + cmp.Diff(tt.left, client.left()); diff != "" {
					t.Errorf("dead letters and what is left (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestQueueDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, begin, got := fill("1"), time.Now(), []string(nil)
		client.messages[0].sent = begin
		time.AfterFunc(time.Minute, func() { // it was sent long ago
			client.mu.Lock()
			defer client.mu.Unlock()
			client.messages = append(client.messages, &fakeMessage{body: "2", sent: begin})
		})
		q := &Queue{Mapping: topology.QueueMapping{Queue: topology.Fanout, BatchSize: 10, MaxConcurrency: 1}, URL: "url", ARN: queueARN,
			Client: client, Log: silent(), Delay: func() time.Duration { return 300 * time.Millisecond }}
		q.Invoker = invokerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
			got = append(got, fmt.Sprint(strings.Join(bodies(payload), " "), " ", time.Since(begin)))
			return nil, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		q.Run(ctx)
		if !slices.Equal(got, []string{"1 300ms", "2 1m0.3s"}) { // the fake looks every second
			t.Errorf("invocations %v", got)
		}
	})
}
