package session

import (
	"encoding/json"
	"fmt"
	"strings"
)

// initFields returns the texts in an init payload and in its member headers, by
// lower-case name: clients put there what would be headers over HTTP.
func initFields(payload json.RawMessage) map[string][]string {
	fields := map[string][]string{}
	for name, value := range object(payload) {
		name = strings.ToLower(name)
		if name == "headers" {
			for header, value := range object(value) {
				add(fields, strings.ToLower(header), value)
			}
		}
		add(fields, name, value)
	}
	return fields
}

// object splits a JSON object into its members; anything else has none.
func object(raw json.RawMessage) (members map[string]json.RawMessage) {
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	return members
}

func add(fields map[string][]string, name string, value json.RawMessage) {
	var text string
	if json.Unmarshal(value, &text) == nil && text != "" {
		fields[name] = append(fields[name], text)
	}
}

// maxKeptBytes bounds one kept value, as JSON: anything longer is not a name or
// version.
const maxKeptBytes = 256

// keep returns the fields to be stored, or nil for none.
func keep(fields map[string][]string, names []string) (json.RawMessage, error) {
	kept := map[string]json.RawMessage{}
	for _, name := range names {
		values := fields[name]
		if len(values) != 1 {
			continue
		}
		value, err := json.Marshal(values[0])
		if err != nil {
			return nil, fmt.Errorf("encode init payload: %w", err)
		}
		if len(value) <= maxKeptBytes+len(`""`) {
			kept[name] = value
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("encode init payload: %w", err)
	}
	return raw, nil
}
