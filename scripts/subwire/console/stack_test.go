package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/console"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/figures"
	"subwire/shared/chat/chattest"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// fakeAWS is a stack's queues, figures and tables.
type fakeAWS struct {
	mu          sync.Mutex // guards err and looks
	err         error      // of every request, if any
	looks       int
	bytes, rows int64
	connections []pubsub.Connection
	scanErr     error // after the connections
	block       chan struct{}
}

func (f *fakeAWS) GetQueueAttributes(_ context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	err, n := f.failure(), "0"
	if strings.HasSuffix(*in.QueueUrl, "retries-dead") {
		n = "2"
	}
	return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{"ApproximateNumberOfMessages": n,
		"ApproximateNumberOfMessagesNotVisible": "1", "ApproximateNumberOfMessagesDelayed": "0"}}, err
}

func (f *fakeAWS) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fakeAWS) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeAWS) looked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks
}

func (f *fakeAWS) Look(_ context.Context, _ []topology.Part) (figures.Look, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looks++; f.err != nil {
		return figures.Look{}, f.err
	}
	return figures.Look{Asked: 60, Alarms: []string{"parked"}, Figures: map[string]map[string]float64{
		"posts": {"posted": 120, "busy": 3, "latency p50, ms": 30, "latency p99, ms": 90}, "errors": {"sender": 2}}}, nil
}

func (f *fakeAWS) DescribeTable(_ context.Context, in *dynamodb.DescribeTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	return &dynamodb.DescribeTableOutput{Table: &dynamotypes.TableDescription{TableName: in.TableName,
		TableSizeBytes: &f.bytes, ItemCount: &f.rows}}, f.failure()
}

func (f *fakeAWS) Connections(ctx context.Context) iter.Seq2[pubsub.Connection, error] {
	return func(yield func(pubsub.Connection, error) bool) {
		if f.block != nil {
			<-f.block
		}
		for _, c := range f.connections {
			if !yield(c, ctx.Err()) {
				return
			}
		}
		if f.scanErr != nil {
			yield(pubsub.Connection{}, f.scanErr)
		}
	}
}

func newTest(ctx context.Context, f *fakeAWS, logs logs) *stack {
	d := deployment.Deployment{App: chattest.Product, Stack: "subwire-dev", HTTPURL: "https://abc.example.com/graphql", Queues: map[string]string{}}
	for _, q := range d.App.Queues() {
		d.Queues[q.Name] = "https://sqs.example.com/1/subwire-dev-" + q.Name
	}
	s := &stack{Deployment: d, run: ctx, notes: map[string]string{}, recorder: console.New(d.App),
		tail: newTail(logs, d.App, d.Stack, time.Now()), queues: f, figures: f, tables: f, store: f}
	s.recorder.Where, s.recorder.OnlyLines = d.Stack, true
	return s
}

const sent = `{"time":%q,"msg":"event sent","request":"r1","trace":"1-a","event":"e1","batches":2,"targets":5,"lag":100}`

// batch is a line of the sender.
func batch(at time.Time, group, attempt int, outcome string) string {
	return fmt.Sprintf(`{"time":%q,"msg":"batch delivered","request":"r2","event":"e1","range":%d,"attempt":%d,"outcome":%s}`,
		at.Format(time.RFC3339Nano), group, attempt, outcome)
}

