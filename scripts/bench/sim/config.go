package sim

import (
	"strconv"
	"time"

	"subwire/shared/topology"
)

// Config is what is simulated: a deployment, its quotas and service times.
type Config struct {
	Quotas Quotas
	Times  Times
	Seed   uint64
}

// Quotas are those of an account in one region, and those that topology sets.
type Quotas struct {
	Requests      float64 // API Gateway: HTTP requests, messages and posts together, per second
	RequestBurst  float64 // the burst of these
	Connects      float64 // new sockets per second
	TopicReads    float64 // DynamoDB: read units per second of one partition
	TopicWrites   float64 // DynamoDB: write units per second of one partition
	GroupSends    float64 // SQS FIFO: requests per second of one message group
	Shards        int     // of the messages table's stream
	Lanes         int     // concurrent invocations per shard; above 1 a topic's events have no order
	Records       int     // per invocation
	Topics        int     // of one invocation, side by side
	Groups        int     // message groups per topic
	Senders       int     // concurrent invocations for fanout.fifo
	Retriers      int     // the same for retries
	Receive       int     // messages per invocation
	Targets       int     // per batch
	Workers       int     // posts in flight per sender
	Concurrency   int     // of $connect and message functions together
	StreamTimeout time.Duration
	SenderTimeout time.Duration
}

// Defaults are the quotas of a new account ("Quotas for configuring and running a WebSocket
// API in API Gateway", "Amazon SQS message quotas", "Lambda quotas", "Best practices for
// designing and using partition keys") and the settings of topology. A batch's targets have
// operation ids as long as UUIDs and the start time of each operation.
func Defaults() Quotas {
	fanout, retries := topology.QueueMappings()[0], topology.QueueMappings()[1]
	return Quotas{
		Requests: 10_000, RequestBurst: 5_000, Connects: 500, TopicReads: 3_000, TopicWrites: 1_000, GroupSends: 300,
		Shards: 1, Lanes: topology.TableStream.Parallelization, Records: topology.TableStream.BatchSize, Topics: topology.StreamTopics,
		Groups: number(topology.FanoutGroups), Senders: fanout.MaxConcurrency, Retriers: retries.MaxConcurrency, Receive: fanout.BatchSize,
		Targets: min(topology.BatchTargets, (topology.BatchBytes-batchOverhead)/targetBytes), Workers: number(topology.SenderWorkers),
		Concurrency:   1000 - reserved(),
		StreamTimeout: topology.Stream.Timeout - 5*time.Second, // less the reserves of the functions
		SenderTimeout: topology.Sender.Timeout - 8*time.Second,
	}
}

// Sizes of a batch, in bytes: event and operations, and one target.
const (
	batchOverhead = 1500
	targetBytes   = 89
)

// reserved is the concurrency that $connect and message functions cannot use.
func reserved() (n int) {
	for _, f := range topology.Functions() {
		n += f.Reserved
	}
	return n
}

func number(s topology.SettingOf[int]) int {
	n, err := strconv.Atoi(s.Default)
	if err != nil {
		panic(s.Env + " has no number for a default") // topology is data
	}
	return n
}

// Times are how long the parts take. They are measured unless noted otherwise.
type Times struct {
	GraphQL time.Duration // one mutation
	Poll    time.Duration // between two reads of a stream that find nothing
	Stream  time.Duration // one record, without its rows
	Row     time.Duration // one subscription read, planned and encoded
	Send    time.Duration // one request to SQS
	Receive time.Duration // from a message in the queue to its invocation
	Sender  time.Duration // one invocation, without its posts
	Post    time.Duration // one post, there and back
	PostCPU time.Duration // one post's share of a vCPU
	Message time.Duration // one invocation of connect or message
}
