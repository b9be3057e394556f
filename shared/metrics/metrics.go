// Package metrics counts what a function does and writes the sums to its log, in
// CloudWatch's embedded metric format. That takes no call and no permission.
//
// A metric has the deployment as its dimension, and some also a code out of a short list.
// Topics, viewers and connections are none: each would be a metric of its own, with a price.
//
// What AWS's services tell by themselves is not counted again. DynamoDB has throttles and
// conflicts of each table ("DynamoDB Metrics and dimensions": ReadThrottleEvents,
// WriteThrottleEvents, ConditionalCheckFailedRequests, TransactionConflict), Lambda the lag
// of streams ("Types of metrics for Lambda functions": IteratorAge), and SQS that of queues
// ("Available CloudWatch metrics for Amazon SQS": ApproximateAgeOfOldestMessage).
// OpenTelemetry has no names for these metrics: its conventions for GraphQL are of spans
// only ("Semantic conventions for GraphQL").
//
// Everything is counted when it is done, and as often as it is done: what comes again and is
// passed over is not counted. An invocation that dies or is timed out by Lambda loses its
// counts, and its work comes again.
package metrics

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Namespace and dimensions of all metrics.
const (
	Namespace = "Subwire"
	Stack     = "Stack" // name of the deployment, as in subwire-dev
	Code      = "Code"  // why something was refused
)

// Units of CloudWatch. They are not written, as a line costs by its bytes and nothing asks for
// its unit.
const (
	Count        = "Count"
	Milliseconds = "Milliseconds"
)

// maxValues is how many values a metric may have in a line ("Specification: Embedded
// metric format"). More are written in further lines.
const maxValues = 100

// Meter gathers what happens in an invocation. A nil Meter gathers nothing. It is safe
// for concurrent use.
type Meter struct {
	stack string
	out   io.Writer
	now   func() time.Time

	mu     sync.Mutex
	counts map[counter]int
	values map[Metric][]float64
	urgent bool      // whether there is more than refusals, which may wait
	next   time.Time // when refusals need not wait
}

type counter struct {
	metric Metric
	code   string // "" for a metric without codes
}

// New returns a meter of the deployment that writes lines to out.
func New(stack string, out io.Writer, now func() time.Time) *Meter {
	return &Meter{stack: stack, out: out, now: now, counts: map[counter]int{}, values: map[Metric][]float64{}}
}

// Add counts n.
func (m *Meter) Add(metric Metric, n int) { m.add(counter{metric, ""}, n, true) }

// AddCode counts one, in all and with the code. It is for the metrics that have codes.
func (m *Meter) AddCode(metric Metric, code string) { m.addCode(metric, code, true) }

// betweenRefusals is the time between two lines of a process that have nothing else.
const betweenRefusals = time.Second

// AddRefusal is AddCode for what anybody may do as often as they like without being charged
// for it. So that a flood does not cost a line each, what comes within a second of a line
// waits for the next one, which may be that of a later invocation.
func (m *Meter) AddRefusal(metric Metric, code string) { m.addCode(metric, code, false) }

func (m *Meter) addCode(metric Metric, code string, urgent bool) {
	if !slices.Contains(strings.Fields(metric.Codes), code) {
		code = Other
	}
	m.add(counter{metric, code}, 1, urgent)
}

func (m *Meter) add(c counter, n int, urgent bool) {
	if m == nil || n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[c] += n
	m.urgent = m.urgent || urgent
}

// Observe adds a value, of which CloudWatch makes percentiles.
func (m *Meter) Observe(metric Metric, value float64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[metric] = append(m.values[metric], value)
	m.urgent = true
}

// Flush writes what was gathered, if anything was: a line for what has no code, and one
// for each code.
func (m *Meter) Flush() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if len(m.counts) == 0 && len(m.values) == 0 || !m.urgent && now.Before(m.next) {
		return
	}
	if !m.urgent {
		m.next = now.Add(betweenRefusals)
	}
	m.urgent = false
	lines := map[string]line{}
	for c, n := range m.counts {
		lines[c.code] = append(lines[c.code], datum{c.metric, n})
	}
	for len(m.values) > 0 {
		var more line
		for metric, values := range m.values {
			some := values[:min(len(values), maxValues)]
			more = append(more, datum{metric, some})
			if m.values[metric] = values[len(some):]; len(m.values[metric]) == 0 {
				delete(m.values, metric)
			}
		}
		if len(m.values) > 0 {
			m.write("", more)
		} else {
			lines[""] = append(lines[""], more...)
		}
	}
	clear(m.counts)
	for _, code := range slices.Sorted(maps.Keys(lines)) {
		m.write(code, lines[code])
	}
}

// line is what is written together.
type line []datum

type datum struct {
	metric Metric
	value  any // a number, or several
}

// write writes a line. CloudWatch takes it for each of the sets of dimensions, so what has
// a code also counts for the deployment.
func (m *Meter) write(code string, l line) {
	type definition struct{ Name string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	type metadata struct {
		Timestamp         int64 // Unix milliseconds
		CloudWatchMetrics []directive
	}
	dimensions := [][]string{{Stack}}
	members := map[string]any{Stack: m.stack}
	if code != "" {
		dimensions = append(dimensions, []string{Stack, Code})
		members[Code] = code
	}
	var defined []definition
	for _, d := range l {
		defined = append(defined, definition{d.metric.Name})
		members[d.metric.Name] = d.value
	}
	slices.SortFunc(defined, func(a, b definition) int { return cmp.Compare(a.Name, b.Name) })
	members["_aws"] = metadata{m.now().UnixMilli(), []directive{{Namespace, dimensions, defined}}}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	m.out.Write(append(text, '\n')) // without a log nobody can be told
}
