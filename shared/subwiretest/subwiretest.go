// Package subwiretest runs a product in the process of its test: the real protocol,
// planner, executor and delivery on a store and a gateway in memory. Everything that a
// call causes has happened when it returns.
package subwiretest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/connection"
	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// Cloud runs one product.
type Cloud struct {
	t       testing.TB
	app     *subwire.App
	store   *memory.Store
	gateway *memory.Gateway
	session session.Session
	sender  *delivery.Sender

	mu      sync.Mutex // guards what follows
	clients int
	records int
	left    []pubsub.Subscription // whose grace runs
}

// Start runs the product with rights, as with tokens. It fails the test if the product
// makes no schema.
func Start(t testing.TB, app *subwire.App) *Cloud {
	t.Helper()
	c := &Cloud{t: t, app: app, store: memory.New(), gateway: &memory.Gateway{}}
	c.store.Changed = c.changed
	revoker := connection.Revoker{Quotas: c.store, Checks: ending{c}}
	config, err := app.Open(subwire.Env{Tables: tables{c.store, c}, Revoke: revoker.Revoke})
	if err != nil {
		t.Fatal(err)
	}
	config.Log = slog.New(slog.DiscardHandler)
	executor, err := gql.New(config)
	if err != nil {
		t.Fatal(err)
	}
	c.session = session.Session{Connections: c.store, Operations: c.store, Executor: executor, Gateway: c.gateway,
		MaxOperations: 100, MaxReplayBytes: topology.MaxReplayBytes.In(topology.Defaults()), Log: config.Log}
	c.sender = delivery.New(delivery.Config{Store: c.store, Executor: executor, Gateway: c.gateway, Workers: 4,
		Log: config.Log})
	return c
}

// Client is one connected client.
type Client struct {
	cloud *Cloud
	id    string // of its connection
	read  map[string]int
}

// Connect connects a client for the viewer with that id, or an anonymous one for "".
// claims are those of its token, as JSON has them; nil for none.
func (c *Cloud) Connect(viewer string, claims map[string]any) *Client {
	c.t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.clients++
	id := "client-" + strconv.Itoa(c.clients)
	c.mu.Unlock()
	now := time.Now()
	c.gateway.Open(id)
	// Its token is a second later than any revocation so far.
	conn := pubsub.Connection{ID: id, Acknowledged: true, ConnectedAt: now, Issued: now.Add(time.Second),
		Expires: now.Add(time.Hour), Viewer: pubsub.Viewer{ID: viewer, Claims: string(raw)}}
	if viewer != "" {
		conn.Quota = allowance.Viewer(viewer)
		err = connection.TakeQuota(context.Background(), 0, c.store, &conn, 0)
	}
	if err = errors.Join(err, c.store.PutConnection(context.Background(), conn)); err != nil {
		c.t.Fatal(err)
	}
	return &Client{cloud: c, id: id, read: map[string]int{}}
}

// Subscribe sends a subscribe message, for any kind of operation. id names it for Got
// and Complete.
func (c *Client) Subscribe(id, document string, variables any) {
	c.cloud.t.Helper()
	payload := map[string]any{"query": document, "variables": variables}
	c.send(map[string]any{"id": id, "type": "subscribe", "payload": payload})
}

// Complete sends a complete message.
func (c *Client) Complete(id string) {
	c.cloud.t.Helper()
	c.send(map[string]any{"id": id, "type": "complete"})
}

// Disconnect closes the client's socket.
func (c *Client) Disconnect() {
	c.cloud.t.Helper()
	ctx := context.Background()
	err := c.cloud.gateway.Delete(ctx, c.id)
	if err == nil {
		err = c.cloud.store.DeleteConnection(ctx, c.id)
	}
	if err != nil {
		c.cloud.t.Fatal(err)
	}
}

func (c *Client) send(message any) {
	c.cloud.t.Helper()
	data, err := json.Marshal(message)
	if err != nil {
		c.cloud.t.Fatal(err)
	}
	m := session.Frame{ConnectionID: c.id, Data: data, At: time.Now()}
	if err := c.cloud.session.Receive(context.Background(), m); err != nil {
		c.cloud.t.Fatal(err)
	}
}

// ending runs the checks that a revocation queues.
type ending struct{ *Cloud }

