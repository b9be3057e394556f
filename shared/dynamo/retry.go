package dynamo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkretry "github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
)

// Requests are retried until the context ends: a throttled table or a moving partition
// is back within seconds, and until then only time is lost ("Error handling with
// DynamoDB"). The pauses have full jitter, as callers that were throttled together must
// not come back together. A caller that must act after a failure keeps time for it out
// of ctx.
const (
	minWait  = 10 * time.Millisecond
	maxWait  = 400 * time.Millisecond
	patience = 10 * time.Second // without a deadline

	// attemptTime bounds one request: a hundred times what is usual, as a new
	// connection from a process with little CPU is slow. A request that is never
	// answered, such as on a connection lost while the process was frozen, must leave
	// time for another. The SDK sets no bound.
	attemptTime = 2 * time.Second
)

// call sends one request, and repeats it while that may help. Every write allows for
// that: an attempt that lost its answer may have been applied.
func call[In, Out any](ctx context.Context,
	send func(context.Context, In, ...func(*dynamodb.Options)) (Out, error), in In) (out Out, err error) {
	err = retry(ctx, func(ctx context.Context) (err error) {
		out, err = send(ctx, in)
		return err
	})
	return out, err
}

// retry calls do until it succeeds, fails for a reason that waiting does not mend, or
// ctx ends.
func retry(ctx context.Context, do func(ctx context.Context) error) error {
	waiting, cancel := ctx, func() {}
	if _, ok := ctx.Deadline(); !ok {
		waiting, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	for wait := minWait; ; wait = min(2*wait, maxWait) {
		late, err := attempt(waiting, do)
		if err == nil || !late && !passing(err) {
			return err
		}
		if late := pause(waiting, wait); late != nil {
			return fmt.Errorf("%w; no time to try again: %w", err, late)
		}
	}
}

// pause waits for up to that time, at random. Its error is that of ctx, if that ends.
func pause(ctx context.Context, most time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(most)):
		return nil
	}
}

// attempt calls do once, and reports whether it failed for lack of an answer.
func attempt(ctx context.Context, do func(ctx context.Context) error) (late bool, err error) {
	once, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	err = do(once)
	return err != nil && once.Err() != nil, err
}

// beatenWait bounds the pause of a call that was beaten to an item by another, and must
// read it again. The pauses grow fast: of calls that come back at once, one succeeds
// each time, and all pay.
const beatenWait = 50 * time.Millisecond

// beaten pauses after that many earlier tries.
func beaten(ctx context.Context, tries int) error {
	return pause(ctx, beatenWait<<min(2*tries, 5)) // up to 1.6 s
}

// errUnprocessed is a batch that DynamoDB processed only in part.
var errUnprocessed = errors.New("batch was not processed whole")

// busyCodes are passing errors that the SDK does not know. A plain write gets a
// TransactionConflictException when it meets a transaction, such as an older release's
// ("TransactWriteItems"); never when it meets a plain one.
var busyCodes = []string{"TransactionConflictException", "ReplicatedWriteConflictException",
	"ThroughputExceeded", "ThrottlingError"}

// sdkRetryables are the SDK's: throttles, 5xx and failed connections.
var sdkRetryables = sdkretry.IsErrorRetryables(sdkretry.DefaultRetryables)

// passing reports whether the same request may succeed a little later. It does not say
// whether the request was applied.
func passing(err error) bool {
	if errors.Is(err, errUnprocessed) || errors.Is(err, io.ErrUnexpectedEOF) { // an answer that was cut
		return true
	}
	var coded smithy.APIError
	if errors.As(err, &coded) && slices.Contains(busyCodes, coded.ErrorCode()) {
		return true
	}
	return sdkRetryables.IsErrorRetryable(err) == aws.TrueTernary
}
