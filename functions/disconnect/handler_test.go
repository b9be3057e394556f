package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func setup(t *testing.T) (handler, *memory.Store, *memory.Gateway) {
	t.Helper()
	store, gateway := memory.New(), &memory.Gateway{}
	gateway.Open("c")
	if err := store.PutConnection(t.Context(), pubsub.Connection{ID: "c", Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	return handler{slog.New(slog.DiscardHandler), connection.Disconnector{Connections: store, Gateway: gateway}}, store, gateway
}

// invoke gives the handler the JSON that Lambda would send.
func invoke(ctx context.Context, t *testing.T, h handler, event string) (failed []string, err error) {
	t.Helper()
	var e trigger
	if err := json.Unmarshal([]byte(event), &e); err != nil {
		t.Fatal(err)
	}
	r, err := h.handle(ctx, e)
	for _, f := range r.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return failed, err
}

const disconnected = `{"requestContext":{"routeKey":"$disconnect","eventType":"DISCONNECT","connectionId":"c","disconnectStatusCode":1001,"disconnectReason":"Going away"}}`

func TestDisconnectDeletesTheConnection(t *testing.T) {
	t.Parallel()
	h, store, _ := setup(t)
	for range 2 { // a connection that is already gone is not an error
		if _, err := invoke(t.Context(), t, h, disconnected); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(store.Contents().Connections); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestADisconnectThatFailsIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, store, _ := setup(t)
		store.Fault = func(string) memory.Fault { return memory.NotApplied }
		ctx, cancel := context.WithTimeout(t.Context(), topology.Disconnect.Timeout)
		defer cancel()
		if _, err := invoke(ctx, t, h, disconnected); err == nil || ctx.Err() != nil {
			t.Errorf("got %v; context: %v", err, ctx.Err())
		}
	})
}

// A check that waits for a busy client does not hold up the others.
func TestChecksDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, _, gateway := setup(t)
		gateway.Open("busy")
		gateway.Fault = func(id string, _ []byte) (bool, error) {
			if id == "busy" {
				return false, pubsub.ErrBusy
			}
			return true, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), topology.Disconnect.Timeout)
		defer cancel()
		failed, err := invoke(ctx, t, h, `{"Records":[
			{"messageId":"1","body":"{\"connectionId\":\"busy\"}"},
			{"messageId":"2","body":"{\"connectionId\":\"c\"}"}]}`)
		if err != nil || len(failed) != 0 || ctx.Err() != nil {
			t.Errorf("failed %v, %v; context: %v", failed, err, ctx.Err())
		}
		if len(gateway.Sockets()) != 0 || len(gateway.Frames("c")) != 1 {
			t.Errorf("open are %v; the silent socket got %q", gateway.Sockets(), gateway.Frames("c"))
		}
	})
}

func TestOnlyTheChecksThatFailAreReceivedAgain(t *testing.T) {
	t.Parallel()
	h, _, gateway := setup(t)
	failed, err := invoke(t.Context(), t, h, `{"Records":[
		{"messageId":"good","body":"{\"connectionId\":\"c\"}"},
		{"messageId":"bad","body":"nonsense"}]}`)
	if err != nil || len(failed) != 1 || failed[0] != "bad" {
		t.Errorf("failed %v, %v", failed, err)
	}
	if len(gateway.Sockets()) != 0 || len(gateway.Frames("c")) != 1 {
		t.Errorf("the silent socket got %q", gateway.Frames("c"))
	}
}
