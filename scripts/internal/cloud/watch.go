package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/cloudwatch"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/esm"
	"subwire/scripts/internal/lambdart"
	"subwire/shared/topology"
)

// watch reports to CloudWatch what AWS's services publish by themselves, as far as the
// topology's alarms look at it, and reads the functions' metrics from what they print.
type watch struct {
	to      *cloudwatch.Watch
	clock   *cloudwatch.Clock
	account *lambdart.Account

	mu     sync.Mutex
	queues map[string]*waiting // by logical name
}

// waiting is what is known of a queue's messages.
type waiting struct {
	sent  map[string]time.Time // by id, of those that were received and are still there
	moved time.Time            // when the queue was last empty, or lost a message
}

func newWatch(to *cloudwatch.Watch, clock *cloudwatch.Clock) *watch {
	return &watch{to: to, clock: clock, queues: map[string]*waiting{}}
}

func (w *watch) count(of topology.Source, metric string, value float64) {
	w.to.Count(of, metric, w.clock.Now(), value)
}

// invoked: "Types of metrics for Lambda functions".
func (w *watch) invoked(function string, took time.Duration, err error) {
	of, failed := topology.Source{Function: function}, 0.0
	if err != nil {
		failed = 1
	}
	w.count(of, "Invocations", 1)
	w.count(of, "Errors", failed)
	w.count(of, "Duration", float64(took.Milliseconds()))
	w.claimed()
}

func (w *watch) refusedBy(function string) {
	w.count(topology.Source{Function: function}, "Throttles", 1)
	w.claimed()
}

func (w *watch) claimed() {
	w.count(topology.Source{Account: true}, "ClaimedAccountConcurrency", float64(w.account.Claimed()))
}

func (w *watch) stream(function string) esm.StreamWatch {
	of := topology.Source{Function: function}
	return esm.StreamWatch{
		Sent: func(last time.Time) {
			w.count(of, "IteratorAge", float64(w.clock.Now().Sub(w.clock.At(last)).Milliseconds()))
		},
		Lost: func() { w.count(of, "DestinationDeliveryFailures", 1) },
	}
}

// throttled: "DynamoDB metrics and dimensions". An index has its own, besides its table's.
func (w *watch) throttled(table, index string, read bool) {
	metric := "WriteThrottleEvents"
	if read {
		metric = "ReadThrottleEvents"
	}
	w.count(topology.Source{Table: table}, metric, 1)
	if index != "" {
		w.count(topology.Source{Table: table, Index: index}, metric, 1)
	}
}

// refused counts a request that a fault throttles.
func (w *watch) refused(prefix, operation string, body []byte) {
	var r struct {
		TableName, IndexName string
		RequestItems         map[string]json.RawMessage
		TransactItems        []map[string]struct{ TableName string }
	}
	if json.Unmarshal(body, &r) != nil {
		return
	}
	names := []string{r.TableName}
	for name := range r.RequestItems {
		names = append(names, name)
	}
	for _, item := range r.TransactItems {
		for _, call := range item {
			names = append(names, call.TableName)
		}
	}
	for _, name := range names {
		if name != "" {
			read := strings.Contains(operation, "Get") || operation == "Query" || operation == "Scan"
			w.throttled(strings.TrimPrefix(name, prefix), r.IndexName, read)
		}
	}
}

// gateway adds to the observer what API Gateway publishes.
func (w *watch) gateway(o apigwemu.Observer) apigwemu.Observer {
	sockets, web := topology.Source{Sockets: true}, topology.Source{HTTP: true}
	o.Refused = func() { w.count(sockets, "ClientError", 1) }
	o.Failed = func() { w.count(sockets, "ExecutionError", 1) }
	o.Answered = func(status int) {
		w.count(web, "Count", 1)
		switch {
		case status >= 500:
			w.count(web, "5xx", 1)
		case status >= 400:
			w.count(web, "4xx", 1)
		}
	}
	return o
}

