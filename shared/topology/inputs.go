package topology

import "time"

// What a deployment has besides if Product.Inputs says so: ways in for events that other
// programs publish.

// InboxTable is the logical name of the table of published events.
const InboxTable = "inbox"

// Events takes events from programs, EventBridge and SNS. It keeps no order. A FIFO queue
// would keep none of what comes through AWS either: EventBridge gives all events of a
// target one fixed group ("SqsParameters" in its API Reference), with the throughput of
// one, and a FIFO queue takes only FIFO topics' messages. (The last is a guess: "Message
// delivery for FIFO topics" names no other.)
//
// A message is received for an hour before it is given up, which lets it wait while the
// table is throttled. The function parks at once what can never be published.
var (
	Events = Queue{Name: "events", Visibility: 6 * publishTimeout, Retention: 4 * 24 * time.Hour,
		DeadLetters: EventsDead.Name, MaxReceives: 60, Late: 5 * time.Minute}
	EventsDead = Queue{Name: "events-dead", Env: "EVENTS_DEAD_QUEUE", Visibility: 30 * time.Second, Retention: fourteenDays}
)

const publishTimeout = 10 * time.Second

// Publish publishes what comes by EventsRoute and by the queue Events.
var Publish = Function{Name: "publish", Timeout: publishTimeout, MemoryMB: 512, Queues: []Queue{EventsDead}}

// EventsRoute takes events by HTTP, of who may invoke it.
var EventsRoute = HTTPRoute{Method: "POST", Path: "/events", Function: Publish, IAM: true}

// Message attributes that name an event and its id when a queue's message is its data alone.
const EventAttribute, IDAttribute = "event", "id"

// MostEvents is how many events one request may have.
const MostEvents = 25
