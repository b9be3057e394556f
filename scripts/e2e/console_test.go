package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/console"
	"subwire/scripts/internal/wsclient"
	"subwire/scripts/subwire/dead"
	"subwire/shared/topology"
)

// deck is a cloud with a console.
type deck struct {
	*testing.T
	cloud *cloud.Cloud
	told  *lockedBuffer
}

func startDeck(t *testing.T, cfg cloud.Config) *deck {
	t.Helper()
	d := &deck{T: t, told: &lockedBuffer{}}
	cfg.Root, cfg.Output, cfg.Meter, cfg.Redelivery = "../..", &logs, true, time.Second
	cfg.Settings = maps.Clone(cfg.Settings)
	if cfg.Settings == nil {
		cfg.Settings = map[string]string{}
	}
	cfg.Settings[topology.InitTimeout.Env] = "5m"
	cfg.Console = &cloud.ConsoleConfig{Tell: func(line string) { fmt.Fprintln(d.told, line) },
		Letters: dead.Letters, Redrive: dead.Redrive}
	var err error
	if d.cloud, err = startCloud(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cloud.Stop)
	return d
}

// ask calls the console's API, and reads the answer into it unless that is nil.
func (d *deck) ask(method, path, body string, answer any) int {
	d.Helper()
	r, err := http.NewRequestWithContext(within(d.T), method, d.cloud.ConsoleURL+"/api/"+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	r.Header.Set(console.Header, "1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		d.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "eyJ"} {
		if bytes.Contains(raw, []byte(secret)) {
			d.Errorf("%s %s: the answer has a secret: %s", method, path, raw)
		}
	}
	if answer != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(raw, answer); err != nil {
			d.Fatal(err)
		}
	}
	return resp.StatusCode
}

func (d *deck) do(path, body string) {
	d.Helper()
	if status := d.ask(http.MethodPost, path, body, nil); status != http.StatusOK {
		d.Fatalf("%s %s: status %d", path, body, status)
	}
}

func (d *deck) state() (s console.State) {
	d.Helper()
	d.ask(http.MethodGet, "state", "", &s)
	return s
}

func (d *deck) trace(event string) (t console.Trace) {
	d.Helper()
	if status := d.ask(http.MethodGet, "events/"+url.PathEscape(event), "", &t); status != http.StatusOK {
		d.Fatalf("event %s: status %d", event, status)
	}
	return t
}

// hearer is a client that notes what it gets.
type hearer struct {
	client *wsclient.Client
	mu     sync.Mutex
	heard  []string // ids of messages, in order
}

func (d *deck) hear(name, query string, init any) *hearer {
	d.Helper()
	c, err := wsclient.Dial(within(d.T), d.cloud.WSURL, wsclient.Options{Header: http.Header{"User-Agent": {name}}, Init: init})
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(c.Close)
	s, err := c.Subscribe(within(d.T), wsclient.Operation{Query: query})
	if err != nil {
		d.Fatal(err)
	}
	h := &hearer{client: c}
	go func() {
		for {
			payload, err := s.Next(context.Background()) // ends with the client
			if err != nil {
				return
			}
			var p struct {
				Data struct{ NewMessage struct{ ID string } }
			}
			_ = json.Unmarshal(payload, &p)
			h.mu.Lock()
			h.heard = append(h.heard, p.Data.NewMessage.ID)
			h.mu.Unlock()
		}
	}()
	return h
}

// distinct are the ids that it got.
func (h *hearer) distinct() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(h.heard)))
}

const lobby = `subscription { newMessage(chatId: "lobby") { id content } }`

// quiet waits until all that is owed has an outcome.
func (d *deck) quiet() (s console.State) {
	d.Helper()
	await(d.T, "all that is owed has an outcome", func() bool {
		s = d.state()
		return s.Owed > 0 && s.Done+s.Ended+s.Lost == s.Owed && !slices.ContainsFunc(s.Events, func(e console.Event) bool { return !e.Done })
	})
	return s
}

// What the console counts is what clients got, whatever goes wrong on the way.
func TestTheConsoleCountsWhatClientsGot(t *testing.T) {
	t.Parallel()
	for name, direct := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testCounts(t, direct)
		})
	}
}

// ways are those that events of small topics go: values of DIRECT.
var ways = map[string]string{"Queue": "0", "Direct": "50"}

