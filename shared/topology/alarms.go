package topology

import (
	"iter"
	"regexp"
	"strings"
	"time"

	"subwire/shared/metrics"
)

// Alarm is a CloudWatch alarm on a metric that an AWS service publishes by itself, or
// that the functions write to their logs. It goes off when the metric was above Above in
// Bad of the last Minutes minutes. A minute without data is a good one, unless Missing is set.
type Alarm struct {
	Name   string // unique in the deployment
	Of     Source
	Metric string

	// Expression, instead of Metric, is computed from the statistics of several metrics of
	// Of, which it names with a small letter: 100 * busy / posted. It is arithmetic of
	// "Using metric math": what is missing is 0, and if all is missing, or something is
	// divided by zero, there is no data.
	Expression string

	Statistic string // over a minute
	Above     float64
	Bad       int
	Minutes   int
	Missing   bool   // whether a minute without data is a bad one
	Says      string // what is wrong, in a sentence
	Runbook   string // heading in docs/operations.md that says what to do
}

// Source is what a metric is measured of. One field is set; of an index, its table, too.
type Source struct {
	Queue    string // logical name
	Function string // logical name
	Table    string // logical name
	Index    string // of the table
	Sockets  bool   // the WebSocket API
	HTTP     bool   // the HTTP API
	Account  bool   // all functions in the account and region
	Own      bool   // the stack: package metrics
	Balancer bool   // the host's load balancer
	Targets  bool   // the tasks behind it, as it sees them
	Tasks    bool   // these, as they see themselves
}

// Names are a deployment's physical names, by which CloudWatch knows its resources.
type Names struct {
	Queue, Function, Table func(logical string) string
	Sockets, HTTP          string // ids of the APIs
	Stack                  string

	Balancer, Targets string // full names of the load balancer and its target group
	Cluster, Service  string // of the tasks
}

// Dimension is one of a metric.
type Dimension struct{ Name, Value string }

// CloudWatch returns the namespace and the dimensions of the source's metrics.
func (s Source) CloudWatch(n Names) (namespace string, dimensions []Dimension) {
	switch {
	case s.Queue != "":
		return "AWS/SQS", []Dimension{{"QueueName", n.Queue(s.Queue)}}
	case s.Function != "":
		return "AWS/Lambda", []Dimension{{"FunctionName", n.Function(s.Function)}}
	case s.Index != "":
		return "AWS/DynamoDB", []Dimension{{"TableName", n.Table(s.Table)}, {"GlobalSecondaryIndexName", s.Index}}
	case s.Table != "":
		return "AWS/DynamoDB", []Dimension{{"TableName", n.Table(s.Table)}}
	case s.Sockets:
		return "AWS/ApiGateway", []Dimension{{"ApiId", n.Sockets}}
	case s.HTTP:
		return "AWS/ApiGateway", []Dimension{{"ApiId", n.HTTP}}
	case s.Own:
		return metrics.Namespace, []Dimension{{metrics.Stack, n.Stack}}
	case s.Balancer:
		return "AWS/ApplicationELB", []Dimension{{"LoadBalancer", n.Balancer}}
	case s.Targets:
		return "AWS/ApplicationELB", []Dimension{{"LoadBalancer", n.Balancer}, {"TargetGroup", n.Targets}}
	case s.Tasks:
		return "AWS/ECS", []Dimension{{"ClusterName", n.Cluster}, {"ServiceName", n.Service}}
	case s.Account:
		return "AWS/Lambda", nil
	}
	panic("topology: a source of nothing")
}

var identifier = regexp.MustCompile(`[a-z]\w*`)

// Metrics yields the ids in the expression with the metrics' names, each once.
func (a Alarm) Metrics() iter.Seq2[string, string] {
	return func(yield func(id, metric string) bool) {
		seen := map[string]bool{}
		for _, id := range identifier.FindAllString(a.Expression, -1) {
			if !seen[id] && !yield(id, strings.ToUpper(id[:1])+id[1:]) {
				return
			}
			seen[id] = true
		}
	}
}