func (e ending) SendEach(ctx context.Context, bodies [][]byte) error {
	d := connection.Disconnector{Connections: e.store, Gateway: e.gateway}
	for _, body := range bodies {
		if err := d.Check(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// Connected reports whether the server has not ended the connection.
func (c *Client) Connected() bool { return slices.Contains(c.cloud.gateway.Sockets(), c.id) }

// Got returns what the operation got since it was last asked: of each message its type,
// a space and the JSON of its payload, such as
//
//	next {"data":{"n":1}}
//	complete
func (c *Client) Got(id string) []string {
	c.cloud.t.Helper()
	var all []string
	for _, frame := range c.cloud.gateway.Frames(c.id) {
		var m struct {
			ID, Type string
			Payload  json.RawMessage
		}
		if err := json.Unmarshal([]byte(frame), &m); err != nil {
			c.cloud.t.Fatalf("frame %s: %v", frame, err)
		}
		text := m.Type
		if len(m.Payload) > 0 {
			text += " " + string(m.Payload)
		}
		if m.ID == id {
			all = append(all, text)
		}
	}
	fresh := all[c.read[id]:]
	c.read[id] = len(all)
	return slices.Clip(fresh)
}

// Do runs a query or mutation and returns its result.
func (c *Client) Do(document string, variables any) string {
	c.cloud.t.Helper()
	c.cloud.mu.Lock()
	c.cloud.records++
	id := "do-" + strconv.Itoa(c.cloud.records)
	c.cloud.mu.Unlock()
	c.Subscribe(id, document, variables)
	got := c.Got(id)
	if len(got) == 0 {
		c.cloud.t.Fatalf("no answer to %s", document)
	}
	return got[0]
}

// tables announces what is written, as the tables' streams do.
type tables struct {
	table.Store
	cloud *Cloud
}

func (t tables) PutRow(ctx context.Context, to topology.Table, row table.Row, c table.Condition) error {
	k, err := table.KeyOf(to, row)
	if err != nil {
		return err
	}
	before, _ := t.Store.GetRow(ctx, to, k, 1) // nil for a new row
	if err := t.Store.PutRow(ctx, to, row, c); err != nil {
		return err
	}
	t.cloud.announce(to, before, row)
	return nil
}

func (t tables) DeleteRow(ctx context.Context, from topology.Table, k table.Key) error {
	before, _ := t.Store.GetRow(ctx, from, k, 1)
	if err := t.Store.DeleteRow(ctx, from, k); err != nil {
		return err
	}
	if before != nil {
		t.cloud.announce(from, before, nil)
	}
	return nil
}

// limits of a batch in bytes are those of the stream function.
var limits = fanout.Limits{Targets: 100, Bytes: topology.BatchBytes, Alone: topology.QueueMessageBytes, Groups: 4}

// announce brings the events of a change to their subscribers.
func (c *Cloud) announce(of topology.Table, before, now table.Row) {
	c.t.Helper()
	c.mu.Lock()
	c.records++
	id := fmt.Sprint("record-", c.records)
	c.mu.Unlock()
	events, err := c.app.Changed(of.Name, id, before, now)
	if err != nil {
		c.t.Errorf("change of table %s: %v", of.Name, err)
	}
	ctx := context.Background()
	for _, e := range events {
		c.bring(e, fanout.Passing(c.store.Subscriptions(ctx, e.Topic, time.Now()), c.app.Passes(e), new(int)))
	}
}

// bring brings the event to the subscriptions.
func (c *Cloud) bring(e pubsub.Event, subscriptions iter.Seq2[pubsub.Subscription, error]) {
	c.t.Helper()
	for batch, err := range fanout.Plan(e, subscriptions, limits) {
		if err != nil {
			c.t.Errorf("plan event %s: %v", e.ID, err)
			continue
		}
		body, _, err := fanout.Encode(batch)
		if err == nil {
			_, err = c.sender.Deliver(context.Background(), body)
		}
		if err != nil {
			c.t.Errorf("deliver event %s: %v", e.ID, err)
		}
	}
}

// changed tells how many are present after a change, and remembers who has left.
func (c *Cloud) changed(p pubsub.PresenceChange) {
	c.t.Helper()
	c.mu.Lock()
	c.records++
	e := pubsub.Event{ID: fmt.Sprint("record-", c.records), Topic: cmp.Or(p.Now, p.Before).Topic}
	if p.Left() {
		c.left = append(c.left, *p.Now)
	}
	c.mu.Unlock()
	root, told, err := fanout.Presence([]pubsub.PresenceChange{p},
		c.store.Subscriptions(context.Background(), e.Topic, time.Now()))
	if err != nil {
		c.t.Errorf("presence of %s: %v", e.Topic, err)
	}
	e.Root = root
	c.bring(e, fanout.Each(told))
}

// PassGrace lets the time pass for which those who have left still count as present.
func (c *Cloud) PassGrace() {
	c.t.Helper()
	c.mu.Lock()
	left := c.left
	c.left = nil
	c.mu.Unlock()
	for _, s := range left {
		if err := c.store.DeleteLeft(context.Background(), s); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Publish publishes an event from outside.
func (c *Cloud) Publish(name, id string, event any) {
	c.t.Helper()
	if err := c.app.Publish(context.Background(), name, id, event); err != nil {
		c.t.Fatal(err)
	}
}
