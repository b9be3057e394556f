// Package topology is the one list of what Subwire is made of: tables, queues,
// functions and the event source mappings between them, and the settings with their
// allowed values. A Product adds its tables to that of the core. The infrastructure and
// the local cloud are both built from it, so they cannot drift apart. It is data and
// does nothing.
package topology

import (
	"strings"
	"time"

	"subwire/shared/transportws"
)

// Table is one DynamoDB table. Keys are strings.
type Table struct {
	Name   string // logical name, of letters and digits; a deployment puts its prefix before it
	Key    string // partition key attribute
	Sort   string // sort key attribute, or "" for none
	TTL    string // attribute with the expiry in Unix seconds, or "" for no expiry
	Stream bool   // whether changes are streamed
	Kept   bool   // whether it is backed up, and in production outlives the deployment

	Events    []string // names of the stream's records that are moved to the stream function; nil for all
	OldImages bool     // whether the stream also has the rows as they were before
	Indexes   []Index  // secondary ones, of all attributes
}

// Index is a global secondary index of a table. Keys are strings.
type Index struct{ Name, Key, Sort string }

// The core's tables. ARCHITECTURE.md, "Data", says what they hold.
var (
	Connections   = Table{Name: "connections", Key: "id", TTL: "ttl"}
	Subscriptions = Table{Name: "subscriptions", Key: "topic", Sort: "subscriber", TTL: "ttl"}
	Operations    = Table{Name: "operations", Key: "key", TTL: "ttl"}
)

// Tables lists the core's tables.
func Tables() []Table { return []Table{Connections, Subscriptions, Operations} }

// Env is the environment variable that carries the table's physical name.
func (t Table) Env() string { return strings.ToUpper(t.Name) + "_TABLE" }

// Queue is one SQS queue.
type Queue struct {
	Name        string // logical name; a FIFO queue's ends in ".fifo"
	Env         string // environment variable that carries its URL, or "" if no function sends to it
	FIFO        bool
	Visibility  time.Duration // at least six times the time-out of the receiving function
	Retention   time.Duration
	DeadLetters string // logical name of the queue for what was received MaxReceives times, or ""
	MaxReceives int
	Late        time.Duration // how old a message must be that nobody has handled; 0 for dead letters, which wait for people
}

const (
	fourteenDays = 14 * 24 * time.Hour // the longest that SQS keeps a message

	// maxReceives lets a batch wait for an hour, 20 times 3 minutes: for a newer sender
	// that reads it, and while invocations are throttled, which counts as receives
	// ("Handling errors for an SQS event source in Lambda"). The sender parks at once
	// what can never be handled.
	maxReceives = 20
)

// The queues.
var (
	Fanout = Queue{Name: "fanout.fifo", Env: "FANOUT_QUEUE", FIFO: true, Visibility: 6 * senderTimeout,
		Retention: 4 * 24 * time.Hour, DeadLetters: FanoutDead.Name, MaxReceives: maxReceives,
		Late: time.Minute}
	FanoutDead = Queue{Name: "fanout-dead.fifo", FIFO: true, Visibility: 30 * time.Second, Retention: fourteenDays}

	Retries = Queue{Name: "retries", Env: "RETRIES_QUEUE", Visibility: 6 * senderTimeout,
		Retention: 4 * 24 * time.Hour, DeadLetters: RetriesDead.Name, MaxReceives: maxReceives,
		Late: 20 * time.Minute} // a retry is delayed by up to 15
	// RetriesDead also takes what the sender gives up: batches that it cannot decode,
	// and targets that were tried too often.
	RetriesDead = Queue{Name: "retries-dead", Env: "RETRIES_DEAD_QUEUE",
		Visibility: 30 * time.Second, Retention: fourteenDays}

	// ConnectionChecks holds one delayed message per new connection, and one per
	// connection with a token that expires. A check that keeps failing is dropped when
	// its retention ends: the connection's TTL and the gateway's limits remain.
	ConnectionChecks = Queue{Name: "connection-checks", Env: "CONNECTION_CHECKS_QUEUE", Visibility: 6 * 10 * time.Second,
		Retention: 30 * time.Minute, Late: 20 * time.Minute} // a delay counts, and lasts up to 15

	// StreamDead holds the records that the stream function gave up, and Lambda's notes
	// of those that Lambda gave up.
	StreamDead = Queue{Name: "stream-dead", Env: "STREAM_DEAD_QUEUE",
		Visibility: 30 * time.Second, Retention: fourteenDays}
)

