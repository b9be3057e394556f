package pubsub

import (
	"strings"
	"time"
)

// PresencePrefix begins the topics of presence: their subscriptions are those who are
// present, and their events say how many these are. No other topic begins with it.
//
// When such a subscription ends, its row is not deleted but marked as left. It then gets
// no event, but counts for PresenceGrace longer: a page that is loaded again is back by
// then.
const PresencePrefix = "present/"

// IsPresence reports whether the topic is one of presence.
func IsPresence(topic string) bool { return strings.HasPrefix(topic, PresencePrefix) }

const (
	// MaxPresent is how many are counted. What changes beyond it is told only to those
	// who come, or each who comes to a large crowd would cost a push to all of it.
	MaxPresent = 100

	// MaxPresentRows is how many rows are read to count them: one can be there several
	// times.
	MaxPresentRows = 1000

	// PresenceGrace is how long somebody who has left still counts.
	PresenceGrace = 10 * time.Second

	// LeftTTL is how long a row stays that is marked as left, if nobody deletes it after
	// the grace.
	LeftTTL = time.Minute

	// MaxWhoBytes bounds Subscription.Who: a viewer's id has at most as many.
	MaxWhoBytes = 256
)

// Presence is the event of a topic of presence.
type Presence struct {
	Count int  `json:"count" doc:"How many are present: each counts once, however often."`
	More  bool `json:"more" doc:"Whether there are more than count."`
}

// PresenceChange is a change of a row of presence. Before is nil for a new row, Now for
// one that was deleted.
type PresenceChange struct{ Before, Now *Subscription }

// Came reports whether somebody is there, and waits to be told how many are present.
func (c PresenceChange) Came() bool { return c.Now != nil && c.Now.Left.IsZero() }

// Left reports whether somebody has left, whose grace begins.
func (c PresenceChange) Left() bool {
	return c.Now != nil && !c.Now.Left.IsZero() && (c.Before == nil || c.Before.Left.IsZero())
}
