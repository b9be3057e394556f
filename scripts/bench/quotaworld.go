package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/tokens"
	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pacing"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// quotaOutcome is what came of a scenario. Latencies are in ms.
type quotaOutcome struct {
	Last, First           float64 // seconds until the last target of any, and of the first, large topic
	Refused               float64 // % of posts
	Chat, ChatMost, Crowd float64
	FramesRefused         float64 // %
	Retried               int     // targets that went through the queue of retries
	Parked                int     // targets that were given up
	Receives              int     // of the message that was received most
	Writes                int     // of the line
}

const (
	refusalTime = 5 * time.Millisecond // the fastest post
	writeTime   = 5 * time.Millisecond // of the store
	pollTime    = 20 * time.Millisecond
	aloneTime   = time.Minute
	mostTime    = time.Hour // and what is not delivered by then counts as infinitely late
	chatSize    = 100
	crowdSize   = 1000
	senderGroup = 4 // FANOUT_GROUPS

	// senderTime is what an invocation has for posts.
	senderTime = 22 * time.Second
)

// world is an account with its senders.
type world struct {
	scenario
	store   *memory.Store
	account *tokens.Bucket
	latency func() time.Duration
	task    string // operation key
	later   chan string

	posts, refused, frames, framesRefused, retried, parked, writes, receives atomic.Int64

	mu      sync.Mutex
	got     [][]bool // by large topic and target
	missing []int    // targets of each that have nothing yet
	last    []time.Time
	chats   map[string][]float64
	done    func() // called when all large topics are delivered
}

