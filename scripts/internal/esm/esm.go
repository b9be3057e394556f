// Package esm moves stream records and queue messages to functions, with the
// semantics of Lambda's event source mappings ("Using AWS Lambda with Amazon
// DynamoDB" and "Using Lambda with Amazon SQS" in the Lambda Developer Guide). It
// supports what package topology can express, always with batch item failures. It has
// no batching window, no tumbling window and one filter: the names of a stream's records.
package esm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxPayload is the most that one invocation may carry, in bytes ("Lambda quotas" in
// the Lambda Developer Guide).
const maxPayload = 6 << 20

// errorPause follows an unexpected answer of an AWS service.
const errorPause = time.Second

// Invoker runs a function with one event and returns its response. An error means
// that the function failed as a whole.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// errNoIdentifier is the fault of a failure report without an identifier.
var errNoIdentifier = errors.New("batch item failure without itemIdentifier")

// failures returns the identifiers in a function's report of batch item failures. A
// report that is empty or null, in whole or in its list, means success; an error
// means that the whole batch counts as failed. Names are case-sensitive, as in AWS:
// hence the maps.
func failures(response []byte) ([]string, error) {
	if len(bytes.TrimSpace(response)) == 0 {
		return nil, nil
	}
	var report map[string]json.RawMessage
	if err := json.Unmarshal(response, &report); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	list, ok := report["batchItemFailures"]
	if !ok {
		return nil, nil
	}
	var items []map[string]json.RawMessage
	if err := json.Unmarshal(list, &items); err != nil {
		return nil, fmt.Errorf("decode batch item failures: %w", err)
	}
	ids := make([]string, len(items))
	for i, item := range items {
		raw, ok := item["itemIdentifier"]
		if !ok {
			return nil, errNoIdentifier
		}
		if err := json.Unmarshal(raw, &ids[i]); err != nil {
			return nil, fmt.Errorf("decode itemIdentifier: %w", err)
		}
		if ids[i] == "" {
			return nil, errNoIdentifier
		}
	}
	return ids, nil
}

// pause waits for d. It returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool { return pauseUntil(ctx, d, nil) }

// pauseUntil waits for d, or until something arrives. It returns false if ctx ended first.
func pauseUntil(ctx context.Context, d time.Duration, something <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-something:
		return true
	case <-ctx.Done():
		return false
	}
}

// arnPart returns one of an ARN's parts, counted from 0, or "" if it is missing:
// arn:partition:service:region:account:resource.
func arnPart(arn string, i int) string {
	parts := strings.SplitN(arn, ":", 6)
	if i >= len(parts) {
		return ""
	}
	return parts[i]
}
