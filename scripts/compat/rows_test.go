package compat

import (
	"testing"
	"time"

	"subwire/shared/chat"
	"subwire/shared/dynamo"
	"subwire/shared/node"
	"subwire/shared/topology"
)

// rows counts the subscriptions of a chat, those that nodes hold among them.
func (s *site) rows(t *testing.T, chatID string) int {
	t.Helper()
	n, err := s.Subscribers(t.Context(), chat.Topic(chatID))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// holds returns the id of the only connection to a node with a subscription of the chat.
func (s *site) holds(t *testing.T, chatID string) (id string) {
	t.Helper()
	for row, err := range s.store().Subscriptions(t.Context(), chat.Topic(chatID), time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		at, _ := node.Parse(row.ConnectionID)
		held, _, err := s.Ask(t.Context(), at, chat.Topic(chatID))
		if err != nil || len(held) != 1 || id != "" {
			t.Fatalf("%v are subscribed to %s: %v", held, chatID, err)
		}
		id = held[0].Connection
	}
	return id
}

func (s *site) store() *dynamo.Store {
	return dynamo.New(dynamo.NewClient(s.Backend.AWS()), dynamo.Tables{
		Connections: s.Tables[topology.Connections.Name], Subscriptions: s.Tables[topology.Subscriptions.Name]})
}
