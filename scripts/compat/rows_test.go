package compat

import (
	"testing"
	"time"

	"subwire/shared/chat"
	"subwire/shared/dynamo"
	"subwire/shared/topology"
)

// rows counts the stored subscriptions of a chat.
func (s *site) rows(t *testing.T, chatID string) (n int) {
	t.Helper()
	store := dynamo.New(dynamo.NewClient(s.Backend.AWS()), dynamo.Tables{Subscriptions: s.Tables[topology.Subscriptions.Name]})
	for _, err := range store.Subscriptions(t.Context(), chat.Topic(chatID), time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
