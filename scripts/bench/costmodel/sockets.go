package costmodel

import (
	"time"

	"subwire/scripts/internal/billing"
	"subwire/shared/topology"
)

// Socket is how long the functions of a connection take.
type Socket struct {
	Connect, Message, Disconnect time.Duration // one invocation
}

// Connection is what one connection costs from $connect to $disconnect, without its
// minutes: connection_init, and one subscription of the same duration. Its init check
// does not share a request.
func (s Socket) Connection() billing.Usage {
	one := billing.Table{Requests: 1, Writes: 1}
	connections := topology.Connections.Name
	return billing.Usage{
		Gateway: billing.Gateway{Received: 2, Sent: 1},
		Functions: map[string]billing.Function{
			topology.Connect.Name:    function(topology.Connect, 1, s.Connect, 0),
			topology.Message.Name:    function(topology.Message, 2, s.Message, 0),
			topology.Disconnect.Name: function(topology.Disconnect, 2, s.Disconnect, 0), // and the init check
		},
		Queues: map[string]billing.Queue{topology.ConnectionChecks.Name: {Sends: 1, Receives: 1, Deletes: 1}},
		Tables: map[string]billing.Table{
			connections + ".PutItem":                        one,
			connections + ".GetItem":                        {Requests: 3, Reads: 3},  // one of them checks whether the operation is still running
			connections + ".UpdateItem":                     {Requests: 4, Writes: 4}, // acknowledged, subscribed, closing, and the init check, refused
			connections + ".DeleteItem":                     one,
			topology.Operations.Name + ".PutItem":           one,
			topology.Subscriptions.Name + ".PutItem":        one,
			topology.Subscriptions.Name + ".BatchWriteItem": one,
		},
	}
}

// Ping is what one ping of a client and the pong to it cost.
func (s Socket) Ping() billing.Usage {
	return billing.Usage{
		Gateway:   billing.Gateway{Received: 1, Sent: 1},
		Functions: map[string]billing.Function{topology.Message.Name: function(topology.Message, 1, s.Message, 0)},
		Tables:    map[string]billing.Table{topology.Connections.Name + ".GetItem": {Requests: 1, Reads: 1}},
	}
}

// Open is what a connection costs that is open for that long, with a ping after each
// interval. It is reopened every two hours.
func (s Socket) Open(long, interval time.Duration) billing.Usage {
	minutes := billing.Usage{Gateway: billing.Gateway{ConnectionMinutes: long.Minutes()}}
	return minutes.
		Plus(s.Connection().Times(float64(long) / float64(topology.ConnectionLimit))).
		Plus(s.Ping().Times(float64(long) / float64(interval)))
}

// Pollers per queue of Lambda's event source mappings, and how long their receives
// wait for a message ("Using Lambda with Amazon SQS" in the Lambda Developer Guide).
const (
	pollers  = 5
	longPoll = 20 * time.Second
)

// Polling is the most that the queues' event source mappings cost in that time while
// nothing arrives.
func Polling(long time.Duration) billing.Usage {
	u := billing.Usage{Queues: map[string]billing.Queue{}}
	for _, m := range topology.QueueMappings() {
		u.Queues[m.Queue.Name] = billing.Queue{FIFO: m.Queue.FIFO, Empty: pollers * float64(long) / float64(longPoll)}
	}
	return u
}
