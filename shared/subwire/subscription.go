package subwire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
)

// Subscription is one field of the subscription type: events E for arguments A. One of
// Topic, TopicOf and Topics says what is listened to; all else may be nil.
type Subscription[A, E any] struct {
	Doc string

	// Topic is the usual one. Invalid refuses the arguments.
	Topic func(A) (Topic, error)

	// TopicOf is instead of Topic for what depends on the viewer, such as "my orders".
	// Forbidden refuses a viewer.
	TopicOf func(Viewer, A) (Topic, error)

	// Topics is for a union: 1 to pubsub.MaxTopics topics, with pubsub.MaxTopicBytes
	// together. An event that was emitted to several of them comes once. Events come in
	// the order of their changes if the lowest of the topics that they share with the
	// union is the same. Emit.End completes a union when it names all its topics. It has
	// no Replay.
	Topics func(Viewer, A) ([]Topic, error)

	// Begin refuses a subscription when it begins, with Forbidden or Invalid. It may do
	// I/O.
	Begin func(context.Context, Viewer, A) error

	// Allow refuses a viewer one of the events, with Forbidden, and so ends its
	// subscription. It is asked for each event, and does no I/O. Its answer is not part
	// of the result, so it may look at the viewer freely.
	Allow func(Viewer, A, E) error

	// Current returns the state as it is, which a new subscription gets first. It may do
	// I/O. ErrNotFound means that there is none yet.
	Current func(context.Context, Viewer, A) (E, error)

	// Ends reports whether an event is the last: its subscriptions are completed after
	// it. It is asked of the current state, too.
	Ends func(E) bool

	// Filter reports whether a subscription gets an event. It is asked for each distinct
	// filter and event, and does no I/O. Only the arguments tagged gql:"filter" are set;
	// they serve no other purpose. Where all of them are null, every event passes.
	Filter func(A, E) bool

	// Visible reports whether a viewer sees an event; the others do not learn that there
	// was one. It is asked for each distinct viewer and event, and does no I/O. Whom it
	// panics for does not see it.
	Visible func(Viewer, E) bool

	// Window makes the field a list. It gets what Emit.Windowed announces to it: events that
	// were written within that time of each other come in one list, with one post and one
	// execution. Nothing waits for it: what one read of the table's stream brings is joined,
	// and the stream is read four times a second. A list has 1 to 10 events, in their order.
	// All other functions here get its events one by one. It is at most MaxWindow.
	Window time.Duration

	// Newest names what an event is the newest of: a list has only the last event of each
	// name. It does no I/O, and needs a Window. "" keeps an event.
	Newest func(E) string

	// Replay lets clients resume after an event that they have (see ReplayOf). Without
	// it a subscription begins with the next event.
	Replay *Replay[A]
}

// Subscribe adds a field of the subscription type.
func Subscribe[A, E any](a *App, name string, s Subscription[A, E]) {
	after, filters := specialArguments(typeOf[A]())
	if (after != "") != (s.Replay != nil) || (filters != nil) != (s.Filter != nil) {
		a.errs = append(a.errs, fmt.Errorf("subscription %s: Replay needs an argument tagged after,"+
			" Filter one tagged filter, and no others are", name))
	}
	if typeOf[E]().Kind() != reflect.Struct {
		a.errs = append(a.errs, fmt.Errorf("subscription %s: its events are no structs", name))
	}
	if s.Filter != nil || s.Visible != nil {
		a.filters[name] = newFilter(s)
	}
	if s.Window < 0 || s.Window > MaxWindow {
		a.errs = append(a.errs, fmt.Errorf("subscription %s: its Window is %v; 0 to %v are allowed",
			name, s.Window, MaxWindow))
	}
	if s.Newest != nil && s.Window == 0 {
		a.errs = append(a.errs, fmt.Errorf("subscription %s: Newest needs a Window", name))
	}
	if s.Window > 0 {
		a.windows[name] = newWindow(s)
	}
	given := 0
	for _, is := range []bool{s.Topic != nil, s.TopicOf != nil, s.Topics != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		a.errs = append(a.errs, fmt.Errorf("subscription %s: it needs one of Topic, TopicOf and Topics", name))
	}
	if s.Topics != nil && s.Replay != nil {
		a.errs = append(a.errs, fmt.Errorf("subscription %s: Replay needs a single topic, not Topics", name))
	}
	a.subscriptions[name] = func() gql.Subscription {
		sub := s.named(name).within(a).field(after)
		sub.Topics = notOfPresence(sub.Topics)
		sub.Type = a.types.output(typeOf[E]())
		sub.Args = a.types.arguments(typeOf[A]())
		if s.Filter != nil || s.Visible != nil {
			sub.Filter = filterOf(name, filters, s)
		}
		if s.Window > 0 {
			sub = s.list(sub)
		}
		return sub
	}
}

