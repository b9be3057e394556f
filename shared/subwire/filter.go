package subwire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
)

// A filter is stored with its subscription, as the name of the field and the JSON of
// those arguments that are not null, or have a default. Without any there is no filter:
//
//	ordersOfShop {"minTotal":20,"statuses":["PLACED"]}
//
// One of a subscription with Visible begins with *, and is there without arguments, too.

// filterOf connects the filter of a subscription with the executor.
func filterOf[A, E any](name string, arguments []string, s Subscription[A, E]) *gql.Filter {
	if s.Visible != nil {
		name = "*" + name
	}
	of := members(typeOf[A]())
	only := func(given map[string]any) map[string]any {
		chosen := map[string]any{}
		for _, m := range of {
			if v := m.valueIn(given); v != nil && slices.Contains(arguments, m.name) {
				chosen[m.name] = v
			}
		}
		return chosen
	}
	return &gql.Filter{
		Arguments: arguments,
		Of: func(given map[string]any) (string, error) {
			chosen := only(given)
			if len(chosen) == 0 && s.Visible == nil {
				return "", nil
			}
			text, err := json.Marshal(chosen)
			if err != nil {
				return "", fmt.Errorf("encode filter: %w", err)
			}
			return name + " " + string(text), nil
		},
		Passes: func(v Viewer, given map[string]any, event any) bool {
			chosen := only(given)
			args, err := argumentsOf[A](chosen)
			return s.passes(v, args, err == nil && len(chosen) > 0, event.(E))
		},
	}
}

// filter is the Filter of a subscription, without its types.
type filter struct {
	event     func(root json.RawMessage) (any, error)
	arguments func(text string) (any, error)
	passes    func(v Viewer, arguments, event any) bool
	sees      func(v Viewer, event any) bool // what is left to ask if there are no arguments
}

// choice is the arguments of a filter, and whether there are any.
type choice[A any] struct {
	arguments A
	any       bool
}

// passes asks Visible, and Filter if the client chose anything.
func (s Subscription[A, E]) passes(v Viewer, arguments A, chose bool, event E) bool {
	return s.sees(v, event) && (s.Filter == nil || !chose || s.Filter(arguments, event))
}

// sees asks Visible. If that panics, the viewer does not see the event: nobody has said that
// it may.
func (s Subscription[A, E]) sees(v Viewer, event E) (sees bool) {
	defer func() {
		if recover() != nil {
			sees = false
		}
	}()
	return s.Visible == nil || s.Visible(v, event)
}

func newFilter[A, E any](s Subscription[A, E]) filter {
	f := filter{
		event: decodeEvent[E],
		arguments: func(text string) (any, error) {
			var given map[string]any
			if err := json.Unmarshal([]byte(text), &given); err != nil {
				return nil, err
			}
			arguments, err := argumentsOf[A](given)
			return choice[A]{arguments, len(given) > 0}, err
		},
		passes: func(v Viewer, arguments, event any) bool {
			c := arguments.(choice[A])
			return s.passes(v, c.arguments, c.any, event.(E))
		},
		sees: func(v Viewer, event any) bool { return s.sees(v, event.(E)) },
	}
	if s.Window > 0 {
		return f.ofList(decodeList[E])
	}
	return f
}

// keptFilters is how many filters are kept decoded for the next event: as many as a large
// topic has, with a few hundred bytes each.
const keptFilters = 100_000

// Passes returns a function that reports whether a stored filter lets the event pass. It
// decodes the event once for all filters. An event that cannot be decoded passes, as the
// execution tells what is wrong; so does a filter of a field that the product does not have,
// as it may be of another release. Arguments that cannot be decoded, or that make Filter panic,
// choose nothing: a client chooses them, and must not keep the event from the others. Visible
// is asked whatever they are.
func (a *App) Passes(e pubsub.Event) func(stored string, v Viewer) bool {
	events := map[string]any{} // by the field's name
	return func(stored string, v Viewer) (passes bool) {
		defer func() { passes = recover() != nil || passes }()
		name, text, _ := strings.Cut(strings.TrimPrefix(stored, "*"), " ")
		f, known := a.filters[name]
		if e.End || !known {
			return true
		}
		event, decoded := events[name]
		if !decoded {
			event = orNil(f.event(e.Root))
			events[name] = event
		}
		arguments, decoded := a.decoded.Get(stored)
		if !decoded {
			arguments = orNil(f.arguments(text))
			a.decoded.Add(stored, arguments)
		}
		switch {
		case event == nil:
			return true
		case arguments == nil: // an earlier release may have taken what this one does not
			return f.sees(v, event)
		}
		return f.passes(v, arguments, event)
	}
}

// orNil is nil for what could not be decoded.
func orNil(v any, err error) any {
	if err != nil {
		return nil
	}
	return v
}
