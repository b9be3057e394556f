package allowance

import (
	"context"
	"math/rand/v2"
	"time"
)

// audienceTime is how long a noted audience counts: subscribers leave.
const audienceTime = 10 * time.Minute

// AudienceStore keeps how many targets an event of a topic had.
type AudienceStore interface {
	SetAudience(ctx context.Context, topic string, targets int, expires time.Time) error

	// Audience returns 0 for a topic that is unknown or has expired.
	Audience(ctx context.Context, topic string) (targets int, err error)
}

// Audiences says how many pushes an event will cause, so that its writer pays for them.
// Nobody counts subscribers before an event, so whoever fans one out notes how many
// there were. A nil Audiences notes nothing and knows nobody.
type Audiences struct {
	Store  AudienceStore
	Chance func() float64 // in [0, 1); nil for a random one
}

// NewAudiences returns nil if nobody has to pay.
func NewAudiences(store AudienceStore, perMinute int) *Audiences {
	if perMinute == 0 {
		return nil
	}
	return &Audiences{Store: store, Chance: rand.Float64}
}

// Note notes the targets of an event; small audiences are sampled. Until one is noted,
// some 60 pushes are unpaid, and a note costs a hundredth of what it notes. It does not
// matter if that fails.
func (a *Audiences) Note(ctx context.Context, topic string, targets int) {
	if a == nil || a.Chance()*sample >= float64(targets) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	_ = a.Store.SetAudience(ctx, topic, targets, time.Now().Add(audienceTime))
}

// Of is how many targets an event of the topic will have, as far as is known.
func (a *Audiences) Of(ctx context.Context, topic string) int {
	if a == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	targets, err := a.Store.Audience(ctx, topic)
	if err != nil {
		return 0
	}
	return targets
}