// The page shows what the logs, metrics and queues say, and nothing is asked for that costs
// something while no page is open.
func TestWhatAStackShows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		f, logs := &fakeAWS{bytes: 8 << 20, rows: 900}, newLogs()
		logs.page = 100
		s := newTest(ctx, f, logs)
		s.watch()
		defer s.running.Wait()
		defer stop()
		time.Sleep(time.Hour)
		if n := f.looked(); n > 0 {
			t.Fatalf("without a page, figures were asked for %d times", n)
		}
		now := time.Now()
		logs.add(streamLog, now, fmt.Sprintf(sent, now.Format(time.RFC3339Nano)))
		logs.add(senderLog, now.Add(20*time.Millisecond), batch(now.Add(20*time.Millisecond), 0, 0, `{"Delivered":2}`))
		logs.add(senderLog, now.Add(40*time.Millisecond), batch(now.Add(40*time.Millisecond), 1, 0, `{"Delivered":1,"Gone":1,"Retried":1}`))
		s.State(ctx)
		time.Sleep(6 * time.Second)
		st := s.State(ctx)
		if st.Owed != 5 || st.Done != 3 || st.Ended != 1 || st.Lost != 0 || st.Dead != 5 || st.Where != "subwire-dev" {
			t.Errorf("owed %d, delivered %d, ended %d, lost %d, dead letters %d of %s", st.Owed, st.Done, st.Ended, st.Lost, st.Dead, st.Where)
		}
		if e := st.Events[0]; len(st.Events) != 1 || e.ID != "e1" || e.Done || e.Retries != 1 || e.LastMS != 140 {
			t.Errorf("events are %+v", st.Events)
		}
		if st.Latency.P99 != 90 || !slices.Equal(st.Alarms, []string{"parked"}) || len(st.Notes) > 0 || st.Scan.Units != 1024 || st.Scan.USD != 1024*0.125/1e6 {
			t.Errorf("latency %v, alarms %v, notes %v, scan %+v", st.Latency, st.Alarms, st.Notes, st.Scan)
		}
		if !slices.Contains(st.Figures, console.Figure{Part: "posts", Label: "posted", Value: 120}) {
			t.Errorf("figures are %v", st.Figures)
		}
		for _, n := range st.Nodes {
			if n.Name == "gateway" && (n.Out != 2 || n.Refused != 3) || n.Name == "sender" && n.Failed != 2 {
				t.Errorf("node %+v", n)
			}
		}
		if f.looked() != 1 || st.Bill[0].Units != 60 || st.USD < 0.0006 {
			t.Errorf("%d looks at figures; the bill is %v, %g", f.looked(), st.Bill, st.USD)
		}
		// The retry arrives; who is gone is not delivered to twice when a batch comes again.
		logs.add(senderLog, now.Add(time.Second), batch(now.Add(time.Second), 1, 1, `{"Delivered":1}`))
		logs.add(senderLog, now.Add(2*time.Second), batch(now.Add(2*time.Second), 0, 0, `{"Skipped":2}`))
		time.Sleep(6 * time.Second)
		st = s.State(ctx)
		if e := st.Events[0]; !e.Done || e.Delivered != 4 || st.Done+st.Ended != 5 || e.LastMS != 1100 {
			t.Errorf("then %+v, delivered %d, ended %d", e, st.Done, st.Ended)
		}
		trace, ok := s.Trace(ctx, "e1")
		if !ok || len(trace.Spans) != 5 || trace.Spans[0].Name != "stream · plan" || trace.Spans[3].Detail != "0 delivered, 2 skipped" {
			t.Errorf("trace is %+v", trace)
		}
		if _, ok := s.Trace(ctx, "e2"); ok {
			t.Error("an event that nobody knows has a trace")
		}
	})
}

// An event that was parked stops counting as lost once it is sent again.
func TestAnEventThatIsSentAgain(t *testing.T) {
	t.Parallel()
	s := newTest(t.Context(), &fakeAWS{}, nil)
	line := func(text string) { s.recorder.Line([]byte(text)) }
	line(batch(noon, 0, 0, `{"Delivered":3,"Parked":2}`)) // before the line that says how many
	if st := s.State(t.Context()); st.Done+st.Lost > 0 {
		t.Errorf("of nothing owed %d are delivered, %d lost", st.Done, st.Lost)
	}
	line(fmt.Sprintf(sent, noon.Format(time.RFC3339Nano)))
	if st := s.State(t.Context()); st.Done != 3 || st.Lost != 2 || st.Events[0].Parked != 2 {
		t.Errorf("delivered %d, lost %d, %+v", st.Done, st.Lost, st.Events[0])
	}
	line(batch(noon.Add(time.Hour), 0, 0, `{"Delivered":2}`))
	if st := s.State(t.Context()); st.Done != 5 || st.Lost != 0 {
		t.Errorf("then delivered %d, lost %d", st.Done, st.Lost)
	}
}