func testCounts(t *testing.T, direct string) {
	const clients, posts = 12, 60
	d := startDeck(t, cloud.Config{Seed: 1, Settings: map[string]string{topology.Direct.Env: direct}})
	var all []*hearer
	for i := range clients {
		all = append(all, d.hear(fmt.Sprint("hearer ", i), lobby, nil))
	}
	await(t, "all subscribe", func() bool {
		n := 0
		for _, c := range d.state().Connections {
			n += c.Operations
		}
		return n == clients && len(d.cloud.Gateway.Connections()) == clients
	})
	for _, fault := range []string{"post:429", "post:500", "post:timeout", "stream:duplicate", "lambda.sender:kill"} {
		d.do("faults", fmt.Sprintf(`{"name":%q,"on":true,"chance":0.05}`, fault))
	}
	d.do("post", fmt.Sprintf(`{"times":%d,"perSecond":20}`, posts))
	await(t, "all is posted", func() bool { return len(d.state().Events) == posts })
	d.do("heal", "")
	s := d.quiet()
	got := 0
	await(t, "clients get what was delivered", func() bool {
		got = 0
		for _, h := range all {
			got += len(h.distinct())
		}
		return got >= s.Done
	})
	if s.Owed != clients*posts || s.Done != got || s.Lost != 0 {
		t.Errorf("owed %d, delivered %d, ended %d, lost %d; clients got %d of %d", s.Owed, s.Done, s.Ended, s.Lost, got, clients*posts)
	}
	met := 0
	for _, f := range s.Faults {
		if met += f.Met; f.On {
			t.Errorf("%s is on after all was healed", f.Name)
		}
	}
	if met == 0 || s.Seed != 1 {
		t.Errorf("%d faults were met, with seed %d", met, s.Seed)
	}
	if lines := strings.Count(d.told.String(), "\n"); lines < posts || !strings.Contains(d.told.String(), "lobby …") {
		t.Errorf("%d lines for people: %s", lines, d.told)
	}
	d.checkTrace(s.Events[0], all)
	if direct != "0" {
		d.checkDirect(s.Events, all)
	}
	if s.USD <= 0 || len(s.Bill) == 0 || len(s.Histogram) == 0 || s.Latency.P50 <= 0 {
		t.Errorf("the bill is %v, the histogram %v, the latency %v", s.Bill, s.Histogram, s.Latency)
	}
}

// checkTrace compares the trace of an event with what clients got.
func (d *deck) checkTrace(e console.Event, all []*hearer) {
	d.Helper()
	tr := d.trace(e.ID)
	if len(tr.Posts) != len(all) || len(tr.Executions) != 1 || tr.Executions[0].Targets != len(all) || tr.Executions[0].Document != lobby ||
		!strings.Contains(tr.Executions[0].Frame, e.ID) || tr.Request == nil || !strings.Contains(tr.Request.Curl, "curl "+d.cloud.HTTPURL) {
		d.Errorf("the trace is %+v", tr)
	}
	var names []string
	for _, s := range tr.Spans {
		if names = append(names, s.Name); s.Begin < 0 || s.Took < 0 {
			d.Errorf("span %+v", s)
		}
	}
	for _, want := range []string{"mutation · graphql", "PutItem messages", "stream · plan", "Query subscriptions"} {
		if !slices.Contains(names, want) {
			d.Errorf("the trace has no %q but %q", want, names)
		}
	}
	for _, p := range tr.Posts {
		var l console.Log
		if d.ask(http.MethodGet, "connections/"+url.PathEscape(p.Connection), "", &l); p.Status != http.StatusOK {
			d.Errorf("the last post to %s was answered %d", p.Connection, p.Status)
		}
		sent := map[string]bool{} // ids in the log
		for _, f := range l.Frames {
			if _, rest, found := strings.Cut(f.Text, `"newMessage":{"id":"`); found && !f.In {
				sent[rest[:len(e.ID)]] = true
			}
		}
		var number int
		if _, err := fmt.Sscanf(l.Client, "hearer %d", &number); err != nil {
			d.Fatal(err)
		}
		for _, id := range all[number].distinct() {
			if !sent[id] {
				d.Errorf("%s got %s, which is not in its log", l.Client, id)
			}
		}
	}
}

