package subwire

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
)

// MaxWindow is the longest Window: an event that ends a second later would still be replayed
// to whoever resumes (pubsub.SettleTime).
const MaxWindow = time.Second

// Windowed announces events to the subscription with that name, which has a Window. Those that
// are emitted to the same topics without Windowed do not come there:
//
//	emit(o, orderTopic(o.ID), shopTopic(o.ShopID))
//	emit.Windowed("orderBoard")(o, shopTopic(o.ShopID))
//
// Each costs what an event costs, whether or not anybody listens.
func (e Emit) Windowed(subscription string) Emit {
	return func(event any, topics ...Topic) { e(inWindow{subscription, event}, topics...) }
}

// inWindow is what Emit.Windowed emits.
type inWindow struct {
	field string
	event any
}

// windowOf splits what was emitted into the field of Emit.Windowed, "" for none, and the event.
func windowOf(emitted any) (field string, event any) {
	if in, is := emitted.(inWindow); is {
		return in.field, in.event
	}
	return "", emitted
}

// windowPrefix begins the topics of subscriptions with a Window. No others begin so: those
// that do by chance are refused to subscribers, and nothing is announced to them.
const windowPrefix = "windowed/"

func windowed(field string, topic Topic) Topic { return windowPrefix + field + "/" + topic }

func isWindowed(topic Topic) bool { return strings.HasPrefix(topic, windowPrefix) }

// window is the Window of a subscription, without its types.
type window struct {
	length time.Duration
	key    func(root json.RawMessage) string
	closes func(root json.RawMessage) bool // whether nothing may follow the event in its list
}

func newWindow[A, E any](s Subscription[A, E]) window {
	return window{
		length: s.Window,
		key: func(root json.RawMessage) string {
			event, err := decodeEvent[E](root)
			if err != nil || s.Newest == nil {
				return ""
			}
			return s.Newest(event.(E))
		},
		closes: func(root json.RawMessage) bool {
			event, err := decodeEvent[E](root)
			return err != nil || s.Ends != nil && s.Ends(event.(E))
		},
	}
}

// listed is the event as the field gets it, in a list of its own. The last event of a
// subscription shares none, and neither does one that the execution will find wrong.
func (a *App) listed(field string, e emitted) (emitted, error) {
	w, known := a.windows[field]
	if !known {
		return e, fmt.Errorf("an event is emitted to Windowed(%q), which is no subscription with a Window", field)
	}
	if e.listed = true; e.end {
		return e, nil
	}
	if !w.closes(e.root) {
		e.window, e.key = w.length, w.key(e.root)
	}
	e.root = listOf(e.root)
	return e, nil
}

// listOf is the JSON of a list with one item.
func listOf(item json.RawMessage) json.RawMessage {
	return slices.Concat(json.RawMessage("["), item, json.RawMessage("]"))
}

// named is s with the topics of its Window, if it has one. Whatever begins like such a topic
// is refused.
func (s Subscription[A, E]) named(field string) Subscription[A, E] {
	inner := s
	name := func(topic Topic, err error) (Topic, error) {
		switch {
		case err != nil:
			return "", err
		case isWindowed(topic):
			return "", Invalid("The subscription's arguments make a topic with a window.")
		case s.Window > 0:
			return windowed(field, topic), nil
		}
		return topic, nil
	}
	if inner.Topic != nil {
		s.Topic = func(args A) (Topic, error) { return name(inner.Topic(args)) }
	}
	if inner.TopicOf != nil {
		s.TopicOf = func(v Viewer, args A) (Topic, error) { return name(inner.TopicOf(v, args)) }
	}
	if inner.Topics != nil {
		s.Topics = func(v Viewer, args A) ([]Topic, error) {
			all, err := inner.Topics(v, args)
			of := make([]Topic, len(all))
			for i := range all {
				if of[i], err = name(all[i], err); err != nil {
					return nil, err
				}
			}
			return of, err
		}
	}
	return s
}

// list is sub, a field with single events, as one with lists of them. What asks about an
// event is asked about each that the operation gets.
//
// A filter chooses within the list, so its arguments stay part of the operation: those who
// filter alike share an execution.
func (s Subscription[A, E]) list(sub gql.Subscription) gql.Subscription {
	one := sub
	sub.Type = eventList(one.Type)
	sub.Root = decodeList[E]
	passing := func(_ Viewer, _ map[string]any, list any) []any { return list.([]any) }
	if filter := one.Filter; filter != nil {
		passing = func(v Viewer, given map[string]any, list any) (left []any) {
			for _, event := range list.([]any) {
				if filter.Passes(v, given, event) {
					left = append(left, event)
				}
			}
			return left
		}
		sub.Filter = &gql.Filter{Of: filter.Of, Passes: func(v Viewer, given map[string]any, list any) bool {
			return len(passing(v, given, list)) > 0
		}}
		sub.Choose = func(ctx context.Context, given map[string]any, list any) any {
			var v Viewer
			if s.Visible != nil { // or the result would not be shared
				v = pubsub.ViewerOf(ctx)
			}
			return passing(v, given, list)
		}
	}
	if one.Allow != nil {
		sub.Allow = func(v Viewer, given map[string]any, list any) error {
			for _, event := range passing(v, given, list) {
				if err := one.Allow(v, given, event); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if one.Ends != nil {
		sub.Ends = func(list any) bool { return slices.ContainsFunc(list.([]any), one.Ends) }
	}
	if one.Current != nil {
		sub.Current = func(ctx context.Context, v Viewer, given map[string]any) (*pubsub.Event, error) {
			event, err := one.Current(ctx, v, given)
			if event != nil && err == nil {
				event.Root = listOf(event.Root)
			}
			return event, err
		}
	}
	if one.Replay != nil {
		sub.Replay = &gql.Replay{Argument: one.Replay.Argument, Missed: lists(one.Replay.Missed)}
	}
	return sub
}

// lists is missed with each event in a list of its own.
func lists(missed missedFunc) missedFunc {
	return func(ctx context.Context, given map[string]any, since time.Time, read string, max int) (
		[]pubsub.Event, bool, error) {
		all, more, err := missed(ctx, given, since, read, max)
		for i := range all {
			all[i].Root = listOf(all[i].Root)
		}
		return all, more, err
	}
}

// decodeList decodes the root value of a subscription with a Window.
func decodeList[E any](root json.RawMessage) (any, error) {
	var all []E
	if err := json.Unmarshal(root, &all); err != nil {
		return nil, fmt.Errorf("decode events: %w", err)
	}
	list := make([]any, len(all))
	for i := range all {
		list[i] = all[i]
	}
	return list, nil
}

// ofList is f for a list: it passes if one of its events does, and the execution leaves out
// the others.
func (f filter) ofList(decode func(json.RawMessage) (any, error)) filter {
	one := f
	f.event = decode
	f.passes = func(v Viewer, arguments, list any) bool {
		return slices.ContainsFunc(list.([]any), func(event any) bool { return one.passes(v, arguments, event) })
	}
	f.sees = func(v Viewer, list any) bool {
		return slices.ContainsFunc(list.([]any), func(event any) bool { return one.sees(v, event) })
	}
	return f
}
