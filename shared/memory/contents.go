package memory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"subwire/shared/pubsub"
)

// Contents is everything that a store holds, expired or not, in a fixed order.
type Contents struct {
	Connections   []pubsub.Connection         // by id
	Subscriptions []pubsub.Subscription       // by topic, then as Subscriptions yields them
	Listening     []pubsub.Subscription       // those that Listen has put, likewise; not among Subscriptions
	Operations    map[string]pubsub.Operation // by key
}

// Contents returns a copy of everything in the store.
func (s *Store) Contents() Contents {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Contents{Operations: maps.Clone(s.operations)}
	for _, id := range slices.Sorted(maps.Keys(s.connections)) {
		c.Connections = append(c.Connections, s.connections[id].export())
	}
	all := slices.SortedFunc(maps.Values(s.rows), func(a, b pubsub.Subscription) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), compareSubscriptions(a, b))
	})
	for _, sub := range all {
		if s.listening[row{sub.Topic, sub.ConnectionID, sub.OperationID}] {
			c.Listening = append(c.Listening, sub)
		} else {
			c.Subscriptions = append(c.Subscriptions, sub)
		}
	}
	return c
}

// Check returns an error if the contents break an invariant: a subscription belongs to
// a connection that runs it, a running operation has a subscription under each of its
// topics, and each subscription's operation exists. One
// that has left belongs to nobody.
func (c Contents) Check() error {
	listed := map[row]bool{}
	for _, sub := range c.Subscriptions {
		if sub.Left.IsZero() {
			listed[row{sub.Topic, sub.ConnectionID, sub.OperationID}] = true
		}
		if _, ok := c.Operations[sub.OperationKey]; !ok {
			return fmt.Errorf("subscription %s of connection %s: no operation %s",
				sub.OperationID, sub.ConnectionID, sub.OperationKey)
		}
	}
	for _, conn := range c.Connections {
		for id, running := range conn.Operations {
			for _, topic := range running.Topics() {
				at := row{topic, conn.ID, id}
				if !listed[at] {
					return fmt.Errorf("operation %s of connection %s is not listed under %s", id, conn.ID, topic)
				}
				delete(listed, at)
			}
		}
	}
	for at := range listed {
		return fmt.Errorf("subscription %s of connection %s under %s: no such operation runs",
			at.operationID, at.connectionID, at.topic)
	}
	return nil
}
