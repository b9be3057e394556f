package esm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/lambdart"
	"subwire/shared/topology"
)

// lane handles its items' records of one shard, one batch at a time.
type lane struct {
	*Stream
	shard string
	pages chan []record // closed at the end of the shard

	progress *progress // of the shard
}

// batch is the records of one invocation.
type batch struct {
	records []record
	retries int // since the first record failed; splits do not count
	invoked int // invocations with the first record
}

// rest is what remains of b after an invocation that failed from the given record on:
// nothing, the same again, or parts of it in order.
func (b batch) rest(failed int, bisect bool) []batch {
	left := b.records[failed:]
	switch {
	case len(left) == 0:
		return nil
	case bisect && failed > 0: // split where the report says
		return []batch{{left, 0, b.invoked}}
	case bisect && len(left) > 1:
		half := len(left) / 2
		return []batch{{left[:half], 0, b.invoked}, {left[half:], 0, b.invoked}}
	case failed > 0: // the first of these has failed once
		return []batch{{left, 1, b.invoked}}
	default:
		return []batch{{left, b.retries + 1, b.invoked}}
	}
}

// run makes batches of what arrives, as large as possible without waiting.
func (l lane) run(ctx context.Context) {
	var waiting []record
	for ctx.Err() == nil {
		if len(waiting) == 0 {
			select {
			case page, open := <-l.pages:
				if !open {
					return
				}
				waiting = page
			case <-ctx.Done():
				return
			}
		}
		waiting = l.gather(waiting)
		n := fit(waiting, l.Mapping.BatchSize)
		l.handle(ctx, batch{records: waiting[:n]})
		if ctx.Err() != nil {
			return // it may not have been handled
		}
		l.checkpoint(waiting[:n])
		waiting = waiting[n:]
	}
}

func (l lane) checkpoint(records []record) {
	upTo := l.progress.finish(records)
	if upTo == "" {
		return
	}
	if err := l.Checkpoints.save(l.shard, upTo); err != nil {
		l.Log.Warn("checkpoint not saved", "shard", l.shard, "error", err)
	}
}

// gather adds to waiting what is already there, until a batch is full.
func (l lane) gather(waiting []record) []record {
	for len(waiting) < l.Mapping.BatchSize {
		select {
		case page, open := <-l.pages:
			if !open {
				return waiting
			}
			waiting = append(waiting, page...)
		default:
			return waiting
		}
	}
	return waiting
}

// handle brings every record of b to the function or to the destination, or returns
// because ctx ended. Throttling is not a retry: before an invocation only the records'
// age counts ("Retaining discarded records for a DynamoDB event source in Lambda").
func (l lane) handle(ctx context.Context, b batch) {
	todo, throttled := []batch{b}, 0
	for len(todo) > 0 && ctx.Err() == nil {
		b, todo = todo[0], todo[1:]
		if old := l.expired(b.records); old > 0 {
			l.giveUp(ctx, b, old, "RecordAgeExceeded", nil)
			b = batch{records: b.records[old:]}
		}
		if len(b.records) == 0 {
			continue
		}
		failed, err := l.invoke(ctx, b.records)
		if errors.Is(err, lambdart.ErrThrottled) {
			throttled++
			pause(ctx, l.retryPause(throttled))
			todo = slices.Concat([]batch{b}, todo)
			continue
		}
		throttled = 0
		b.invoked++
		if failed < len(b.records) && ctx.Err() == nil {
			l.Log.Warn("batch failed", "function", l.Mapping.Function.Name, "shard", l.shard,
				"records", len(b.records), "from", b.records[failed].sequence, "error", err)
		}
		next := b.rest(failed, l.Mapping.Bisect)
		if len(next) == 0 {
			continue
		}
		if most := l.Mapping.MaxRetries; most >= 0 && next[0].retries > most {
			l.giveUp(ctx, next[0], len(next[0].records), "RetryAttemptsExhausted", err)
			continue
		}
		if n := next[0].retries; n > 0 {
			pause(ctx, l.retryPause(n))
		}
		todo = slices.Concat(next, todo)
	}
}