// checkDirect checks the traces of some events that the stream function delivered itself. On
// a busy machine most go by the queue.
func (d *deck) checkDirect(events []console.Event, all []*hearer) {
	d.Helper()
	checked := 0
	for _, e := range events {
		direct := slices.ContainsFunc(d.trace(e.ID).Spans, func(s console.Span) bool { return s.Name == "stream · deliver" })
		if direct && checked < 5 {
			d.checkTrace(e, all)
			checked++
		}
	}
	if checked == 0 {
		d.Errorf("the stream function delivered none of %d events itself", len(events))
	}
}

func TestTheConsolesActions(t *testing.T) {
	t.Parallel()
	d := startDeck(t, cloud.Config{Tokens: true})
	token := func(viewer string) map[string]string {
		resp, err := http.Get(d.cloud.IssuerURL + "/token?viewer=" + viewer + "&read=*&write=*")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"Authorization": "Bearer " + strings.TrimSpace(string(raw)), "password": "hunter2"}
	}
	ada := d.hear("ada", lobby, token("ada"))
	d.hear("bob", lobby, token("bob"))
	d.do("subscribers", `{"add":3}`)
	find := func(client string) (c console.Connection) {
		for _, c = range d.state().Connections {
			if c.Client == client {
				return c
			}
		}
		return console.Connection{}
	}
	await(t, "all subscribe", func() bool {
		n := 0
		for _, c := range d.state().Connections {
			n += c.Operations
		}
		return n == 5 && d.state().Subscribers == 3
	})
	d.do("post", "")
	await(t, "ada gets the example", func() bool { return len(ada.distinct()) == 1 })
	s := d.quiet()
	if s.Owed != 5 || s.Done != 5 {
		t.Errorf("owed %d, delivered %d", s.Owed, s.Done)
	}
	d.do("events/"+url.PathEscape(s.Events[0].ID)+"/again", "")
	await(t, "ada gets it again", func() bool { return len(ada.distinct()) == 2 })
	d.do("post", `{"document":"mutation { postMessage(chatId: \"lobby\", content: \"x\", senderName: \"a\", key: \"token=hunter2\") { id } }"}`)
	await(t, "the third event is known", func() bool { s = d.state(); return len(s.Events) == 3 })
	if status := d.ask("POST", "events/"+url.PathEscape(s.Events[0].ID)+"/again", "", nil); status != http.StatusConflict {
		t.Errorf("a request with a secret is sent again: %d", status)
	}
	if status := d.ask("POST", "post", `{"document":"mutation { postMessage }"}`, nil); status != http.StatusConflict {
		t.Errorf("a mutation with an error: status %d", status)
	}
	if c := find("ada"); c.Viewer != "ada" || c.Operations != 1 {
		t.Errorf("the connection is %+v", c)
	}
	d.do("functions/stream/kill", "") // sender may have no process: stream delivers itself
	d.do("connections/"+url.PathEscape(find("bob").ID)+"/cut", "")
	await(t, "bob is cut", func() bool { return strings.HasPrefix(find("bob").Closed, "1006") })
	d.do("connections/"+url.PathEscape(find("ada").ID)+"/revoke", "")
	await(t, "ada is revoked", func() bool { return find("ada").Closed != "" })
	d.do("faults", `{"name":"gateway:down","on":true}`)
	await(t, "the subscribers are cut", func() bool { s := d.state(); return s.Down && s.Subscribers == 0 && s.Open == 0 })
	d.do("heal", "")
	if d.state().Down {
		t.Error("the gateway is down after all was healed")
	}
	d.do("subscribers", `{"add":2}`)
	await(t, "others subscribe", func() bool { return d.state().Subscribers == 2 })
	d.do("subscribers", `{"add":0}`)
	await(t, "they leave", func() bool { s := d.state(); return s.Subscribers == 0 && s.Open == 0 })
	for path, want := range map[string]int{
		"connections/nobody/cut": 404, "connections/nobody/revoke": 404, "functions/nobody/kill": 404, "events/nothing/again": 404,
		"connections/" + url.PathEscape(find("Subwire console").ID) + "/cut": 404,
	} {
		if status := d.ask("POST", path, "", nil); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
	for path, body := range map[string]string{"subscribers": `{"add":2001}`, "post": `{"times":10001}`, "faults": `{"name":"past:500","on":true}`} {
		if status := d.ask("POST", path, body, nil); status != http.StatusConflict {
			t.Errorf("%s %s: status %d", path, body, status)
		}
	}
}