// Queues lists every queue, dead letters before the queue that uses them.
func Queues() []Queue {
	return []Queue{FanoutDead, Fanout, RetriesDead, Retries, ConnectionChecks, StreamDead}
}

// CallbackEnv is the environment variable with the management API's endpoint:
// https://{api}.execute-api.{region}.amazonaws.com/{stage}.
const CallbackEnv = "CALLBACK_URL"

// WebSocketEnv is the environment variable with the URL where clients open sockets:
// wss://{api}.execute-api.{region}.amazonaws.com/{stage}, or a custom domain's.
const WebSocketEnv = "WEBSOCKET_URL"

// Function is one Lambda function.
type Function struct {
	Name      string
	Timeout   time.Duration
	MemoryMB  int
	Tables    []Table // it gets their names
	Queues    []Queue // it gets their URLs
	Callback  bool    // whether it gets the management API's endpoint
	WebSocket bool    // whether it gets the clients' WebSocket URL
	HTTP      bool    // whether it gets the clients' URL of GraphQL over HTTP
	Delivers  bool    // whether it is stream and delivers events itself: then it gets the settings for that

	// Reserved is how many of the account's concurrent invocations are kept for it; 0
	// for none.
	Reserved int
	// AllowLoops says that a message may come back to it through a queue more than 16
	// times, where Lambda would stop it ("Use Lambda recursive loop detection to
	// prevent infinite loops").
	AllowLoops bool
}

// StreamShards is how many shards of each stream are read at once, whatever floods the
// account's other functions. A table has a shard for each partition, and a partition takes
// 1,000 writes a second; a new table has four ("Initial throughput for on-demand capacity
// mode", "Quotas in Amazon DynamoDB"). Ten shards take what API Gateway lets through for
// all APIs of an account, 10,000 requests a second. A table may grow to 40 with the default
// quota of 40,000 writes; then shards wait for each other.
const StreamShards = 10

// LiveAlias is the alias of each function that is invoked. It says which version of the
// function is live, so an older one can be brought back at once.
const LiveAlias = "live"

const (
	senderTimeout = 30 * time.Second
	oneVCPU       = 1769 // MB of memory with which a function gets one ("Configure Lambda function memory")
)

// Functions of the pipeline, without what a product adds. A message frame must be
// answered within the gateway's 29 s integration limit ("Quotas for configuring and
// running a WebSocket API in API Gateway").
var (
	Connect = Function{Name: "connect", Timeout: 10 * time.Second, MemoryMB: 256,
		Tables: []Table{Connections}, Queues: []Queue{ConnectionChecks}}
	Message = Function{Name: "message", Timeout: 25 * time.Second, MemoryMB: 512, Callback: true,
		Tables: []Table{Connections, Subscriptions, Operations}, Queues: []Queue{ConnectionChecks}}
	Disconnect = Function{Name: "disconnect", Timeout: 10 * time.Second, MemoryMB: 256, Callback: true,
		Tables: []Table{Connections, Subscriptions}, Queues: []Queue{ConnectionChecks},
		Reserved: 50, AllowLoops: true} // a connection is checked again while it lives, at most two hours
	GraphQL = Function{Name: "graphql", Timeout: 25 * time.Second, MemoryMB: 512, WebSocket: true,
		Tables: []Table{Connections}, Queues: []Queue{ConnectionChecks}}
	Stream = Function{Name: "stream", Timeout: 60 * time.Second, MemoryMB: oneVCPU, Callback: true,
		Tables: []Table{Connections, Subscriptions, Operations}, Queues: []Queue{Fanout, StreamDead, Retries, RetriesDead},
		Delivers: true, Reserved: StreamShards} // for each stream, see Product.Functions
	Sender = Function{Name: "sender", Timeout: senderTimeout, MemoryMB: oneVCPU, Callback: true,
		Tables: []Table{Connections, Subscriptions, Operations}, Queues: []Queue{Retries, RetriesDead},
		Reserved: 110, AllowLoops: true} // a target that stays busy is queued again, up to its attempts
)

