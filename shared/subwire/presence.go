package subwire

import (
	"context"
	"fmt"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
)

// PresenceOf says how many are present: those who have this subscription. Topic is
// required.
type PresenceOf[A any] struct {
	Doc string

	// Topic names where one is present, as of a Subscription. The two share no topics.
	Topic func(A) (Topic, error)

	// Begin refuses a subscription when it begins, as of a Subscription.
	Begin func(context.Context, Viewer, A) error

	// Who names the person, who counts once however often it is there, such as by a
	// second page. It has at most pubsub.MaxWhoBytes. nil for the viewer's id; "" for
	// somebody unlike any other.
	Who func(Viewer, A) string
}

// Presence adds a field of the subscription type whose events are
//
//	type Presence { count: Int! more: Boolean! }
//
// One comes first and after each change. Beyond pubsub.MaxPresent, count is that, more is
// true, and changes are not told. Who leaves counts for pubsub.PresenceGrace longer, so a
// page that is loaded again changes nothing; whose socket is lost without a $disconnect
// counts for up to 15 minutes longer.
func Presence[A any](a *App, name string, p PresenceOf[A]) {
	a.present = true
	var atStart []string
	for _, m := range members(typeOf[A]()) {
		if m.who {
			atStart = append(atStart, m.name)
		}
	}
	if p.Topic == nil {
		a.errs = append(a.errs, fmt.Errorf("presence %s: it needs a Topic", name))
	}
	s := Subscription[A, pubsub.Presence]{Doc: p.Doc, Begin: p.Begin, Topic: p.Topic}
	a.subscriptions[name] = func() gql.Subscription {
		sub := s.within(a).field("")
		topics := sub.Topics
		sub.Topics = func(v Viewer, given map[string]any) ([]string, error) {
			all, err := topics(v, given)
			for i := range all {
				all[i] = pubsub.PresencePrefix + all[i]
			}
			return all, err
		}
		sub.Type, sub.Args = a.types.output(typeOf[pubsub.Presence]()), a.types.arguments(typeOf[A]())
		sub.AtStart = atStart
		sub.Who = func(v Viewer, given map[string]any) (string, error) {
			args, err := argumentsOf[A](given)
			if err != nil {
				return "", err
			}
			return p.who(v, args)
		}
		return sub
	}
}

func (p PresenceOf[A]) who(v Viewer, args A) (string, error) {
	if p.Who == nil {
		return v.ID, nil
	}
	who := p.Who(v, args)
	if len(who) > pubsub.MaxWhoBytes {
		return "", Invalid(fmt.Sprintf("Who is present has %d bytes; at most %d are allowed.", len(who), pubsub.MaxWhoBytes))
	}
	return who, nil
}
