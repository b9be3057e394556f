// Package dynamo keeps connections, subscriptions, operations and the rows of products
// in DynamoDB. It implements all contracts of storetest.Store: those of pubsub and
// allowance, table.Store and pacing.Line. It decides nothing about protocols or delivery.
//
// Times are kept to the millisecond, expiries to the second, as TTL demands.
package dynamo

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	lru "github.com/hashicorp/golang-lru/v2"

	"subwire/shared/sdkhttp"
)

// Tables are the physical names of the tables. A caller that uses no method
// of a table may leave its name empty.
type Tables struct {
	Connections, Subscriptions, Operations string

	Products map[string]string // by logical name
}

// Store is the store on one deployment's tables. It is safe for concurrent use.
type Store struct {
	// LargeTopics says that topics may get parts (layout.go). Every store reads those that
	// there are. Set it before the first call.
	LargeTopics bool

	client *dynamodb.Client
	tables Tables
	page   *int32 // rows per Query; nil for as many as fit in 1 MB

	operationEnds *lru.Cache[string, int64] // by key: until when an operation is stored at least, in Unix seconds
	layouts       *lru.Cache[string, layout]
	kept          *keptRows
}

// NewClient returns a client for New. TLS already guards the answers, and the SDK's own
// checksum fails on answers that it need not read.
func NewClient(cfg aws.Config) *dynamodb.Client {
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.DisableValidateResponseChecksum = true })
}

// New returns a store on tables that exist. It does its own retries instead of the
// client's, which give up after a few tries; the retry tokens that all calls share
// there are used up in the first second of an incident.
func New(client *dynamodb.Client, tables Tables) *Store {
	once := dynamodb.New(client.Options(), func(o *dynamodb.Options) {
		o.Retryer = aws.NopRetryer{}
		o.HTTPClient = sdkhttp.Wrap(o.HTTPClient)
	})
	return &Store{client: once, tables: tables, operationEnds: newCache[int64](knownOperations),
		layouts: newCache[layout](knownLayouts), kept: newKeptRows(keptBytes)}
}

// newCache returns a cache of what a process knows by a key.
func newCache[V any](size int) *lru.Cache[string, V] {
	c, err := lru.New[string, V](size)
	if err != nil {
		panic(err) // only for a size below one
	}
	return c
}