// Faults are said and end nothing; throttled requests are made less often.
func TestAStackThatRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		f, logs := &fakeAWS{err: throttled}, newLogs()
		logs.errs[streamLog] = errors.New("not allowed, Authorization: Bearer abc.def \x1b[1m")
		s := newTest(ctx, f, logs)
		s.watch()
		defer s.running.Wait()
		defer stop()
		s.State(ctx)
		for range 10 * 60 {
			s.State(ctx)
			time.Sleep(time.Second)
		}
		st := s.State(ctx)
		if all := strings.Join(st.Notes, "\n"); len(st.Notes) != 4 || !strings.Contains(all, "Rate exceeded") || strings.ContainsAny(all, "\x1b") || strings.Contains(all, "abc.def") {
			t.Errorf("notes are %q", st.Notes)
		}
		if n := f.looked(); n > 4 {
			t.Errorf("%d looks in ten minutes although all are throttled", n)
		}
		f.fail(nil)
		logs.fail(streamLog, nil)
		for range 10 * 60 {
			s.State(ctx)
			time.Sleep(time.Second)
		}
		if st = s.State(ctx); len(st.Notes) > 0 || len(st.Queues) == 0 || len(st.Figures) == 0 {
			t.Errorf("afterwards the notes are %q, %d queues, %d figures", st.Notes, len(st.Queues), len(st.Figures))
		}
	})
}

func connectionsOf(n int, expires time.Time) (all []pubsub.Connection) {
	for i := range n {
		all = append(all, pubsub.Connection{ID: fmt.Sprintf("c%d", i), Viewer: pubsub.Viewer{ID: "ada"}, Expires: expires,
			Operations: map[string]pubsub.Running{"1": {Topic: "newMessage/lobby"}, "2": {}}})
	}
	return all
}

// A scan happens for the price that was shown, once, and no further than that price says.
func TestScan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAWS{bytes: 1 << 20, rows: 700, connections: append(connectionsOf(600, time.Now().Add(time.Hour)), connectionsOf(1, time.Now())...)}
		s := newTest(t.Context(), f, nil)
		scan := s.actions().Scan
		if err := scan(t.Context(), 0); err == nil {
			t.Error("a scan without a price")
		}
		if err := s.lookAtTable(t.Context()); err != nil {
			t.Fatal(err)
		}
		price := s.State(t.Context()).Scan.USD
		if err := scan(t.Context(), price/2); err == nil || !strings.Contains(err.Error(), "something else") {
			t.Errorf("for half the price: %v", err)
		}
		f.block = make(chan struct{})
		if err := scan(t.Context(), price); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := scan(t.Context(), price); err == nil || !s.State(t.Context()).Scan.Running {
			t.Errorf("a second scan beside the first: %v", err)
		}
		if err := s.lookAtTable(t.Context()); err != nil || !s.State(t.Context()).Scan.Running {
			t.Error("a new price made the scan forgotten")
		}
		close(f.block)
		s.running.Wait()
		st := s.State(t.Context())
		if st.Open != 600 || len(st.Connections) != shownConnections || st.Scan.Running || st.Scan.At.IsZero() || st.Topics[0].Subscribers != 600 || st.Bill[2].Units != 128 {
			t.Errorf("%d open, %d shown, %+v, topics %v, bill %v", st.Open, len(st.Connections), st.Scan, st.Topics, st.Bill)
		}
		if l, ok := s.Log(t.Context(), "c7"); !ok || l.Viewer != "ada" {
			t.Errorf("connection is %+v, %t", l, ok)
		}
		f.connections, f.scanErr = connectionsOf(3, time.Now().Add(time.Hour)), throttled
		if err := scan(t.Context(), price); err != nil {
			t.Fatal(err)
		}
		s.running.Wait()
		if st = s.State(t.Context()); st.Open != 3 || len(st.Notes) != 1 {
			t.Errorf("with a fault %d open, notes %q", st.Open, st.Notes)
		}
		f.connections, f.scanErr = connectionsOf(1500, time.Now().Add(time.Hour)), nil
		if err := scan(t.Context(), price); err != nil {
			t.Fatal(err)
		}
		s.running.Wait()
		if st = s.State(t.Context()); st.Open != 1400 || !strings.Contains(strings.Join(st.Notes, ""), "has stopped") {
			t.Errorf("of a larger table %d were read, notes %q", st.Open, st.Notes)
		}
	})
}

