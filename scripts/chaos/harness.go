package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/faults"
	"subwire/shared/chat"
	"subwire/shared/topology"
)

// Setup says what to run.
type Setup struct {
	Root    string // of the repository
	Plan    string // of the faults, as faults.Parse reads it
	Seed    uint64
	Data    string // folder of the servers' data; "" for memory
	Chats   int
	Clients int // each subscribes to one chat and stays
	Guests  int // clients that leave after a few events, and come back

	// Redelivery is after which what a function failed on is received again.
	Redelivery time.Duration
}

// Harness is a cloud with clients.
type Harness struct {
	cloud   *cloud.Cloud
	dynamo  *dynamodb.Client // as the other two, not through the faults
	streams *dynamodbstreams.Client
	sqs     *sqs.Client
	clients []*client
	slots   chan struct{}      // one for each connection that is being opened
	leave   context.CancelFunc // ends the clients that stay
	part    context.CancelFunc // ends the guests
	running sync.WaitGroup
	guests  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	posts   map[string]attempt
	retried map[string]bool
	parked  map[string]bool
	outages []Outage
}

// attempt is one post.
type attempt struct {
	begin    time.Time
	answered bool
}

const (
	guestStays = 3                     // events that a guest sees before it leaves
	lookPause  = 50 * time.Millisecond // between two looks at the store or the queues
	opening    = 25                    // connections that are opened at once

	// initTimeout is shorter than the default, so that the check of the last
	// connection does not hold up the end.
	initTimeout = "5s"
)

// Start starts the cloud and its clients, and returns when every client is
// subscribed. End it with Stop.
func Start(ctx context.Context, s Setup) (*Harness, error) {
	plan, err := faults.Parse(s.Plan)
	if err != nil {
		return nil, err
	}
	h := &Harness{leave: func() {}, part: func() {}, slots: make(chan struct{}, opening),
		posts: map[string]attempt{}, retried: map[string]bool{}, parked: map[string]bool{}}
	h.cloud, err = cloud.Start(ctx, cloud.Config{Root: s.Root, Data: s.Data, Faults: plan, Seed: s.Seed,
		Redelivery: s.Redelivery, Output: &lines{line: h.log},
		Settings: map[string]string{topology.InitTimeout.Env: initTimeout, topology.InitMembers.Env: "name"}})
	if err != nil {
		return nil, err
	}
	aws := h.cloud.Backend.AWS()
	h.dynamo, h.streams, h.sqs = dynamodb.NewFromConfig(aws), dynamodbstreams.NewFromConfig(aws), sqs.NewFromConfig(aws)
	live, leave := context.WithCancel(context.Background())
	h.leave = leave
	visiting, part := context.WithCancel(live)
	h.part = part
	for i := range s.Clients + s.Guests {
		c := &client{h: h, name: fmt.Sprint("client-", i), chat: chatID(i % s.Chats), query: queries[i%len(queries)]}
		if i >= s.Clients {
			c.leaves = guestStays
		}
		h.clients = append(h.clients, c)
	}
	h.running.Go(func() { h.follow(live) })
	for _, c := range h.clients {
		if c.leaves > 0 {
			h.guests.Go(func() { c.run(visiting) })
		} else {
			h.running.Go(func() { c.run(live) })
		}
	}
	if err := h.await(ctx, "subscriptions", func() (bool, error) { return h.subscribed(), nil }); err != nil {
		h.Stop()
		return nil, err
	}
	return h, nil
}

func chatID(i int) string { return fmt.Sprint("chat-", i) }

// Stop ends the clients and the cloud.
func (h *Harness) Stop() {
	h.leave()
	h.guests.Wait()
	h.running.Wait()
	h.cloud.Stop()
}

// Part ends the guests. What they have not seen is not owed to them.
func (h *Harness) Part() {
	h.part()
	h.guests.Wait()
}

// log reads a line of a function's output. The sender tells there which
// events it queued on retries.
func (h *Harness) log(line string) {
	raw, ok := strings.CutPrefix(line, topology.Sender.Name+": ")
	var entry struct {
		Event   string
		Outcome struct{ Retried int }
	}
	if !ok || json.Unmarshal([]byte(raw), &entry) != nil || entry.Outcome.Retried == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retried[entry.Event] = true
}

// lines calls line with each whole line that is written. The cloud writes
// whole lines, one at a time.
type lines struct{ line func(string) }

func (l *lines) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		l.line(string(bytes.TrimSpace(line)))
	}
	return len(p), nil
}

// follow tells the clients which of their connections are stored.
func (h *Harness) follow(ctx context.Context) {
	_ = h.await(ctx, "the end", func() (bool, error) {
		if h.subscribed() {
			return false, nil
		}
		s, err := h.snapshot(ctx)
		if err != nil {
			return false, nil // an outage
		}
		names := map[string]bool{}
		for _, r := range s.rows {
			names[s.connections[r.connection].name] = true
		}
		now := time.Now()
		for _, c := range h.clients {
			c.subscribed(names, now)
		}
		return false, nil
	})
}

