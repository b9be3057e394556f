package session_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
)

// nobody takes every frame.
type nobody struct{}

func (nobody) Post(context.Context, string, []byte) error { return nil }

func (nobody) Delete(context.Context, string) error { return nil }

func BenchmarkReceive(b *testing.B) {
	for name, frame := range map[string]string{"ping": `{"type":"ping"}`, "query": subscribe("1", "query")} {
		b.Run(name, func(b *testing.B) {
			store, now := memory.New(), time.Now()
			s := &session.Session{Connections: store, Operations: store, Executor: executor{}, Gateway: nobody{},
				MaxOperations: 3, Log: slog.New(slog.DiscardHandler)}
			c := pubsub.Connection{ID: "c", ConnectedAt: now, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}
			if err := store.PutConnection(b.Context(), c); err != nil {
				b.Fatal(err)
			}
			if err := s.Receive(b.Context(), session.Frame{ConnectionID: "c", Data: []byte(initFrame), At: now}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Millisecond)
				if err := s.Receive(b.Context(), session.Frame{ConnectionID: "c", Data: []byte(frame), At: now}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