// Sending again answers what became of it, or goes on without the page; two walks through a
// queue never run at once.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTest(t.Context(), &fakeAWS{}, nil)
		do := s.actions()
		s.letters = func(context.Context, string) ([]console.Letter, error) { return []console.Letter{{ID: "m"}}, nil }
		s.redrive = func(context.Context, string) (int, error) { return 3, nil }
		if n, err := do.Redrive(t.Context(), "retries-dead"); n != 3 || err != nil {
			t.Errorf("sent %d, %v", n, err)
		}
		// Two kinds of fault: nothing was sent; and all were, but the answer was lost.
		for _, n := range []int{0, 3} {
			s.redrive = func(context.Context, string) (int, error) { return n, throttled }
			if sent, err := do.Redrive(t.Context(), "retries-dead"); sent != n || !isThrottled(err) {
				t.Errorf("sent %d, %v", sent, err)
			}
			synctest.Wait()
			if notes := s.State(t.Context()).Notes; len(notes) != 1 {
				t.Errorf("notes %q", notes)
			}
		}
		goes := make(chan struct{})
		s.redrive = func(ctx context.Context, _ string) (int, error) { <-goes; return 3, ctx.Err() }
		leaves, leave := context.WithCancel(t.Context())
		if _, err := do.Redrive(leaves, "retries-dead"); err == nil || !strings.Contains(err.Error(), "takes a while") {
			t.Errorf("error is %v", err)
		}
		leave()
		if _, err := do.Letters(t.Context(), "retries-dead"); err == nil {
			t.Error("letters are read while they are sent again")
		}
		if _, err := do.Redrive(t.Context(), "retries-dead"); err == nil {
			t.Error("letters are sent again twice at once")
		}
		close(goes)
		s.running.Wait()
		if notes := s.State(t.Context()).Notes; len(notes) > 0 {
			t.Errorf("without its page it ended with %q", notes)
		}
		if l, err := do.Letters(t.Context(), "retries-dead"); len(l) != 1 || err != nil {
			t.Errorf("letters are %v, %v", l, err)
		}
	})
}

func TestAStackCannotBeBroken(t *testing.T) {
	t.Parallel()
	if can := newTest(t.Context(), &fakeAWS{}, nil).actions().Can(); can != (console.Can{Redrive: true, Scan: true}) {
		t.Errorf("can %+v", can)
	}
}

// start serves the page of a stack and returns its URL with the key.
func start(t *testing.T) (url string, stopped chan error, stop func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	out, in := io.Pipe()
	stopped = make(chan error, 1)
	d := newTest(ctx, &fakeAWS{}, nil).Deployment
	d.AWS = aws.Config{Region: "eu-west-1", RetryMaxAttempts: 1, HTTPClient: refusing{}}
	go func() { stopped <- serve(ctx, d, "127.0.0.1:0", in) }()
	text := make([]byte, 500)
	n, err := out.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return strings.Fields(string(text[:n]))[4], stopped, stop
}

// refusing is an AWS that cannot be reached.
type refusing struct{}

func (refusing) Do(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }

func TestThePageNeedsItsKeyAndEndsWithCtrlC(t *testing.T) {
	t.Parallel()
	url, stopped, stop := start(t)
	bare, _, ok := strings.Cut(url, "?key=")
	if !ok {
		t.Fatalf("the URL is %q", url)
	}
	get := func(c *http.Client, url string) int {
		t.Helper()
		resp, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	stranger := &http.Client{}
	for _, path := range []string{"", "?key=", "?key=x", "/api/state", "/console.js"} {
		if status := get(stranger, bare+path); status != http.StatusForbidden {
			t.Errorf("without the key %q is answered %d", path, status)
		}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	owner := &http.Client{Jar: jar}
	for _, path := range []string{url, bare, bare + "/api/state", bare + "/console.js"} {
		if status := get(owner, path); status != http.StatusOK {
			t.Errorf("with the key %q is answered %d", path, status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, bare+"/api/scan", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := owner.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("an action without its header is answered %d", resp.StatusCode)
	}
	stop()
	if err := <-stopped; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestTheLocalCloudsPage(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != console.Path+"/api/state" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(console.State{})
	}))
	defer server.Close()
	var out strings.Builder
	if err := printLocal(t.Context(), deployment.Deployment{HTTPURL: server.URL + topology.GraphQLPath}, &out); err != nil || out.String() != server.URL+"/console\n" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
	if err := printLocal(t.Context(), deployment.Deployment{HTTPURL: server.URL + "/x" + topology.GraphQLPath}, &out); err == nil || !strings.Contains(err.Error(), "has no console") {
		t.Errorf("without one: %v", err)
	}
}