// Functions lists every function, without what a product adds.
func Functions() []Function {
	return []Function{Connect, Message, Disconnect, GraphQL, Stream, Sender}
}

// EveryFunction lists also those that a deployment has only if it asks for them.
func EveryFunction() []Function { return append(Functions(), Publish, Canary) }

// Routes of the WebSocket API that reach a function, by route key.
var Routes = map[string]Function{"$connect": Connect, "$default": Message, "$disconnect": Disconnect}

// RouteSelection says which route a message of a client takes: that of its type, or
// $default if there is none, or if it is no JSON ("Create routes for WebSocket APIs in
// API Gateway").
const RouteSelection = "$request.body.type"

// Mock is a route of the WebSocket API that the gateway handles itself, so that no
// function runs ("Set up a WebSocket API integration request", MOCK). What it handles,
// nobody checks: neither whether the client has been acknowledged, nor the payload.
type Mock struct {
	Answer string // the message that the client gets, or "" for none

	// Rate, Burst bound all clients' messages together, in messages a second: what no
	// function sees, MAX_FRAMES_PER_SECOND does not count.
	Rate, Burst int
}

// Mocks are the routes without a function, by route key: what keeps sockets open.
// A pong that nobody asked for is a heartbeat one way ("Pong" in the protocol). The rates
// serve 262,000 sockets with a heartbeat every 8:45, and 30,000 with a ping every 2
// minutes. More would let a flood cost more, as nobody is charged for these: 500 messages
// a second are $1.80 an hour.
var Mocks = map[string]Mock{
	string(transportws.TypePing): {Rate: 250, Burst: 500,
		Answer: string(transportws.Message{Type: transportws.TypePong}.Append(nil))},
	string(transportws.TypePong): {Rate: 500, Burst: 1000},
}

// Paths of the HTTP API, besides a product's own.
const (
	GraphQLPath = "/graphql"
	ConfigPath  = "/config.json"   // what a page must know of the deployment
	assetsPath  = "/assets/{file}" // of GraphiQL, and of a product's pages
	elsePath    = "/{page+}"       // what no other path is
)

// AnyMethod stands for all methods in a route of the HTTP API.
const AnyMethod = "ANY"

// StreamMapping moves a table's stream records to a function. Batch item failures are
// always reported.
type StreamMapping struct {
	Table           Table
	Function        Function
	Events          []string // names of the records to move; others are filtered out
	Prefix          string   // that their partition keys begin with; "" for any
	BatchSize       int
	Parallelization int           // concurrent batches per shard; above 1, order is kept per item only
	Bisect          bool          // halve a batch whose invocation failed, to isolate the bad record
	MaxRetries      int           // of one record, before it goes to OnFailure; -1 for no limit
	MaxAge          time.Duration // of one record, before it goes to OnFailure
	OnFailure       Queue
}

// QueueMapping moves a queue's messages to a function. Batch item failures
// are always reported.
type QueueMapping struct {
	Queue          Queue
	Function       Function
	BatchSize      int
	MaxConcurrency int // the most invocations at once
}