// log reads the metrics out of what the function prints, and passes everything on.
func (w *watch) log(function string, to io.Writer) io.Writer {
	return writer(func(line []byte) (int, error) {
		w.to.Line(function, strings.TrimPrefix(string(line), function+": "), w.clock.At)
		return to.Write(line)
	})
}

// writer gets whole lines.
type writer func(line []byte) (int, error)

func (w writer) Write(line []byte) (int, error) { return w(line) }

func (w *watch) queue(name string) *waiting {
	q := w.queues[name]
	if q == nil {
		q = &waiting{sent: map[string]time.Time{}, moved: w.clock.Now()}
		w.queues[name] = q
	}
	return q
}

// message notes which messages of a queue were received and are still there.
func (w *watch) message(queue string) func(m types.Message, here bool) {
	return func(m types.Message, here bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		q := w.queue(queue)
		if !here {
			delete(q.sent, *m.MessageId)
			q.moved = w.clock.Now()
			return
		}
		ms, _ := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
		q.sent[*m.MessageId] = w.clock.At(time.UnixMilli(ms))
	}
}

// age is the age of the oldest message, given how many there are.
func (w *watch) age(queue string, messages int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	q, now := w.queue(queue), w.clock.Now()
	if messages == 0 {
		clear(q.sent) // what is not here was moved to dead letters
		q.moved = now
		return 0
	}
	oldest := q.moved
	if len(q.sent) > 0 {
		oldest = now
	}
	for _, sent := range q.sent {
		if sent.Before(oldest) {
			oldest = sent
		}
	}
	return now.Sub(oldest)
}

// Sample looks into the queues and reports what SQS publishes every minute ("Available
// CloudWatch metrics for Amazon SQS"). A running cloud does it by itself.
func (c *Cloud) Sample(ctx context.Context) error {
	client := sqs.NewFromConfig(c.Backend.AWS())
	for name, url := range c.Queues {
		d, err := deployment.DepthOf(ctx, client, url)
		if err != nil {
			return fmt.Errorf("look at %s: %w", name, err)
		}
		of := topology.Source{Queue: name}
		c.watch.count(of, "ApproximateNumberOfMessagesVisible", float64(d.Visible))
		c.watch.count(of, "ApproximateAgeOfOldestMessage", c.watch.age(name, d.Visible+d.Delayed+d.InFlight).Seconds())
	}
	return nil
}

// serveMetrics samples the queues and answers with the cloudwatch.Report of now.
func (c *Cloud) serveMetrics(w http.ResponseWriter, r *http.Request) {
	now := c.cfg.Clock.Now()
	err := c.Sample(r.Context())
	report := cloudwatch.Report{At: now, Points: c.Watch.Minute(now), Faults: c.Watch.Faults()}
	if err == nil {
		report.Alarms, err = c.Alarms(now)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(report) // the caller may have gone
}

// sampling is how often the queues are looked into: so often that subwire top shows it.
const sampling = 10 * time.Second

func (c *Cloud) startSampling() {
	c.running.Go(func() {
		tick := time.NewTicker(sampling)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-c.run.Done():
				return
			}
			if err := c.Sample(c.run); err != nil && c.run.Err() == nil {
				c.cfg.Log.Warn("queues not sampled", "error", err)
			}
		}
	})
}

// Alarms returns the names of the alarms that are on after the minute of at, sorted as in
// the topology. Their definitions are the deployment's.
func (c *Cloud) Alarms(at time.Time) (on []string, err error) {
	concurrency := c.cfg.Concurrency
	if concurrency == 0 {
		concurrency = lambdart.DefaultConcurrency
	}
	for _, a := range c.cfg.App.Alarms(concurrency) {
		is, err := c.Watch.On(a, at)
		if err != nil {
			return nil, err
		}
		if is {
			on = append(on, a.Name)
		}
	}
	return on, nil
}
