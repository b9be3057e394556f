package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/dynamo"
	"subwire/shared/topology"
)

// abuse meters what one frame or request of a client costs the owner, for each way
// in: an ordinary one, and the most expensive that a client can make of it.
type abuse struct {
	root  string
	times int // how often each way in is used

	cloud   *cloud.Cloud
	store   *dynamo.Store
	client  *http.Client    // nil for the usual ones
	sockets []*wsclient.Raw // not used yet
	large   *wsclient.Raw   // its connection is as large as a client can make it
	stored  int             // bytes of that connection, which its messages are charged for

	mu      sync.Mutex // guards the fields below
	in, out int        // bytes of HTTP requests and responses
}

func abuseCommand() command {
	const about = "what one frame or request of a client makes the owner pay, by way in, on the metered local cloud"
	return command{"abuse", about, func(flags *flag.FlagSet) measure {
		a := &abuse{}
		flags.IntVar(&a.times, "times", 5, "that each way in is gone")
		return func(ctx context.Context, in input) (report.Report, error) {
			a.root = in.root
			return a.measure(ctx)
		}
	}}
}

// toll is what one frame or request cost.
type toll struct {
	usage   billing.Usage
	in, out int // bytes of the frame or request, and of what came back
}

// microdollars is the toll in millionths of a dollar. It includes transfer, but not
// the time of functions, which is this machine's.
func (t toll) microdollars() float64 {
	prices := billing.USEast1()
	prices.GBSecond.USD, prices.ConnectionMinute.USD = 0, 0
	return 1e6 * (prices.Of(t.usage).Total() + prices.Transfer.Of(float64(t.out)))
}

// units is the number of billed units, whatever their price.
func (t toll) units() float64 {
	g := t.usage.Gateway
	n := g.Received + g.Sent + g.Requests
	for _, f := range t.usage.Functions {
		n += f.Invocations
	}
	for _, q := range t.usage.Queues {
		n += q.Requests()
	}
	for _, table := range t.usage.Tables {
		n += table.Reads + table.Writes
	}
	return n
}

// What a refusal costs, in millionths of a dollar: an invocation, and over HTTP the request.
// Refusals share one line of metrics a second (metrics.Meter.AddRefusal), which is not counted.
const refusedHandshake, refusedRequest = 0.2, 1 + 0.2

// hourly is what one address can cost the owner in an hour by this way in alone, in
// USD, without and with the allowance.
func (w wayIn) hourly(t toll) (without, with float64) {
	const hour, handshakes, account = 3600, 500, 10_000 // quotas of an account, per second
	rate, refusals := float64(topology.SocketRate), handshakes*refusedHandshake
	if t.usage.Gateway.Requests > 0 {
		rate, refusals = topology.HTTPRate, topology.HTTPRate*refusedRequest
	}
	if w.checked {
		rate = handshakes
	}
	if w.mock != "" {
		without = float64(topology.Mocks[w.mock].Rate) * t.microdollars() * hour / 1e6
		return without, without
	}
	rate = min(rate, account/(1+t.usage.Gateway.Sent)) // posts are requests
	without = rate * t.microdollars() * hour / 1e6
	through := float64(topology.MaxCostPerMinute.In(topology.Defaults())) / 60 * t.microdollars() / w.drawn(t)
	return without, min(without, (through+refusals)*hour/1e6)
}

// amplified reports whether it costs more than twelve subscribes, or brings 1,000 times its bytes.
func (t toll) amplified(subscribe toll) bool {
	return t.microdollars() > 12*subscribe.microdollars() || t.units() > 12*subscribe.units() || t.out > 1000*t.in
}

const abuseTitle = "By way in, once, and in an hour from one address"