// expired returns how many records, from the first, are too old.
func (l lane) expired(records []record) int {
	young := slices.IndexFunc(records, func(r record) bool { return time.Since(r.at) <= l.Mapping.MaxAge })
	if young < 0 {
		return len(records)
	}
	return young
}

// invoke returns the first record that failed; len(records) if none did. The error
// says that the function failed or that its report is invalid, so that the whole
// batch failed.
func (l lane) invoke(ctx context.Context, records []record) (failed int, err error) {
	if l.Watch.Sent != nil {
		l.Watch.Sent(records[len(records)-1].read)
	}
	response, err := l.Invoker.Invoke(ctx, event(records))
	if err != nil {
		return 0, err
	}
	ids, err := failures(response)
	if err != nil {
		return 0, err
	}
	failed = len(records)
	for _, id := range ids {
		i := slices.IndexFunc(records, func(r record) bool { return r.sequence == id })
		if i < 0 {
			return 0, fmt.Errorf("report names unknown record %q", id)
		}
		failed = min(failed, i)
	}
	return failed, nil
}

// giveUp reports the first n records of b to the destination. It does not return
// before the destination knows, or ctx ended: no record is lost unseen.
func (l lane) giveUp(ctx context.Context, b batch, n int, condition string, cause error) {
	body := l.invocationRecord(b, n, condition, cause)
	for ctx.Err() == nil {
		_, err := l.Destination.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &l.OnFailureURL, MessageBody: aws.String(string(body))})
		if err == nil {
			l.Log.Error("records given up", "shard", l.shard, "records", n, "from", b.records[0].sequence, "condition", condition)
			return
		}
		if l.Watch.Lost != nil && ctx.Err() == nil {
			l.Watch.Lost()
		}
		if ctx.Err() == nil {
			l.Log.Warn("destination not told", "queue", l.Mapping.OnFailure.Name, "error", err)
		}
		pause(ctx, errorPause)
	}
}

// invocationRecord is what AWS sends to a destination ("Retaining discarded records
// for a DynamoDB event source in Lambda" in the Lambda Developer Guide), without the
// request id, which is not known here. It names the stream's own shard, from which
// the records can be read again.
func (l lane) invocationRecord(b batch, n int, condition string, cause error) []byte {
	type requestContext struct {
		FunctionArn string `json:"functionArn"`
		Condition   string `json:"condition"`
		InvokeCount int    `json:"approximateInvokeCount"`
	}
	type responseContext struct {
		StatusCode    int    `json:"statusCode"`
		Version       string `json:"executedVersion"`
		FunctionError string `json:"functionError,omitempty"`
	}
	type batchInfo struct {
		ShardID   string    `json:"shardId"`
		Start     string    `json:"startSequenceNumber"`
		End       string    `json:"endSequenceNumber"`
		First     time.Time `json:"approximateArrivalOfFirstRecord"`
		Last      time.Time `json:"approximateArrivalOfLastRecord"`
		BatchSize int       `json:"batchSize"`
		StreamArn string    `json:"streamArn"`
	}
	first, last := b.records[0], b.records[n-1]
	var response *responseContext
	if b.invoked > 0 {
		response = &responseContext{StatusCode: 200, Version: "$LATEST"}
		if cause != nil {
			response.FunctionError = "Unhandled"
		}
	}
	body, _ := json.Marshal(struct { // nothing in it can fail
		Request   requestContext   `json:"requestContext"`
		Response  *responseContext `json:"responseContext"`
		Version   string           `json:"version"`
		Timestamp string           `json:"timestamp"`
		Batch     batchInfo        `json:"DDBStreamBatchInfo"`
	}{
		requestContext{functionARN(l.ARN, l.Mapping), condition, b.invoked},
		response, "1.0", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		batchInfo{RealShard(l.shard), first.sequence, last.sequence, first.at.UTC(), last.at.UTC(), n, l.ARN},
	})
	return body
}

// functionARN is the ARN of the mapping's function, in the stream's region.
func functionARN(stream string, m topology.StreamMapping) string {
	return fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", arnPart(stream, 3), arnPart(stream, 4), m.Function.Name)
}
