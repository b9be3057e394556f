package metrics

// Metric is one of those below.
type Metric struct {
	Name string
	Unit string
	Says string // for the dashboard

	// Codes are those that it is counted with, separated by spaces; "" for none. They are few,
	// as each is a metric of its own to CloudWatch. All others are counted as Other.
	Codes string
}

// Other is the code of what has another code than those of its metric, as products may
// have any.
const Other = "other"

// What connect, message, disconnect and graphql count.
var (
	Connected    = count("Connected", "handshakes that were accepted")
	Acknowledged = count("Acknowledged", "connections whose connection_init was accepted")
	Refused      = coded("Refused", "handshakes and HTTP requests that were refused, by status; "+
		"connections that a message of their client ended, by close code",
		"400 401 403 429 500 503 4400 4401 4403 4408 4409 4429 4500")
	Disconnected = count("Disconnected", "sockets that closed, as far as API Gateway told")
	Operations   = count("Operations", "operations that clients asked for, over HTTP and sockets")
	Failed       = coded("Failed", "operations that were answered with an error, by its code",
		"GRAPHQL_PARSE_FAILED GRAPHQL_VALIDATION_FAILED BAD_USER_INPUT UNAUTHENTICATED FORBIDDEN PAYLOAD_TOO_LARGE "+
			"LIMIT_EXCEEDED TOO_MANY_OPERATIONS REPLAY_LIMIT UNAVAILABLE INTERNAL_SERVER_ERROR")
	Subscribed = count("Subscribed", "subscriptions that began")
	Completed  = count("Completed", "operations that their client ended")
	Replays    = count("Replays", "subscriptions that began with a replay")
	Replayed   = count("Replayed", "events that were posted by replays")
)

// What message, graphql, publish and a host count of the fast way.
var (
	Fast       = count("Fast", "events that were announced as soon as they were written")
	FastFailed = count("FastFailed", "events that could not be, and were left to the stream")
)

// What stream counts, of each event once it is sent.
var (
	Events   = count("Events", "events that were sent on")
	LeftOut  = count("LeftOut", "events that were not, as a newer one was sent instead")
	Batches  = count("Batches", "messages of the fan-out queue")
	Targets  = count("Targets", "subscriptions in these messages")
	Filtered = count("Filtered", "subscriptions whose filter an event did not pass")
	FanOut   = values("FanOut", Count, "targets of an event")
)

// What sender counts. Each time that it is given a batch, Posted, Gone, Expired, Retried,
// Parked, Skipped and Again are together the batch's targets.
var (
	Executions = count("Executions", "executions of an operation with an event")
	Posted     = count("Posted", "targets that got their message")
	Busy       = count("Busy", "posts that failed and were tried again or queued")
	Gone       = count("Gone", "targets whose connection was gone")
	Expired    = count("Expired", "targets whose time was up")
	Retried    = count("Retried", "targets that were queued for later")
	Skipped    = count("Skipped", "targets that had the event before, or had ended")
	Again      = count("Again", "targets that come again with their batch, as it failed")
	Latency    = values("Latency", Milliseconds, "from the write to the last post of a batch")
	Paced      = values("Paced", Milliseconds, "that a batch's posts waited for the account's quota, if they did")
)

// Parked is what sender, stream and publish put into dead letters.
var Parked = count("Parked", "targets, records and events that were put into dead letters")

// What canary counts.
var (
	CanaryLatency = values("CanaryLatency", Milliseconds, "from the canary's post to its event")
	CanaryFailed  = count("CanaryFailed", "runs of the canary without an event in time")
)

// What a host tells of each of its processes, every ten seconds.
var (
	Sockets   = values("Sockets", Count, "open sockets of one process of the host")
	LeaseLost = count("LeaseLost", "leases that a process of the host could not keep")
)

// Published is what publish took from outside.
var Published = count("Published", "events from outside that were taken; a repeated one again")

var all []Metric

// All lists the metrics.
func All() []Metric { return all }

func count(name, says string) Metric { return values(name, Count, says) }

func values(name, unit, says string) Metric { return add(Metric{Name: name, Unit: unit, Says: says}) }

func coded(name, says, codes string) Metric {
	return add(Metric{Name: name, Unit: Count, Says: says, Codes: codes})
}

func add(m Metric) Metric {
	all = append(all, m)
	return m
}