func (a *abuse) measure(ctx context.Context) (report.Report, error) {
	tolls, err := a.tolls(ctx)
	if err != nil {
		return report.Report{}, err
	}
	t := report.Table{Title: abuseTitle, Key: "way in",
		Columns: []string{"bytes in", "bytes out", "units", "µ$", "µ$ drawn", "$/h without", "$/h with"}}
	for _, w := range a.ways() {
		got := tolls[w.name]
		without, with := w.hourly(got)
		label := w.name
		if got.amplified(tolls[ordinary]) {
			label = "* " + label
		}
		t.Rows = append(t.Rows, report.NewRow(label, float64(got.in), float64(got.out), got.units(), got.microdollars(),
			w.drawn(got), without, with))
	}
	return report.Report{Settings: report.Settings("times", a.times), Tables: []report.Table{t}, Notes: []string{
		"* costs more than twelve subscribes, in µ$ or units, or brings more than 1,000 times its bytes.",
		"Units are messages, requests, invocations, and units of reading and writing. A µ$ is a millionth of a " +
			"dollar; the time of functions is not in it, nor are the pushes to others.",
		"$/h: what one address makes of it in an hour, at the rates of the stages and of the account, without and with the " +
			"allowance; with it, what is let through and what it costs to refuse the rest.",
	}}, nil
}

const (
	abuseInit    = 8 * time.Second           // for connection_init, as the machine may be busy
	abuseChecked = abuseInit + 3*time.Second // handshakes have been checked by then
)

// tolls tries every way in, one after the other.
func (a *abuse) tolls(ctx context.Context) (map[string]toll, error) {
	tolls := map[string]toll{}
	for _, guarded := range []bool{false, true} {
		ways := slices.DeleteFunc(a.ways(), func(w wayIn) bool { return w.guarded != guarded })
		if err := a.goIn(ctx, ways, guarded, tolls); err != nil {
			return nil, err
		}
	}
	return tolls, nil
}