// Headings of the runbook.
const (
	RunbookDead      = "Dead letters"
	RunbookLate      = "Late"
	RunbookErrors    = "Errors"
	RunbookThrottled = "Throttled"
	RunbookDropped   = "Dropped records"
	RunbookRefused   = "Refused posts"
)

// Alarms lists the alarms of a deployment of the product, in an account that may run as
// many functions at once.
func (p Product) Alarms(concurrency int) []Alarm {
	all := []Alarm{{Name: "concurrency", Of: Source{Account: true},
		// "Monitoring concurrency" in the AWS Lambda Developer Guide
		Metric: "ClaimedAccountConcurrency", Statistic: "Maximum", Above: 0.9 * float64(concurrency), Bad: 3, Minutes: 5,
		Says: "Nine tenths of the account's concurrency are in use or reserved.", Runbook: RunbookThrottled}}
	for _, q := range p.Queues() {
		all = append(all, q.alarm())
	}
	for _, f := range p.Functions() {
		if f.Name != Canary.Name {
			all = append(all, f.alarms()...)
		}
	}
	all = append(all, p.canaryAlarms()...)
	all = append(all, p.hostAlarms()...)
	all = append(all, streamAlarms()...)
	for _, t := range p.AllTables() {
		all = append(all, t.alarms()...)
	}
	return append(append(all, apiAlarms...), ownAlarms...)
}

// "Available CloudWatch metrics for Amazon SQS": the age is in seconds. Whether it counts
// a message's delay is not said: it is taken to.
func (q Queue) alarm() Alarm {
	a := Alarm{Name: "queue-" + strings.TrimSuffix(q.Name, ".fifo"), Of: Source{Queue: q.Name}, Statistic: "Maximum"}
	if q.Late == 0 {
		a.Metric, a.Bad, a.Minutes = "ApproximateNumberOfMessagesVisible", 1, 1
		a.Says, a.Runbook = "Something could not be delivered. It is kept here, to be sent again.", RunbookDead
		return a
	}
	a.Metric, a.Above, a.Bad, a.Minutes = "ApproximateAgeOfOldestMessage", q.Late.Seconds(), 3, 5
	a.Says, a.Runbook = "Messages are not handled in time.", RunbookLate
	return a
}

// "Types of metrics for Lambda functions". The functions handle what they foresee, so any
// error is news; a single one may be a process that AWS took away.
func (f Function) alarms() []Alarm {
	return []Alarm{
		{Name: f.Name + "-errors", Of: Source{Function: f.Name}, Metric: "Errors", Statistic: "Sum", Bad: 3, Minutes: 5,
			Says: "Invocations fail or run out of time.", Runbook: RunbookErrors},
		{Name: f.Name + "-throttles", Of: Source{Function: f.Name}, Metric: "Throttles", Statistic: "Sum", Bad: 3, Minutes: 5,
			Says: "Invocations are refused: the function or the account has as many as it may.", Runbook: RunbookThrottled},
	}
}

// streamAlarms are about the function that reads all streams. Records that Lambda gives
// up leave their positions in the dead letters, unless those take nothing ("Types of
// metrics for Lambda functions").
func streamAlarms() []Alarm {
	reader := Source{Function: Stream.Name}
	return []Alarm{
		{Name: "stream-late", Of: reader, Metric: "IteratorAge", Statistic: "Maximum",
			Above: float64(time.Minute.Milliseconds()), Bad: 3, Minutes: 5,
			Says: "Changes wait in a stream for more than a minute.", Runbook: RunbookLate},
		{Name: "stream-lost", Of: reader, Metric: "DestinationDeliveryFailures", Statistic: "Sum", Bad: 1, Minutes: 1,
			Says: "The positions of records that were given up could not be kept.", Runbook: RunbookDropped},
	}
}

