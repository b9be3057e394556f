// Package dynamo keeps connections, subscriptions, operations and chat
// messages in DynamoDB, and decodes the stream of the messages table. It
// implements pubsub.Store and chat.Store. It decides nothing about protocols
// or delivery.
//
// Times are kept to the millisecond, expiries to the second, as TTL demands.
package dynamo

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Tables are the physical names of the tables. A caller that uses no method
// of a table may leave its name empty.
type Tables struct {
	Connections, Subscriptions, Operations, Messages string
}

// Store implements pubsub.Store and chat.Store. It is safe for concurrent use.
type Store struct {
	client *dynamodb.Client
	tables Tables
	page   *int32 // rows that one Query reads; nil for as many as fit in 1 MB
}

// NewClient returns a client for New. TLS guards the answers already, and the
// SDK's own checksum of them fails on those that it has no need to read.
func NewClient(cfg aws.Config) *dynamodb.Client {
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.DisableValidateResponseChecksum = true })
}

// New returns a store on tables that exist.
func New(client *dynamodb.Client, tables Tables) *Store {
	return &Store{client: client, tables: tables}
}

// Retries of what the SDK does not retry: writes that met another
// transaction on the same item, and batches that were taken in part. Twelve
// tries last about a second.
const (
	maxTries = 12
	minWait  = 5 * time.Millisecond
	maxWait  = 200 * time.Millisecond
)

// retry calls do until it succeeds or fails for a reason that waiting does not
// mend, with a jittered pause between, within ctx.
func retry(ctx context.Context, do func() error) error {
	wait := minWait
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == maxTries || !contended(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(rand.N(wait)):
		}
		wait = min(2*wait, maxWait)
	}
}
