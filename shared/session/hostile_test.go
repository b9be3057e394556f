package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"subwire/shared/chat"
	"subwire/shared/gql"
	"subwire/shared/hostile"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// longest keeps the length of the longest frame.
type longest struct {
	nobody
	bytes int
}

func (l *longest) Post(_ context.Context, _ string, frame []byte) error {
	l.bytes = max(l.bytes, len(frame))
	return nil
}

// hostileSession has a connection and a chat 1 of the largest size.
func hostileSession(t testing.TB, gateway pubsub.Gateway) (s *session.Session, start time.Time) {
	t.Helper()
	store, start := memory.New(), time.Now()
	hostile.Fill(t, store, "1")
	config := chat.New().MustOpen(subwire.Env{Tables: store, Anonymous: true})
	config.Introspection, config.Limits, config.Log = true, gql.DefaultLimits.OverSocket(), slog.New(slog.DiscardHandler)
	s = &session.Session{Connections: store, Operations: store, Executor: gql.MustNew(config), Gateway: gateway,
		MaxOperations: 100, MaxReplayBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)}
	c := pubsub.Connection{ID: "c", ConnectedAt: start, InitDeadline: start.Add(time.Hour), Expires: start.Add(time.Hour)}
	if err := store.PutConnection(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Receive(t.Context(), session.Frame{ConnectionID: "c", Data: []byte(initFrame), At: start}); err != nil {
		t.Fatal(err)
	}
	return s, start
}

// subscribeFrame is the frame that starts an operation, if API Gateway takes one so
// large.
func subscribeFrame(t testing.TB, id string, op pubsub.Operation) (frame []byte, fits bool) {
	t.Helper()
	frame, err := json.Marshal(map[string]any{"id": id, "type": "subscribe",
		"payload": map[string]any{"query": op.Document, "variables": op.Variables}})
	if err != nil { // variables that are not JSON come in no frame
		return nil, false
	}
	return frame, len(frame) <= topology.MaxFrameBytes
}

func TestNoFrameIsAnsweredWithTooMuch(t *testing.T) { // not parallel: it measures
	gateway := &longest{}
	s, at := hostileSession(t, gateway)
	n := 0
	for name, op := range hostile.Documents() {
		n++
		frame, fits := subscribeFrame(t, fmt.Sprint(n), op)
		if !fits {
			continue
		}
		t.Run(name, func(t *testing.T) {
			at, gateway.bytes = at.Add(time.Millisecond), 0
			var err error
			m := session.Frame{ConnectionID: "c", Data: frame, At: at}
			if n := hostile.Allocated(func() { err = s.Receive(t.Context(), m) }); n > hostile.MostMemory || err != nil {
				t.Errorf("%d MB allocated, %v", n>>20, err)
			}
			if gateway.bytes == 0 || gateway.bytes > topology.MaxMessageBytes {
				t.Errorf("the longest frame has %d bytes", gateway.bytes)
			}
		})
	}
}

// BenchmarkHostile prints the cost of the hostile documents with the largest answers.
func BenchmarkHostile(b *testing.B) {
	for _, name := range []string{"LargeAliases", "LargeContents", "LargeKeys", "LargePages", "ResponseAllowed"} {
		b.Run(name, func(b *testing.B) {
			s, at := hostileSession(b, nobody{})
			frame, _ := subscribeFrame(b, "1", hostile.Documents()[name])
			b.ReportAllocs()
			for b.Loop() {
				at = at.Add(time.Millisecond)
				if err := s.Receive(b.Context(), session.Frame{ConnectionID: "c", Data: frame, At: at}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
