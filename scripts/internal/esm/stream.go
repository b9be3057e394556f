package esm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/topology"
)

const (
	shardPause = time.Second // between looks for new shards

	// idlePause is the time between reads that find nothing, unless Stream.Poll says
	// otherwise. AWS reads four times a second, which would be most of a message's
	// latency here.
	idlePause = 25 * time.Millisecond

	// A shard in which nothing has happened for quietReads reads is read less often:
	// a product has several streams, and DynamoDB Local is slow to read them.
	quietReads = 200
	quietPause = 4 * idlePause

	// A failing batch is retried after firstPause, which doubles each time up to maxPause.
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second

	lanePages = 1000 // reads that a lane may be behind; under light load a page has one record
)

// StreamClient is the part of *dynamodbstreams.Client that a Stream uses.
type StreamClient interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// Destination is the part of *sqs.Client that takes note of lost records.
type Destination interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Stream moves a table's changes to a function, from the oldest record that the
// stream holds or from the checkpoint. At the first attempt, records of one item
// reach the function in order. With a parallelization factor of 1 that holds for all
// records of a shard, and so of a partition key. With a higher factor, batches of one
// shard run concurrently and order is kept "at the item (partition and sort key)
// level" only ("Using AWS Lambda with Amazon DynamoDB"). AWS promises order per
// partition key for Kinesis.
//
// A batch that fails is invoked again from the first record that the report names, or
// whole. With Bisect, a batch that fails from its first record is halved instead, so that
// only one record is given up after MaxRetries; otherwise it is the rest of the batch.
type Stream struct {
	Mapping      topology.StreamMapping
	ARN          string // of the stream
	OnFailureURL string // of Mapping.OnFailure
	Client       StreamClient
	Destination  Destination
	Invoker      Invoker
	Log          *slog.Logger
	RetryPause   time.Duration // before the first retry; default 100 ms
	LongestPause time.Duration // longest pause before a retry; default 10 s
	Checkpoints  *Checkpoints  // where to begin, and the progress since; nil begins with the oldest record

	// Poll is the time from one read of a shard to the next. By default the next read
	// follows at once if the last one found records, else after 25 ms.
	Poll time.Duration
	// Lag, unless nil, returns how long the records of a read take to appear.
	Lag func() time.Duration

	Watch StreamWatch
}

// StreamWatch is called for what Lambda publishes as metrics of a stream's mapping. Fields
// may be nil.
type StreamWatch struct {
	Sent func(last time.Time) // a batch goes to the function; its last record was read then
	Lost func()               // records were given up, and the destination did not take their positions
}

// Run works until ctx ends, and returns when everything it started has ended. Errors
// are logged and do not end it.
func (s *Stream) Run(ctx context.Context) {
	var readers sync.WaitGroup
	defer readers.Wait()
	read := map[string]chan struct{}{} // by shard, closed when it was read to its end
	ended := make(chan struct{}, 1)    // a shard ended, and may have children
	for {
		shards, err := s.shards(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("shards not found", "stream", s.ARN, "error", err)
		}
		var fresh []types.Shard
		for _, shard := range shards {
			if id := *shard.ShardId; read[id] == nil {
				read[id] = make(chan struct{})
				fresh = append(fresh, shard)
			}
		}
		for _, shard := range fresh {
			id, parent := *shard.ShardId, read[aws.ToString(shard.ParentShardId)]
			done := read[id]
			readers.Go(func() {
				s.runShard(ctx, id, parent, done)
				select {
				case ended <- struct{}{}:
				default: // already known
				}
			})
		}
		if !pauseUntil(ctx, shardPause, ended) {
			return
		}
	}
}

func (s *Stream) shards(ctx context.Context) ([]types.Shard, error) {
	var shards []types.Shard
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: &s.ARN}
	for {
		out, err := s.Client.DescribeStream(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("describe stream: %w", err)
		}
		shards = append(shards, out.StreamDescription.Shards...)
		if in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId; in.ExclusiveStartShardId == nil {
			return shards, nil
		}
	}
}

