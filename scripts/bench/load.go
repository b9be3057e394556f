package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// load posts messages over HTTP to the chats that a crowd listens to.
type load struct {
	url    string
	chats  []string
	size   int // bytes of each text
	client *http.Client
}

func newLoad(url string, chats []string, size int) *load {
	return &load{url: url, chats: chats, size: size, client: &http.Client{
		Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
}

func (l *load) post(ctx context.Context, chat, content string) error {
	body, err := mutation(chat, content)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ Errors json.RawMessage }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if err != nil || resp.StatusCode != http.StatusOK || answer.Errors != nil {
		return errors.Join(fmt.Errorf("the mutation was answered %s %s", resp.Status, answer.Errors), err)
	}
	return nil
}

// warmUp posts until every member has received a message, as a subscribe is not
// acknowledged, and then one more to each chat. Each member gets its messages in
// order, so once that has arrived, nothing earlier is still on its way.
func (l *load) warmUp(ctx context.Context, c *crowd) error {
	for round := 1; ; round++ {
		for _, chat := range l.chats {
			if err := l.post(ctx, chat, text(warmUp, round, l.size)); err != nil {
				return fmt.Errorf("warm up: %w", err)
			}
		}
		wait, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := c.await(wait, func() bool { return slices.Min(c.warm) == round })
		cancel()
		switch {
		case err == nil && round > 1:
			return nil
		case err != nil && (wait.Err() == nil || ctx.Err() != nil):
			return fmt.Errorf("warm up: %w", err)
		}
	}
}

// schedule is when to post: a Poisson process with that rate per second. Messages
// come regardless of how fast earlier ones were served.
func schedule(rate float64, duration time.Duration, seed uint64) []time.Duration {
	random := rand.New(rand.NewPCG(seed, 1))
	var at []time.Duration
	next := func() time.Duration { return time.Duration(random.ExpFloat64() / rate * float64(time.Second)) }
	for t := next(); t < duration; t += next() {
		at = append(at, t)
	}
	return at
}

// run posts the schedule, alternating between chats. It returns when every member has
// each message of its chat, or when nothing has arrived for patience after the last
// post. begin is when the schedule began, late the largest delay of a post.
func (l *load) run(ctx context.Context, c *crowd, at []time.Duration, patience time.Duration) (
	begin time.Time, late time.Duration, err error) {
	begin = time.Now()
	first := c.expect(begin, at)
	var posting sync.WaitGroup
	defer posting.Wait()
	for i, offset := range at {
		select {
		case <-time.After(time.Until(begin.Add(offset))):
		case <-ctx.Done():
			return begin, late, ctx.Err()
		}
		late = max(late, time.Since(begin.Add(offset)))
		posting.Go(func() {
			if l.post(ctx, l.chats[i%len(l.chats)], text(counts, first+i, l.size)) != nil {
				c.fail(first + i)
			}
		})
	}
	posting.Wait()
	return begin, late, c.drain(ctx, patience)
}