// TableStream feeds the changes of a product's table to the stream function; Table and
// Events are left out.
//
// One invocation per shard at a time keeps the order. With more, Lambda keeps it only
// "at the item (partition and sort key) level", and a topic's events may be items of
// their own ("Using AWS Lambda with Amazon DynamoDB"). So the concurrency is inside the
// function.
// A batch is twice what a poll brings from a shard at its limit of 1,000 writes a
// second, as Lambda polls four times a second. It takes 0.6 s if all of it is of one
// topic with a few listeners, at 10 ms for ten to be queued. Lambda ends a batch at 6 MB
// anyway.
//
// Retries have no limit but age: the function parks what can never succeed, so what
// fails has met an incident. After six hours somebody must look, and has 18 more until
// the stream drops the record. The age also counts for a new mapping: older records are
// discarded.
var TableStream = StreamMapping{Function: Stream, BatchSize: 500,
	Parallelization: 1, Bisect: true, MaxRetries: -1, MaxAge: 6 * time.Hour, OnFailure: StreamDead}

// QueueMappings lists what polls the queues.
func QueueMappings() []QueueMapping {
	return []QueueMapping{
		{Queue: Fanout, Function: Sender, BatchSize: 10, MaxConcurrency: 100},
		{Queue: Retries, Function: Sender, BatchSize: 10, MaxConcurrency: 10},
		{Queue: ConnectionChecks, Function: Disconnect, BatchSize: 10, MaxConcurrency: 10},
	}
}

// Limits that API Gateway sets for a WebSocket API, in bytes ("Quotas for
// configuring and running a WebSocket API in API Gateway").
const (
	MaxFrameBytes   = 32 << 10
	MaxMessageBytes = 128 << 10
)

// LargestResult is the largest result of an operation, in bytes. A function's answer
// has 6 MB as JSON, in which each byte may take six, as "<" does ("Lambda quotas").
const LargestResult = 1_000_000

// MaxBodyBytes is the largest body of an HTTP request that is read.
const MaxBodyBytes = 1 << 20

// Production is the deployment that is always a production: it keeps its kept tables and
// has the settings of Setting.Production.
const Production = "prod"

// Stages of the APIs.
const (
	SocketStage = "live"     // of the WebSocket API
	LocalStage  = "local"    // the same, in the local cloud
	HTTPStage   = "$default" // of the HTTP API, not part of its URL
)

// Throttles of the stages, in requests a second, with their bursts. All APIs of a
// region share the account's quota of 10,000 a second with the posts to clients, so
// clients get only a part of it. Posts keep to APIRate.
const (
	SocketRate, SocketBurst = 3000, 1500
	HTTPRate, HTTPBurst     = 500, 500
)

// Life of a socket, and of what is stored for it.
const (
	IdleLimit       = 10 * time.Minute // the gateway closes a silent socket
	ConnectionLimit = 2 * time.Hour    // the gateway closes every socket
	ConnectionTTL   = ConnectionLimit + 15*time.Minute
	HostTTL         = 24 * time.Hour // the longest: a host, which closes its sockets itself, does so before
)

// Limits of one fan-out batch: a message of up to 64 KB is one SQS request, and the
// rest of that is for the envelope.
const (
	BatchTargets = 1000
	BatchBytes   = 60_000
)

// FastRows is the most subscriptions that who writes a row announces its event to. Reading more
// would take longer than the stream does, and cost as much again.
const FastRows = 1000

// StreamTopics is how many topics of a batch the stream function fans out at once.
const StreamTopics = 32

// QueueMessageBytes is the largest message sent to a queue, in bytes: below the 256 KiB
// of queues made before August 2025 ("SendMessageBatch" in the SQS API Reference), and
// of the local cloud's.
const QueueMessageBytes = 240_000

// Lambda's bounds for concurrency.
const (
	// LeastUnreserved is what must be left of an account's concurrency for functions
	// that reserve none ("Configuring reserved concurrency for a function").
	LeastUnreserved = 100

	// LeastMaxConcurrency is the smallest MaxConcurrency for a queue's mapping
	// ("ScalingConfig").
	LeastMaxConcurrency = 2
)
