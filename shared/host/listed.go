package host

import "subwire/shared/pubsub"

// Listed returns what the sockets of this process are subscribed to, a topic each: all of
// it, or what has the topic. It is for operators and tests; presence is not in it, as the
// shared store has that.
func (l *Listing) Listed(topic string) (all []pubsub.Subscription) {
	x := l.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, t := range x.topics {
		if topic != "" && topic != name {
			continue
		}
		for _, e := range t.entries {
			s := e.sub
			s.Topic = name
			all = append(all, s)
		}
	}
	return all
}
