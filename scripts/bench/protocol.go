package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
)

const (
	sessionTitle = "Frames through the session, with the store in memory"
	cloudTitle   = "Frames through the local cloud"

	perCPUColumn = "frames/CPU-s"
)

func protocolCommand() command {
	return command{"protocol", "frames per second through the message function's session, or the local cloud", func(flags *flag.FlagSet) measure {
		root := flags.String("root", ".", "`folder` of the repository")
		sockets := flags.Int("sockets", 0, "through the local cloud as well, with so many `SOCKETS`, each with one frame on its way")
		duration := flags.Duration("duration", 5*time.Second, "of each kind of frame through the local cloud")
		return func(ctx context.Context, _ uint64) (report.Report, error) {
			direct, err := sessionTable(ctx)
			if err != nil {
				return report.Report{}, err
			}
			r := report.Report{Tables: []report.Table{direct},
				Notes: []string{"A conversation opens a connection, initialises it, subscribes, completes and disconnects: three frames."},
				Plot:  &report.Plot{Title: sessionTitle, Table: sessionTitle, Columns: []string{perCPUColumn}, Y: "frames per CPU second"}}
			if *sockets > 0 {
				through, err := cloudTable(ctx, *root, *sockets, *duration)
				if err != nil {
					return report.Report{}, err
				}
				r.Tables = append(r.Tables, through)
				r.Settings = append(r.Settings, report.Setting{Name: "sockets", Value: *sockets})
			}
			return r, nil
		}
	}}
}

// mute is a gateway that takes every frame.
type mute struct{ posts int }

func (m *mute) Post(context.Context, string, []byte) error { m.posts++; return nil }

func (m *mute) Delete(context.Context, string) error { return nil }

// conversation is a session whose frames all come from one client.
type conversation struct {
	*session.Session
	store *memory.Store
	posts *mute
}

func newConversation() conversation {
	store, posts := memory.New(), &mute{}
	return conversation{&session.Session{Connections: store, Operations: store, Executor: gql.MustNew(gql.Chat{Store: store}.Schema()),
		Gateway: posts, MaxOperations: 100, Log: slog.New(slog.DiscardHandler)}, store, posts}
}

// send handles frames of the connection.
func (c conversation) send(ctx context.Context, connection string, frames ...string) error {
	for _, f := range frames {
		if err := c.Receive(ctx, session.Frame{ConnectionID: connection, Data: []byte(f), At: time.Now()}); err != nil {
			return err
		}
	}
	return nil
}

func (c conversation) open(ctx context.Context, id string) error {
	now := time.Now()
	err := c.store.PutConnection(ctx, pubsub.Connection{ID: id, ConnectedAt: now, InitDeadline: now.Add(time.Minute), Expires: now.Add(time.Hour)})
	if err != nil {
		return err
	}
	return c.send(ctx, id, `{"type":"connection_init"}`)
}

func subscribeFrame() (string, error) {
	frame, err := json.Marshal(map[string]any{"id": "1", "type": "subscribe", "payload": operation(0, benchChat)})
	return string(frame), err
}

func sessionTable(ctx context.Context) (report.Table, error) {
	subscribe, err := subscribeFrame()
	if err != nil {
		return report.Table{}, err
	}
	c := newConversation()
	if err := c.open(ctx, "open"); err != nil {
		return report.Table{}, err
	}
	const ping, complete, query = `{"type":"ping"}`, `{"id":"1","type":"complete"}`, `{"id":"2","type":"subscribe","payload":{"query":"{ __typename }"}}`
	t := report.Table{Title: sessionTitle, Key: "frames", Columns: []string{perCPUColumn, "CPU µs/frame", "allocs/frame", "B/frame"}}
	for _, kind := range []struct {
		label  string
		frames int
		work   func() error
	}{
		{"ping", 1, func() error { return c.send(ctx, "open", ping) }},
		{"query", 1, func() error { return c.send(ctx, "open", query) }},
		{"subscribe, complete", 2, func() error { return c.send(ctx, "open", subscribe, complete) }},
		{"conversation", 3, func() error {
			if err := c.open(ctx, "new"); err != nil {
				return err
			}
			if err := c.send(ctx, "new", subscribe, complete); err != nil {
				return err
			}
			return c.store.DeleteConnection(ctx, "new")
		}},
	} {
		spent, err := perRun(kind.work)
		if err != nil {
			return t, fmt.Errorf("%s: %w", kind.label, err)
		}
		n := float64(kind.frames)
		t.Rows = append(t.Rows, report.NewRow(kind.label, n*1e9/spent.ns, spent.ns/n/1000, spent.allocs/n, spent.bytes/n))
	}
	if c.posts.posts == 0 {
		return t, fmt.Errorf("no frame was answered")
	}
	return t, nil
}

// cloudTable measures frames that are answered, each sent after the previous answer.
func cloudTable(ctx context.Context, root string, sockets int, duration time.Duration) (report.Table, error) {
	t := report.Table{Title: cloudTitle, Key: "frames", Columns: []string{"frames/s", "mean ms"}}
	local, err := cloud.Start(ctx, cloud.Config{Root: root})
	if err != nil {
		return t, err
	}
	defer local.Stop()
	for _, kind := range []struct{ label, frame, last string }{
		{"ping", `{"type":"ping"}`, `"pong"`},
		{"query", `{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}`, `"complete"`},
	} {
		n, took, err := exchange(ctx, local.WSURL, sockets, duration, kind.frame, kind.last)
		if err != nil {
			return t, fmt.Errorf("%s: %w", kind.label, err)
		}
		rate := float64(n) / took.Seconds()
		t.Rows = append(t.Rows, report.NewRow(kind.label, rate, 1000*float64(sockets)/math.Max(rate, 1)))
	}
	return t, nil
}

// exchange lets each socket send the frame and wait for the last of its answers,
// again and again. It returns how often that was, and how long it took.
func exchange(ctx context.Context, url string, sockets int, duration time.Duration, frame, last string) (n int, took time.Duration, err error) {
	open := make([]*wsclient.Raw, sockets)
	defer func() {
		for _, s := range open {
			if s != nil {
				s.Close(1000, "")
			}
		}
	}()
	for i := range open {
		if open[i], err = wsclient.DialRaw(ctx, url, wsclient.Options{}); err != nil {
			return 0, 0, err
		}
		if err := ask(ctx, open[i], `{"type":"connection_init"}`, "connection_ack"); err != nil {
			return 0, 0, err
		}
	}
	begin := time.Now()
	counts := make([]int, sockets)
	var all errgroup.Group
	for i, s := range open {
		all.Go(func() error {
			for time.Since(begin) < duration {
				if err := ask(ctx, s, frame, last); err != nil {
					return err
				}
				counts[i]++
			}
			return nil
		})
	}
	err = all.Wait()
	for _, c := range counts {
		n += c
	}
	return n, time.Since(begin), err
}

func ask(ctx context.Context, s *wsclient.Raw, frame, last string) error {
	if err := s.Send(ctx, frame); err != nil {
		return err
	}
	for {
		answer, err := s.Next(ctx)
		if err != nil || strings.Contains(answer, last) {
			return err
		}
	}
}
