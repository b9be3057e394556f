package gql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/graphql-go/graphql"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/session"
)

// A second domain, to show that the core knows nothing of chats: stock prices.
// All that it takes is what follows, up to the test: a type, a schema, and an
// event for each change. docs/your-own-product.md walks through it.

type quote struct {
	Symbol string  `json:"symbol"`
	Price  float64 `json:"price"`
}

// event is what a quote means to the pipeline. In a deployment, a function decodes it
// from the stream of the quotes table.
func (q quote) event(id string) (pubsub.Event, error) {
	root, err := json.Marshal(q)
	return pubsub.Event{ID: id, Topic: quoteTopic(q.Symbol), Root: root}, err
}

func quoteTopic(symbol string) string { return "quote/" + symbol }

// quoteSchema has the subscription priceChanged(symbol: String!): Quote!
func quoteSchema() gql.Config {
	quoteType := graphql.NewObject(graphql.ObjectConfig{Name: "Quote", Fields: graphql.Fields{
		"symbol": {Type: graphql.NewNonNull(graphql.String)},
		"price":  {Type: graphql.NewNonNull(graphql.Float)},
	}})
	return gql.Config{
		Query: graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{
			"markets": {Type: graphql.NewList(graphql.String)},
		}}),
		Subscriptions: map[string]gql.Subscription{
			"priceChanged": {
				Type: graphql.NewNonNull(quoteType),
				Args: graphql.FieldConfigArgument{"symbol": {Type: graphql.NewNonNull(graphql.String)}},
				Topic: func(args map[string]any) (string, error) {
					symbol := args["symbol"].(string)
					if symbol == "" {
						return "", gql.Refuse(pubsub.CodeInput, errors.New("symbol is empty"))
					}
					return quoteTopic(symbol), nil
				},
				Root: func(root json.RawMessage) (any, error) {
					var q quote
					err := json.Unmarshal(root, &q)
					return q, err
				},
			},
		},
	}
}

func TestASecondDomainNeedsNoChangeOfTheCore(t *testing.T) {
	t.Parallel()
	executor := gql.MustNew(quoteSchema())
	store, gateway := memory.New(), &memory.Gateway{}
	client := session.Session{Connections: store, Operations: store, Executor: executor, Gateway: gateway,
		MaxOperations: 10, Log: slog.New(slog.DiscardHandler)}
	sender := delivery.New(delivery.Config{Store: store, Executor: executor, Gateway: gateway, Workers: 4})

	for id, document := range map[string]string{
		"ada":   `subscription { priceChanged(symbol: \"ACME\") { price } }`,
		"bob":   `subscription ($s: String!) { now: priceChanged(symbol: $s) { symbol price } }`,
		"carol": `subscription { priceChanged(symbol: \"OTHER\") { price } }`,
	} {
		gateway.Open(id)
		now := time.Now()
		if err := store.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: now.Add(time.Minute), Expires: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		for _, frame := range []string{`{"type":"connection_init"}`,
			fmt.Sprintf(`{"id":"1","type":"subscribe","payload":{"query":"%s","variables":{"s":"ACME"}}}`, document)} {
			if err := client.Receive(t.Context(), session.Frame{ConnectionID: id, Data: []byte(frame), At: now}); err != nil {
				t.Fatal(err)
			}
		}
	}

	event, err := quote{"ACME", 12.5}.event("1")
	if err != nil {
		t.Fatal(err)
	}
	subscribers := store.Subscriptions(t.Context(), event.Topic, time.Now())
	for batch, err := range fanout.Plan(event, subscribers, fanout.Limits{Targets: 1000, Bytes: 60_000, Groups: 4}) {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := fanout.Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sender.Deliver(t.Context(), body); err != nil {
			t.Fatal(err)
		}
	}

	for id, want := range map[string][]string{
		"ada":   {`{"type":"connection_ack"}`, `{"id":"1","type":"next","payload":{"data":{"priceChanged":{"price":12.5}}}}`},
		"bob":   {`{"type":"connection_ack"}`, `{"id":"1","type":"next","payload":{"data":{"now":{"symbol":"ACME","price":12.5}}}}`},
		"carol": {`{"type":"connection_ack"}`},
	} {
		if diff := cmp.Diff(want, gateway.Frames(id)); diff != "" {
			t.Errorf("%s got something else:\n%s", id, diff)
		}
	}
}