// subscribed reports whether all clients that have not ended are subscribed
// now.
func (h *Harness) subscribed() bool {
	return !slices.ContainsFunc(h.clients, func(c *client) bool {
		name, ended := c.current()
		return name == "" && !ended
	})
}

// await asks until the condition holds or fails, or ctx ends.
func (h *Harness) await(ctx context.Context, what string, condition func() (bool, error)) error {
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for {
		ok, err := condition()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("await %s: %w", what, context.Cause(ctx))
		}
	}
}

// AwaitConnectionChecks waits until the check of every connection has been made.
func (h *Harness) AwaitConnectionChecks(ctx context.Context) error {
	return h.await(ctx, "init checks", func() (bool, error) {
		n, err := h.count(ctx, topology.ConnectionChecks)
		return n == 0, err
	})
}

// Drain waits until the sender's queues are empty and every event has come to whom it
// is owed, or lies in dead letters. When ctx ends first, what is lost is for
// Run to show.
func (h *Harness) Drain(ctx context.Context) error {
	return h.await(ctx, "empty queues", func() (bool, error) {
		waiting, err := h.waiting(ctx)
		if err != nil || waiting > 0 {
			return false, err
		}
		dead, err := h.DeadLetters(ctx)
		if err != nil {
			return false, err
		}
		run, err := h.Run(ctx)
		if err != nil {
			return false, err
		}
		figures, _ := Check(run)
		return figures.Lost == 0 || dead > 0, nil
	})
}

// Final is Run with the order of the events, for when nothing happens any more.
func (h *Harness) Final(ctx context.Context) (Run, error) {
	r, err := h.Run(ctx)
	if err == nil {
		r.Order, err = h.order(ctx)
	}
	return r, err
}

// Run returns what happened so far, without the order.
func (h *Harness) Run(ctx context.Context) (Run, error) {
	items, err := h.scan(ctx, topology.Messages)
	if err != nil {
		return Run{}, err
	}
	h.mu.Lock()
	r := Run{Retried: maps.Clone(h.retried), Parked: maps.Clone(h.parked), Outages: slices.Clone(h.outages)}
	for _, item := range items {
		post := h.posts[text(item["content"])]
		r.Events = append(r.Events, Event{text(item["id"]), text(item["chatId"]), post.begin, post.answered})
	}
	h.mu.Unlock()
	for _, c := range h.clients {
		r.Spells = append(r.Spells, c.record()...)
	}
	return r, nil
}

// Sweep posts events until the rows of every chat are those of clients that
// are there: whoever left unnoticed is found by a post. It returns what is
// wrong with the store when ctx ends first.
func (h *Harness) Sweep(ctx context.Context) []string {
	var problems []string
	_ = h.await(ctx, "clean tables", func() (bool, error) {
		for c := range h.byChat() {
			if err := h.Post(ctx, c); err != nil {
				problems = []string{err.Error()}
				return false, nil
			}
		}
		s, err := h.snapshot(ctx)
		if err != nil {
			problems = []string{err.Error()}
			return false, nil
		}
		problems = s.orphans()
		for chatID, clients := range h.byChat() {
			var there []string
			for _, c := range clients {
				if name, ended := c.current(); !ended {
					there = append(there, name)
				}
			}
			rows := s.names(chat.Topic(chatID))
			slices.Sort(there)
			slices.Sort(rows)
			if !slices.Equal(rows, there) {
				problems = append(problems, fmt.Sprintf("%s has rows of %v, but there are %v", chatID, rows, there))
			}
		}
		return len(problems) == 0, nil
	})
	return problems
}

func (h *Harness) byChat() map[string][]*client {
	chats := map[string][]*client{}
	for _, c := range h.clients {
		chats[c.chat] = append(chats[c.chat], c)
	}
	return chats
}

// Outage stops DynamoDB Local for the given time, and then ElasticMQ.
func (h *Harness) Outage(ctx context.Context, length time.Duration) error {
	dynamoDB, queues := h.cloud.Backend.DynamoDB, h.cloud.Backend.SQS
	dynamoDB.Stop()
	time.Sleep(length) // is what an outage is
	if err := dynamoDB.Start(ctx); err != nil {
		return err
	}
	from := time.Now()
	queues.Stop()
	time.Sleep(length)
	err := queues.Start(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outages = append(h.outages, Outage{from, time.Now()})
	return err
}

// Heal ends all faults.
func (h *Harness) Heal() { h.cloud.Injector.Heal() }

// Met counts the faults that were met.
func (h *Harness) Met() map[string]int { return h.cloud.Injector.Met() }