// What the sender gives up is lost until it is sent again, and events of a failing topic
// are lost in the end.
func TestTheConsoleKnowsWhatIsLost(t *testing.T) {
	t.Parallel()
	const bug = "sender:fail(newMessage/lobby)"
	for name, tc := range map[string]struct {
		direct string
		faults []string
		queue  string // of dead letters
	}{
		"Queue": {"0", []string{bug}, "fanout-dead.fifo"},
		// The stream function is refused, and the sender gets what is to be tried again.
		"Direct": {"50", []string{bug, "post:403"}, "retries-dead"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testLost(t, tc.direct, tc.faults, tc.queue)
		})
	}
}

func testLost(t *testing.T, direct string, faults []string, dead string) {
	d := startDeck(t, cloud.Config{Settings: map[string]string{topology.Direct.Env: direct}})
	h := d.hear("hearer", lobby, nil)
	await(t, "it subscribes", func() bool { s := d.state(); return len(s.Connections) == 1 && s.Connections[0].Operations == 1 })
	for _, fault := range faults {
		d.do("faults", fmt.Sprintf(`{"name":%q,"on":true,"chance":1}`, fault))
	}
	d.do("post", "")
	var s console.State
	await(t, "it is lost", func() bool { s = d.state(); return s.Lost == 1 && s.Dead == 1 })
	if s.Owed != 1 || s.Done != 0 || s.Events[0].Parked != 1 || len(h.distinct()) != 0 {
		t.Errorf("owed %d, delivered %d, %+v", s.Owed, s.Done, s.Events[0])
	}
	d.do("heal", "")
	var letters struct{ Letters []console.Letter }
	queue := "dead/" + dead
	if status := d.ask(http.MethodGet, queue, "", &letters); status != http.StatusOK || len(letters.Letters) != 1 || letters.Letters[0].Event != s.Events[0].ID {
		t.Errorf("dead letters: %d %+v", status, letters)
	}
	d.do(queue+"/redrive", "")
	await(t, "it is delivered", func() bool { s = d.state(); return s.Done == 1 && s.Lost == 0 && len(h.distinct()) == 1 })
	if status := d.ask(http.MethodGet, "dead/fanout.fifo", "", nil); status != http.StatusNotFound {
		t.Errorf("dead letters of another queue: status %d", status)
	}
}

// The sockets of hosts are on the console as far as the store knows them, and what can be
// done to a connection can be done to them.
func TestTheConsoleShowsTheSocketsOfHosts(t *testing.T) {
	t.Parallel()
	needHosts(t, "it is about hosts")
	d := startDeck(t, cloud.Config{Tokens: true})
	resp, err := http.Get(d.cloud.IssuerURL + "/token?viewer=ada&read=*&write=*")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	connect := func() *hearer {
		return d.hear("ada", lobby, map[string]string{"Authorization": "Bearer " + strings.TrimSpace(string(raw))})
	}
	only := func() (c console.Connection) {
		await(t, "the connection is shown", func() bool {
			s := d.state()
			if s.Open != 1 || len(s.Connections) != 1 || s.Connections[0].Operations != 1 {
				return false
			}
			c = s.Connections[0]
			return true
		})
		return c
	}
	ada := connect()
	shown := only()
	var log console.Log
	if status := d.ask(http.MethodGet, "connections/"+url.PathEscape(shown.ID), "", &log); status != http.StatusOK || log.Viewer != "ada" {
		t.Errorf("status %d, %+v", status, log)
	}
	d.do("post", "")
	await(t, "ada gets the example", func() bool { return len(ada.distinct()) == 1 })
	if s := d.quiet(); s.Done != 1 || !strings.Contains(d.told.String(), "→ 1 host") {
		t.Errorf("delivered %d, and it says %s", s.Done, d.told)
	}
	end := func(path, body string) {
		t.Helper()
		d.do(path, body)
		await(t, "no connection is left after "+path, func() bool { s := d.state(); return s.Open == 0 && len(s.Connections) == 0 })
	}
	end("connections/"+url.PathEscape(shown.ID)+"/cut", "")
	connect()
	only()
	end("faults", `{"name":"gateway:down","on":true}`)
	d.do("heal", "")
	connect()
	shown = only()
	end("connections/"+url.PathEscape(shown.ID)+"/revoke", "")
}