// goIn tries some ways in on a cloud of their own, with or without tokens.
func (a *abuse) goIn(ctx context.Context, ways []wayIn, guarded bool, tolls map[string]toll) (err error) {
	a.cloud, err = cloud.Start(ctx, cloud.Config{Root: a.root, Meter: true, Tokens: guarded, Settings: map[string]string{
		topology.InitTimeout.Env: abuseInit.String()}})
	if err != nil {
		return err
	}
	defer a.cloud.Stop()
	if err := a.fill(ctx); err != nil {
		return err
	}
	if !guarded {
		if a.large, err = a.acknowledged(ctx); err != nil {
			return err
		}
	}
	for _, w := range ways {
		for range w.sockets {
			socket, err := a.acknowledged(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			a.sockets = append(a.sockets, socket)
		}
	}
	time.Sleep(abuseChecked)
	if !guarded {
		if err := a.enlarge(ctx); err != nil {
			return err
		}
	}
	for _, w := range ways {
		if tolls[w.name], err = a.meter(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// enlarge makes one connection as large as it can be, with room left for a dozen short
// operations: it runs as many long ones as fit beside them, and remembers as many
// completes.
func (a *abuse) enlarge(ctx context.Context) error {
	const operations, completes = 36, 24
	err := a.handled(ctx, operations, func() error {
		_, err := a.large.BeginLong(ctx, "large", operations)
		return err
	})
	if err != nil {
		return err
	}
	err = a.handled(ctx, completes, func() error { return a.large.CompleteLong(ctx, 0, completes) })
	if err != nil {
		return err
	}
	running := 0
	for c, err := range a.store.Connections(ctx) {
		if err != nil {
			return err
		}
		a.stored, running = max(a.stored, c.Bytes), max(running, len(c.Operations))
	}
	if running != operations {
		return fmt.Errorf("the large connection runs %d operations, not %d", running, operations)
	}
	return nil
}

// dial opens a socket and discards what it receives.
func (a *abuse) dial(ctx context.Context) (*wsclient.Raw, error) {
	raw, err := wsclient.DialRaw(ctx, a.cloud.WSURL, wsclient.Options{HTTPClient: a.client})
	if err != nil {
		return nil, err
	}
	go discard(raw)
	return raw, nil
}

// discard receives until the socket is closed.
func discard(raw *wsclient.Raw) {
	for {
		if _, err := raw.Next(context.Background()); err != nil {
			return
		}
	}
}

// acknowledged opens a socket and initialises its connection.
func (a *abuse) acknowledged(ctx context.Context) (*wsclient.Raw, error) {
	socket, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	return socket, a.send(ctx, socket, `{"type":"connection_init"}`)
}

// mocked sends a frame that the gateway handles, and waits until it has.
func (a *abuse) mocked(ctx context.Context, raw *wsclient.Raw, frame string) error {
	count := func() float64 { return a.cloud.Meter.Usage().Gateway.Received }
	before := count()
	if err := raw.Send(ctx, frame); err != nil {
		return err
	}
	if !until(ctx, func() bool { return count() > before }) {
		return errors.New("the gateway got no frame")
	}
	return nil
}

// send sends a frame and waits until a function handled it, and so answered.
func (a *abuse) send(ctx context.Context, raw *wsclient.Raw, frame string) error {
	return a.handled(ctx, 1, func() error { return raw.Send(ctx, frame) })
}

// handled calls send, which sends that many frames, and waits until they were handled.
func (a *abuse) handled(ctx context.Context, frames float64, send func() error) error {
	count := func() float64 { return a.cloud.Meter.Usage().Functions[topology.Message.Name].Invocations }
	before := count()
	if err := send(); err != nil {
		return err
	}
	if !until(ctx, func() bool { return count() >= before+frames }) {
		return fmt.Errorf("of %v frames, %v were handled", frames, count()-before)
	}
	return nil
}

// meter uses a way in as often as asked and returns the cost of one use.
func (a *abuse) meter(ctx context.Context, w wayIn) (toll, error) {
	sockets := a.sockets[:w.sockets]
	a.sockets = a.sockets[w.sockets:]
	if w.large {
		sockets = []*wsclient.Raw{a.large}
	}
	for range w.silent {
		socket, err := a.dial(ctx)
		if err != nil {
			return toll{}, err
		}
		sockets = append(sockets, socket)
	}
	for i := range a.times {
		if w.before != nil {
			if err := a.send(ctx, sockets[i%len(sockets)], w.before(i)); err != nil {
				return toll{}, err
			}
		}
	}
	a.settle(ctx)
	before := a.cloud.Meter.Usage()
	a.in, a.out = 0, 0
	for i := range a.times {
		if w.frame == nil {
			if err := w.request(ctx); err != nil {
				return toll{}, err
			}
			continue
		}
		frame := w.frame(i)
		a.in += len(frame)
		send := a.send
		if w.mock != "" {
			send = a.mocked
		}
		if err := send(ctx, sockets[i%len(sockets)], frame); err != nil {
			return toll{}, err
		}
	}
	if w.checked {
		time.Sleep(abuseChecked)
	}
	a.settle(ctx)
	used := withoutPolling(a.cloud.Meter.Usage().Minus(before))
	if w.silent > 0 {
		time.Sleep(abuseChecked) // their checks are not the next one's
	}
	a.out += int(used.Gateway.SentBytes)
	used.Gateway.SentBytes, used.Gateway.ConnectionMinutes = 0, 0 // the bytes are in out
	return toll{used.Times(1 / float64(a.times)), a.in / a.times, a.out / a.times}, nil
}

// settle waits until only polling is still metered.
func (a *abuse) settle(ctx context.Context) {
	quiet, last := 0, -1.0
	for quiet < 5 && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		now := toll{usage: withoutPolling(a.cloud.Meter.Usage())}.units()
		if quiet++; now != last {
			quiet, last = 0, now
		}
	}
}

// withoutPolling is the usage less what is charged whatever clients do.
func withoutPolling(u billing.Usage) billing.Usage {
	for name, q := range u.Queues {
		q.Empty = 0
		u.Queues[name] = q
	}
	return u
}

// headBytes is the approximate size of a request's head, or of a handshake.
const headBytes = 150

// open opens a socket and closes it at once.
func (a *abuse) open(ctx context.Context) error {
	raw, err := a.dial(ctx)
	if err != nil {
		return err
	}
	raw.Close(1000, "")
	a.transferred(headBytes, 0)
	return nil
}

// transferred adds bytes of requests and responses.
func (a *abuse) transferred(in, out int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.in += in
	a.out += out
}

func (a *abuse) call(ctx context.Context, method, path, body string, header map[string]string) error {
	url := strings.TrimSuffix(a.cloud.HTTPURL, topology.GraphQLPath) + path
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := cmp.Or(a.client, http.DefaultClient).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	a.transferred(headBytes+len(body), len(got))
	return err
}