// "DynamoDB metrics and dimensions". A table grows with its load and throttles while it
// does; all clients here try again. An index has metrics of its own.
func (t Table) alarms() []Alarm {
	sources := []Source{{Table: t.Name}}
	for _, index := range t.Indexes {
		sources = append(sources, Source{Table: t.Name, Index: index.Name})
	}
	var all []Alarm
	for _, of := range sources {
		name := "table-" + strings.TrimSuffix(of.Table+"-"+of.Index, "-")
		for _, what := range []string{"Read", "Write"} {
			all = append(all, Alarm{Name: name + "-" + strings.ToLower(what) + "s", Of: of,
				Metric: what + "ThrottleEvents", Statistic: "Sum", Bad: 3, Minutes: 5,
				Says: what + "s are throttled: a key is too busy, or the limit is reached.", Runbook: RunbookThrottled})
		}
	}
	return all
}

// ownAlarms are about what the functions count, and no AWS service does. With METRICS=false
// they cannot go off.
//
// The 200 let the eleventh refused post of a minute be the first that counts: a few are one
// slow client. From some thousand posts a minute on they change nothing.
//
// Pushes are missing when in three of five minutes less than a twentieth of the targets got
// any outcome. That holds when nothing goes out, also if no function fails; not in an hour
// without events, and not at an event in the last second of a minute, whose posts count in
// the next. Latencies alone would not tell: what is not posted has none. But they tell of
// pushes that go out late. Ten seconds are far above what three cold starts take.
var ownAlarms = []Alarm{
	{Name: "posts-refused", Of: Source{Own: true}, Expression: "100 * busy / (busy + posted + 200)", Statistic: "Sum",
		Above: 5, Bad: 3, Minutes: 5, Runbook: RunbookRefused,
		Says: "API Gateway does not take more than a twentieth of the posts."},
	{Name: "push-missing", Of: Source{Own: true}, Statistic: "Sum",
		Expression: "100 * targets / (targets + posted + gone + expired + retried + skipped + parked)",
		Above:      95, Bad: 3, Minutes: 5, Says: "Events are planned, but are not posted.", Runbook: RunbookLate},
	{Name: "push-late", Of: Source{Own: true}, Metric: metrics.Latency.Name, Statistic: "p99",
		Above: 10_000, Bad: 3, Minutes: 5, Runbook: RunbookLate,
		Says: "Events take more than ten seconds to their subscribers."},
	{Name: "parked", Of: Source{Own: true}, Metric: metrics.Parked.Name, Statistic: "Sum", Bad: 1, Minutes: 1,
		Says: "A function has put something into dead letters.", Runbook: RunbookDead},
}

// apiAlarms: "WebSocket API metrics" and "HTTP API metrics" in the API Gateway Developer
// Guide. Clients that are refused, by the stage's throttle or for what they send, are
// worth a look when they are many.
var apiAlarms = []Alarm{
	{Name: "sockets-errors", Of: Source{Sockets: true}, Metric: "ExecutionError", Statistic: "Sum", Bad: 3, Minutes: 5,
		Says: "API Gateway cannot reach the functions of the WebSocket API.", Runbook: RunbookErrors},
	{Name: "sockets-refusals", Of: Source{Sockets: true}, Metric: "ClientError", Statistic: "Sum",
		Above: manyRefusals, Bad: 3, Minutes: 5,
		Says: "Many handshakes and messages are refused before they reach a function.", Runbook: RunbookThrottled},
	{Name: "http-errors", Of: Source{HTTP: true}, Metric: "5xx", Statistic: "Sum", Bad: 3, Minutes: 5,
		Says: "Requests to the HTTP API fail.", Runbook: RunbookErrors},
	{Name: "http-refusals", Of: Source{HTTP: true}, Metric: "4xx", Statistic: "Sum",
		Above: manyRefusals, Bad: 3, Minutes: 5,
		Says: "Many requests to the HTTP API are refused.", Runbook: RunbookThrottled},
}

const manyRefusals = 600 // a minute