// specialArguments returns the argument that is tagged after, "" if there is none, and
// those that are tagged filter.
func specialArguments(of reflect.Type) (after string, filters []string) {
	for _, m := range members(of) {
		if m.after {
			after = m.name
		}
		if m.filter {
			filters = append(filters, m.name)
		}
	}
	return after, filters
}

// field is s as the executor takes it, without types and filter. after names the argument
// with the event to resume after, if there is one.
func (s Subscription[A, E]) field(after string) gql.Subscription {
	sub := gql.Subscription{
		Description: s.Doc,
		Topics: func(v Viewer, given map[string]any) ([]string, error) {
			return s.topics(v, given, after)
		},
		TopicsOfViewer: s.Topic == nil,
		Root:           decodeEvent[E],
	}
	if s.Begin != nil {
		sub.Begin = func(ctx context.Context, v Viewer, given map[string]any) error {
			args, err := argumentsOf[A](given)
			if err != nil {
				return err
			}
			return s.Begin(ctx, v, args)
		}
	}
	if s.Allow != nil {
		sub.Allow = func(v Viewer, given map[string]any, event any) error {
			args, err := argumentsOf[A](given)
			if err != nil {
				return err
			}
			return s.Allow(v, args, event.(E))
		}
	}
	if s.Ends != nil {
		sub.Ends = func(event any) bool { return s.Ends(event.(E)) }
	}
	if s.Current != nil {
		sub.Current = s.current
	}
	if s.Replay != nil {
		sub.Replay = &gql.Replay{Argument: after, Missed: s.Replay.missed(after, s.topicOf)}
	}
	return sub
}

// topics refuses arguments that make no sense, also that of a replay.
func (s Subscription[A, E]) topics(v Viewer, given map[string]any, after string) ([]Topic, error) {
	args, err := argumentsOf[A](given)
	if err != nil {
		return nil, err
	}
	if _, err := replayFrom(after, given, time.Time{}); err != nil {
		return nil, err
	}
	if s.Topics != nil {
		return s.Topics(v, args)
	}
	topic, err := s.topicOf(v, args)
	return []Topic{topic}, err
}

func (s Subscription[A, E]) topicOf(v Viewer, args A) (Topic, error) {
	if s.TopicOf != nil {
		return s.TopicOf(v, args)
	}
	return s.Topic(args)
}

// notOfPresence refuses topics of presence, which arguments may make by chance.
func notOfPresence(topics func(Viewer, map[string]any) ([]string, error)) func(Viewer, map[string]any) ([]string, error) {
	return func(v Viewer, given map[string]any) ([]string, error) {
		all, err := topics(v, given)
		if err == nil && slices.ContainsFunc(all, pubsub.IsPresence) {
			return nil, Invalid("The subscription's arguments make a topic of presence.")
		}
		return all, err
	}
}

func decodeEvent[E any](root json.RawMessage) (any, error) {
	var event E
	if err := json.Unmarshal(root, &event); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	return event, nil
}

// current is the current state as an event, or nil if there is none.
func (s Subscription[A, E]) current(ctx context.Context, v Viewer, given map[string]any) (*pubsub.Event, error) {
	args, err := argumentsOf[A](given)
	if err != nil {
		return nil, err
	}
	event, err := s.Current(ctx, v, args)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := encode(event)
	return &pubsub.Event{ID: "current", Root: root}, err
}
