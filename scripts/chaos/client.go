package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"subwire/scripts/internal/wsclient"
)

// client subscribes to one chat and writes down what it sees. When it loses
// its connection it opens another.
type client struct {
	h      *Harness
	name   string
	chat   string
	query  string
	leaves int // events after which it closes its connection by itself; 0 for never

	mu     sync.Mutex // guards what follows
	spells []*Spell
	ended  bool
}

// queries are different operations on the same events.
var queries = []string{
	`subscription ($chatId: ID!) { newMessage(chatId: $chatId) { id content } }`,
	`subscription ($chatId: ID!) { newMessage(chatId: $chatId) { ...F } } fragment F on Message { senderName id }`,
	`subscription ($chatId: ID!) { newMessage(chatId: $chatId) { id createdAt __typename } }`,
}

const (
	subscribeWait = 6 * time.Second        // for a row to appear, before the client begins anew
	redialPause   = 100 * time.Millisecond // after a connection that failed
)

// run keeps the client subscribed until ctx ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.spell(ctx)
		select {
		case <-time.After(redialPause):
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

// spell is one connection from its begin to its end.
func (c *client) spell(ctx context.Context) {
	c.mu.Lock()
	s := &Spell{Name: fmt.Sprintf("%s.%d", c.name, len(c.spells)), Chat: c.chat}
	c.mu.Unlock()
	socket, subscription, err := c.open(ctx, s)
	if err != nil {
		return // refused, or not acknowledged: a fault of the plan
	}
	defer socket.Close()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		s.Lost = s.Lost || ctx.Err() == nil || c.leaves > 0
	}()
	// A subscribe is not acknowledged. Without a row it was lost.
	defer time.AfterFunc(subscribeWait, func() {
		if c.giveUp(s) {
			socket.Close()
		}
	}).Stop()
	c.watch(ctx, s, subscription)
}

// open opens a connection and subscribes.
func (c *client) open(ctx context.Context, s *Spell) (*wsclient.Client, *wsclient.Subscription, error) {
	select {
	case c.h.slots <- struct{}{}:
		defer func() { <-c.h.slots }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeWait)
	defer cancel()
	socket, err := wsclient.Dial(ctx, c.h.cloud.WSURL, wsclient.Options{Init: map[string]string{"name": s.Name}})
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	c.spells = append(c.spells, s)
	c.mu.Unlock()
	subscription, err := socket.Subscribe(ctx, wsclient.Operation{Query: c.query, Variables: map[string]string{"chatId": c.chat}})
	if err != nil {
		socket.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		s.Lost = true
		return nil, nil, err
	}
	return socket, subscription, nil
}

// giveUp counts a spell as lost whose row has not appeared, and reports
// whether it is one.
func (c *client) giveUp(s *Spell) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Lost = s.Lost || s.From.IsZero()
	return s.Lost
}

// watch writes down what comes until the connection ends or the client leaves.
func (c *client) watch(ctx context.Context, s *Spell, subscription *wsclient.Subscription) {
	for n := 1; ; n++ {
		payload, err := subscription.Next(ctx)
		if err != nil {
			return
		}
		var next struct {
			Data struct{ NewMessage struct{ ID string } }
		}
		if err := json.Unmarshal(payload, &next); err != nil || next.Data.NewMessage.ID == "" {
			next.Data.NewMessage.ID = "nothing: " + string(payload)
		}
		c.mu.Lock()
		s.Seen = append(s.Seen, Sighting{next.Data.NewMessage.ID, time.Now()})
		c.mu.Unlock()
		if n == c.leaves {
			return
		}
	}
}

// subscribed notes that the row of the client's connection is stored, for
// those of its connections that are among the names.
func (c *client) subscribed(names map[string]bool, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spells {
		if s.From.IsZero() && !s.Lost && names[s.Name] {
			s.From = at
		}
	}
}

// current is the name of the connection that the client has now and that is
// known to be subscribed, or "", and whether the client has ended.
func (c *client) current() (name string, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.spells); n > 0 && !c.spells[n-1].Lost && !c.spells[n-1].From.IsZero() {
		name = c.spells[n-1].Name
	}
	return name, c.ended
}

// record returns copies of all spells.
func (c *client) record() (spells []Spell) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spells {
		copied := *s
		copied.Seen = append([]Sighting(nil), s.Seen...)
		spells = append(spells, copied)
	}
	return spells
}