// run plays the scenario.
func (s scenario) run(ctx context.Context) (quotaOutcome, error) {
	begun := time.Now()
	w := &world{scenario: s, store: memory.New(), account: tokens.New(s.Quota, s.Quota/2),
		latency: apigwemu.NewPostLatency(s.Seed), later: make(chan string, 1<<20),
		last: make([]time.Time, s.Topics), chats: map[string][]float64{}}
	op := operation(0, benchChat)
	w.task = op.Key()
	if err := w.store.PutOperation(ctx, w.task, op, begun.Add(24*time.Hour)); err != nil {
		return quotaOutcome{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w.done = cancel
	limit := mostTime
	if s.Topics == 0 {
		limit = aloneTime
	}
	time.AfterFunc(limit, cancel)
	var all sync.WaitGroup
	for topic := range s.Topics {
		w.got, w.missing = append(w.got, make([]bool, s.Targets)), append(w.missing, s.Targets)
		for group := range senderGroup {
			all.Go(func() { w.receive(ctx, w.large(topic, group)) })
		}
	}
	for group := range senderGroup {
		all.Go(func() { w.receive(ctx, w.chat(ctx, "chat", group, chatSize/senderGroup)) })
		if s.Crowd {
			all.Go(func() { w.receive(ctx, w.chat(ctx, "crowd", group, crowdSize/senderGroup)) })
		}
	}
	for range topology.QueueMappings()[1].MaxConcurrency {
		all.Go(func() { w.retry(ctx) })
	}
	all.Go(func() { w.sendFrames(ctx) })
	all.Wait()
	return w.outcome(begun), nil
}

func (w *world) outcome(begun time.Time) quotaOutcome {
	o := quotaOutcome{Refused: 100 * share(&w.refused, &w.posts), FramesRefused: 100 * share(&w.framesRefused, &w.frames),
		Retried: int(w.retried.Load()), Parked: int(w.parked.Load()),
		Receives: int(w.receives.Load()), Writes: int(w.writes.Load())}
	for i, at := range w.last {
		if at.IsZero() {
			at = begun.Add(mostTime)
		}
		o.Last = max(o.Last, at.Sub(begun).Seconds())
		if i == 0 {
			o.First = o.Last
		}
	}
	if len(w.last) > 1 {
		o.First = min(w.last[0].Sub(begun).Seconds(), w.last[1].Sub(begun).Seconds())
	}
	for name, took := range w.chats {
		slices.Sort(took)
		p99 := took[int(math.Ceil(0.99*float64(len(took))))-1]
		if name == "chat" {
			o.Chat, o.ChatMost = p99, took[len(took)-1]
		} else {
			o.Crowd = p99
		}
	}
	return o
}

func share(part, whole *atomic.Int64) float64 {
	return float64(part.Load()) / math.Max(1, float64(whole.Load()))
}

// sender is a process.
func (w *world) sender() *delivery.Sender {
	return delivery.New(delivery.Config{Store: connected{w.store}, Executor: executor(), Gateway: w, Retries: w, Dead: w,
		Workers: topology.SenderWorkers.In(topology.Defaults()), Quota: pacing.New(w, w.Rate, slog.New(slog.DiscardHandler)),
		Log: slog.New(slog.NewJSONHandler(io.Discard, nil))})
}

// connected is a store in which every client is connected and subscribed.
type connected struct{ *memory.Store }

func (connected) Connection(_ context.Context, id string) (pubsub.Connection, error) {
	return pubsub.Connection{ID: id, Operations: map[string]pubsub.Running{"1": {}}}, nil
}

// next is a group's next message, or "" if there is none and none to wait for.
type next func() string

// receive is the sender of one message group. What fails comes back when its visibility
// ends.
func (w *world) receive(ctx context.Context, more next) {
	s, mapping := w.sender(), topology.QueueMappings()[0]
	var held []string
	receives := 1
	for ctx.Err() == nil {
		if len(held) == 0 {
			receives = 1
		}
		for len(held) < mapping.BatchSize {
			body := more()
			if body == "" {
				break
			}
			held = append(held, body)
		}
		if len(held) == 0 {
			pause(ctx, pollTime)
			continue
		}
		w.receives.Store(max(w.receives.Load(), int64(receives)))
		invocation, cancel := context.WithTimeout(ctx, senderTime)
		r := s.DeliverGroups(invocation, [][]string{held})[0]
		cancel()
		held = held[r.Done:]
		pause(ctx, pollTime)
		if r.Err != nil {
			receives++
			pause(ctx, mapping.Queue.Visibility)
		}
	}
}

// retry is a sender of the queue of retries.
func (w *world) retry(ctx context.Context) {
	s := w.sender()
	for {
		var groups [][]string
		select {
		case body := <-w.later:
			groups = append(groups, []string{body})
		case <-ctx.Done():
			return
		}
		for more := true; more && len(groups) < 10; {
			select {
			case body := <-w.later:
				groups = append(groups, []string{body})
			default:
				more = false
			}
		}
		invocation, cancel := context.WithTimeout(ctx, senderTime)
		s.DeliverGroups(invocation, groups)
		cancel()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// large is a group of a large topic: all its messages wait.
func (w *world) large(topic, group int) next {
	at, end := group*w.Targets/senderGroup, (group+1)*w.Targets/senderGroup
	return func() string {
		if at >= end {
			return ""
		}
		first, count := at, min(topology.BatchTargets, end-at)
		at += count
		return w.message(fmt.Sprintf("large%d/", topic), first, count, "")
	}
}

// chat is a group of a topic with an event each second.
func (w *world) chat(ctx context.Context, name string, group, size int) next {
	due := time.Now().Add(time.Duration(group) * time.Millisecond)
	return func() string {
		if ctx.Err() != nil || time.Now().Before(due) {
			return ""
		}
		sent := due
		due = due.Add(time.Second)
		return w.message(name+"/", group*size, size, strconv.FormatInt(sent.UnixNano(), 10))
	}
}

// message is a batch. Its text says when it was sent.
func (w *world) message(prefix string, first, count int, text string) string {
	b := fanout.Batch{Event: chatEvent(eventID, "@"+text+"@"), Tasks: []fanout.Task{{Operation: w.task}}}
	expires := time.Now().Add(time.Hour).Unix()
	for i := range count {
		b.Tasks[0].Targets = append(b.Tasks[0].Targets,
			fanout.Target{ConnectionID: prefix + strconv.Itoa(first+i), OperationID: "1", Expires: expires})
	}
	body, _, err := fanout.Encode(b)
	if err != nil {
		panic(err) // it is ours
	}
	return string(body)
}

// Post implements pubsub.Gateway.
func (w *world) Post(ctx context.Context, id string, frame []byte) error {
	w.posts.Add(1)
	if !w.account.Take(1) {
		w.refused.Add(1)
		pause(ctx, refusalTime+rand.N(refusalTime)) // or all would come back at one moment
		return pubsub.ErrTooSoon
	}
	pause(ctx, w.latency())
	w.note(id, frame)
	return nil
}

// Delete implements pubsub.Gateway.
func (w *world) Delete(context.Context, string) error { return nil }

func (w *world) note(id string, frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, number, _ := strings.Cut(id, "/")
	if topic, large := strings.CutPrefix(name, "large"); large {
		n, _ := strconv.Atoi(topic)
		target, _ := strconv.Atoi(number)
		if w.got[n][target] {
			return
		}
		w.got[n][target] = true
		if w.missing[n]--; w.missing[n] > 0 {
			return
		}
		w.last[n] = time.Now()
		if !slices.ContainsFunc(w.last, time.Time.IsZero) {
			w.done()
		}
		return
	}
	parts := bytes.Split(frame, []byte("@"))
	sent, _ := strconv.ParseInt(string(parts[1]), 10, 64)
	w.chats[name] = append(w.chats[name], float64(time.Now().UnixNano()-sent)/1e6)
}

// SendLater implements delivery.Retries.
func (w *world) SendLater(_ context.Context, body []byte, delay time.Duration) error {
	b, err := fanout.Decode(body)
	if err != nil {
		return err
	}
	w.retried.Add(int64(b.Targets()))
	time.AfterFunc(delay, func() { w.later <- string(body) })
	return nil
}

// Park implements delivery.DeadLetters. What is parked is missing at the end.
func (w *world) Park(_ context.Context, body []byte, _ string) error {
	b, err := fanout.Decode(body)
	w.parked.Add(int64(b.Targets()))
	return err
}

// Reserve implements pacing.Line.
func (w *world) Reserve(ctx context.Context, line string, t pacing.Turn) (time.Time, error) {
	w.writes.Add(1)
	pause(ctx, writeTime)
	return w.store.Reserve(ctx, line, t)
}

// sendFrames sends clients' frames, which know nothing of each other.
func (w *world) sendFrames(ctx context.Context) {
	if w.Frames == 0 {
		return
	}
	for ctx.Err() == nil {
		pause(ctx, time.Duration(rand.ExpFloat64()*float64(time.Second)/w.Frames))
		if w.frames.Add(1); !w.account.Take(1) {
			w.framesRefused.Add(1)
		}
	}
}
