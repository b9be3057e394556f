package process

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/graphqlhttp"
	"subwire/shared/memory"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
	"subwire/shared/trusted"
)

// nobody authenticates and checks nobody.
type nobody struct{}

func (nobody) Authenticate(context.Context, string) (pubsub.Viewer, pubsub.Life, error) {
	return pubsub.Viewer{}, pubsub.Life{}, nil
}

func (nobody) SendLater(context.Context, []byte, time.Duration) error { return nil }

// What the functions connect, message and disconnect are told by settings, a host is told,
// too: a field that is new must not be forgotten here.
func TestAHostIsSetUpAsTheFunctionsAre(t *testing.T) {
	t.Parallel()
	given := map[string]string{topology.MaxConnections.Env: "5", topology.RequireOrigin.Env: "true",
		topology.HandshakeToken.Env: topology.TokenRequired, topology.AllowedOrigins.Env: "https://chat.example.com"}
	settings, errs := topology.Read(topology.Host.Settings(), func(name string) string { return given[name] })
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	h, _ := New(Parts{Store: memory.New(), Executor: kinds{}, Auth: nobody{}, Checks: nobody{}, Documents: &trusted.Documents{},
		Allowance: &allowance.Allowance{}, Audiences: &allowance.Audiences{}, Settings: settings, Log: slog.New(slog.DiscardHandler),
		Metrics: &metrics.Meter{}, Address: "10.0.0.1:80"})
	for _, tc := range []struct {
		part   any
		except []string
	}{
		{h.Session, []string{"BehindEdge"}},     // a frame of a host's socket has the client's address
		{&h.Connector, []string{"KeepAddress"}}, // likewise
		{&h.Ended, nil},
	} {
		v := reflect.ValueOf(tc.part).Elem()
		for field, value := range v.Fields() {
			if field.IsExported() && value.IsZero() != slices.Contains(tc.except, field.Name) {
				t.Errorf("%s.%s is %v", v.Type(), field.Name, value)
			}
		}
	}
}

// kinds prepares operations named after their kind.
type kinds struct{}

func (kinds) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	if op.Document == "" {
		return pubsub.Executable{}, pubsub.Refusal(pubsub.CodeParse, "empty")
	}
	return pubsub.Executable{Kind: pubsub.Kind(op.Document), Run: func(context.Context, *pubsub.Event) (json.RawMessage, error) { return nil, nil }}, nil
}

func TestAStreamOfAMutationByGETIsRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		method, kind string
		refused      bool
	}{{"GET", "query", false}, {"GET", "subscription", false}, {"GET", "mutation", true}, {"POST", "mutation", false}, {"POST", "subscription", false}} {
		err := refuse(nil, kinds{})(t.Context(), tc.method, pubsub.Operation{Document: tc.kind})
		_, isStatus := errors.AsType[graphqlhttp.StatusError](err)
		if (err != nil) != tc.refused || isStatus != tc.refused {
			t.Errorf("%s of a %s: %v", tc.method, tc.kind, err)
		}
	}
	if err := refuse(nil, kinds{})(t.Context(), "GET", pubsub.Operation{}); err == nil {
		t.Error("what cannot be prepared is not refused")
	}
}
