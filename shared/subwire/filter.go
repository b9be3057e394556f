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

// filterOf connects the filter of a subscription with the executor.
func filterOf[A, E any](name string, arguments []string, passes func(A, E) bool) *gql.Filter {
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
			if len(chosen) == 0 {
				return "", nil
			}
			text, err := json.Marshal(chosen)
			if err != nil {
				return "", fmt.Errorf("encode filter: %w", err)
			}
			return name + " " + string(text), nil
		},
		Passes: func(given map[string]any, event any) bool {
			chosen := only(given)
			if len(chosen) == 0 {
				return true
			}
			args, err := argumentsOf[A](chosen)
			return err != nil || passes(args, event.(E))
		},
	}
}

// filter is the Filter of a subscription, without its types.
type filter struct {
	event     func(root json.RawMessage) (any, error)
	arguments func(text string) (any, error)
	passes    func(arguments, event any) bool
}

func newFilter[A, E any](passes func(A, E) bool) filter {
	return filter{
		event: func(root json.RawMessage) (any, error) {
			var event E
			err := json.Unmarshal(root, &event)
			return event, err
		},
		arguments: func(text string) (any, error) {
			var given map[string]any
			if err := json.Unmarshal([]byte(text), &given); err != nil {
				return nil, err
			}
			return argumentsOf[A](given)
		},
		passes: func(arguments, event any) bool { return passes(arguments.(A), event.(E)) },
	}
}

// keptFilters is how many filters are kept decoded for the next event: as many as a large
// topic has, with a few hundred bytes each.
const keptFilters = 100_000

// Passes returns a function that reports whether a stored filter lets the event pass. It
// decodes the event once for all filters. What cannot be decoded passes, as the execution
// tells what is wrong; so does a filter of a field that the product does not have, as it
// may be of another release; and so does one that panics: a client chooses its arguments,
// and must not keep the event from the others.
func (a *App) Passes(e pubsub.Event) func(stored string) bool {
	events := map[string]any{} // by the field's name
	return func(stored string) (passes bool) {
		defer func() { passes = recover() != nil || passes }()
		name, text, _ := strings.Cut(stored, " ")
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
		return event == nil || arguments == nil || f.passes(arguments, event)
	}
}

// orNil is nil for what could not be decoded.
func orNil(v any, err error) any {
	if err != nil {
		return nil
	}
	return v
}