// runShard handles a shard once its parent is done; parent is nil if there is none,
// or none any more. It closes done when every record was handled.
func (s *Stream) runShard(ctx context.Context, id string, parent <-chan struct{}, done chan<- struct{}) {
	if parent != nil {
		select {
		case <-parent:
		case <-ctx.Done():
			return
		}
	}
	var running sync.WaitGroup
	lanes := make([]lane, max(1, s.Mapping.Parallelization))
	shared := &progress{done: map[string]bool{}}
	for i := range lanes {
		lanes[i] = lane{s, id, make(chan []record, lanePages), shared}
		running.Go(func() { lanes[i].run(ctx) })
	}
	s.readShard(ctx, id, lanes)
	for _, l := range lanes {
		close(l.pages)
	}
	running.Wait()
	if ctx.Err() == nil {
		close(done)
	}
}

// readShard reads a shard to its end and gives its records to the lanes.
func (s *Stream) readShard(ctx context.Context, id string, lanes []lane) {
	position := s.Checkpoints.position(id) // the last sequence number read
	var iterator *string                   // nil if a new one is needed
	quiet := 0                             // reads since the last record
	for ctx.Err() == nil {
		begin := time.Now()
		records, next, err := s.page(ctx, id, position, iterator)
		if err == nil && len(records) > 0 && s.Lag != nil {
			pause(ctx, s.Lag())
		}
		if err == nil {
			err = s.deal(ctx, records, lanes)
		}
		if err != nil {
			// An iterator lasts 15 minutes. After any error a new one is requested.
			iterator = nil
			_, trimmed := errors.AsType[*types.TrimmedDataAccessException](err)
			if trimmed && position == "" {
				// DynamoDB Local reports this for an iterator that is older than the
				// shard's first record. Nothing was missed.
				pause(ctx, idlePause)
				continue
			}
			if trimmed {
				position = ""
			}
			if ctx.Err() == nil {
				s.Log.Warn("shard not read", "stream", s.ARN, "shard", id, "error", err)
				pause(ctx, errorPause)
			}
			continue
		}
		quiet++
		if len(records) > 0 {
			quiet = 0
			position = *records[len(records)-1].Dynamodb.SequenceNumber
		}
		if iterator = next; iterator == nil {
			return
		}
		switch {
		case s.Poll > 0:
			pause(ctx, s.Poll-time.Since(begin))
		case quiet > quietReads:
			pause(ctx, quietPause)
		case quiet > 0:
			pause(ctx, idlePause)
		}
	}
}

// page reads what follows the iterator, or the position if there is none; "" is the
// oldest record.
func (s *Stream) page(ctx context.Context, id, position string, iterator *string) ([]types.Record, *string, error) {
	if iterator == nil {
		in := &dynamodbstreams.GetShardIteratorInput{StreamArn: &s.ARN, ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
		if position != "" {
			in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &position
		}
		out, err := s.Client.GetShardIterator(ctx, in)
		if err != nil {
			return nil, nil, fmt.Errorf("get shard iterator: %w", err)
		}
		iterator = out.ShardIterator
	}
	out, err := s.Client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator})
	if err != nil {
		return nil, nil, fmt.Errorf("get records: %w", err)
	}
	return out.Records, out.NextShardIterator, nil
}

// deal gives the page's records that the mapping wants to the lanes of their items.
// It waits for a lane that is too far behind.
func (s *Stream) deal(ctx context.Context, page []types.Record, lanes []lane) error {
	hands, dealt := make([][]record, len(lanes)), []string{}
	for _, r := range page {
		if !Moves(s.Mapping, r) {
			continue
		}
		rec, err := newRecord(r, s.ARN)
		if err != nil {
			return err
		}
		i := rec.hash % uint32(len(lanes))
		hands[i], dealt = append(hands[i], rec), append(dealt, rec.sequence)
	}
	lanes[0].progress.begin(dealt)
	for i, hand := range hands {
		if len(hand) == 0 {
			continue
		}
		select {
		case lanes[i].pages <- hand:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Moves reports whether the mapping's filter lets the record through.
func Moves(m topology.StreamMapping, r types.Record) bool {
	key, _ := r.Dynamodb.Keys[m.Table.Key].(*types.AttributeValueMemberS)
	return slices.Contains(m.Events, string(r.EventName)) &&
		(m.Prefix == "" || key != nil && strings.HasPrefix(key.Value, m.Prefix))
}

// retryPause is the wait before the n-th retry, counted from 1.
func (s *Stream) retryPause(n int) time.Duration {
	return min(cmp.Or(s.LongestPause, maxPause), cmp.Or(s.RetryPause, firstPause)<<min(n-1, 10))
}
