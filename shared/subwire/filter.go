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

// judge makes, for each event, a function that reports whether the event passes a stored
// filter with these arguments. What cannot be decoded passes: the execution tells what is
// wrong.
func judge[A, E any](passes func(A, E) bool) func(root json.RawMessage) func(arguments string) bool {
	return func(root json.RawMessage) func(string) bool {
		var event E
		if json.Unmarshal(root, &event) != nil {
			return func(string) bool { return true }
		}
		return func(arguments string) bool {
			var given map[string]any
			if json.Unmarshal([]byte(arguments), &given) != nil {
				return true
			}
			args, err := argumentsOf[A](given)
			return err != nil || passes(args, event)
		}
	}
}

// Passes returns a function that reports whether a stored filter lets the event pass. It
// decodes the event once for all filters. A filter of a field that the product does not
// have lets everything pass, as it may be of another release. So does one that panics: a
// client chooses its arguments, and must not keep the event from the others.
func (a *App) Passes(e pubsub.Event) func(filter string) bool {
	fields := map[string]func(string) bool{}
	return func(filter string) (passes bool) {
		defer func() { passes = recover() != nil || passes }()
		if e.End {
			return true
		}
		name, arguments, _ := strings.Cut(filter, " ")
		if a.filters[name] == nil {
			return true
		}
		if fields[name] == nil {
			fields[name] = a.filters[name](e.Root)
		}
		return fields[name](arguments)
	}
}
