package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// checkFrame fails the test unless the frame is a message that a server may send. It
// is as strict as the strictest clients.
func checkFrame(t *testing.T, frame string) {
	t.Helper()
	var m struct {
		ID, Type string
		Payload  json.RawMessage
	}
	if err := json.Unmarshal([]byte(frame), &m); err != nil {
		t.Errorf("frame %q: %v", frame, err)
	}
	var err error
	switch m.Type {
	case "connection_ack", "ping", "pong", "complete":
	case "next":
		err = checkResult(m.Payload)
	case "error":
		err = checkErrors(m.Payload)
	default:
		if !strings.HasPrefix(m.Type, "connection_error: ") {
			err = fmt.Errorf("unknown type %q", m.Type)
		}
	}
	if operation := m.Type == "next" || m.Type == "error" || m.Type == "complete"; operation != (m.ID != "") {
		err = fmt.Errorf("id %q of a %s", m.ID, m.Type)
	}
	if err != nil {
		t.Errorf("frame %s: %v", frame, err)
	}
}

// checkResult checks an execution result, or the answer to an HTTP request that has
// no data because it was not executed.
func checkResult(raw json.RawMessage) error {
	var result map[string]json.RawMessage
	if err := json.Unmarshal(raw, &result); err != nil || result == nil {
		return fmt.Errorf("the result is no object: %s", raw)
	}
	list, failed := result["errors"]
	if _, hasData := result["data"]; !hasData && !failed {
		return fmt.Errorf("neither data nor errors in %s", raw)
	}
	if failed {
		return checkErrors(list)
	}
	return nil
}

// checkErrors checks a list of GraphQL errors: it is not empty, each has a message
// and a code, every other member is absent or well-formed, and none is null.
func checkErrors(raw json.RawMessage) error {
	var list []map[string]any
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return fmt.Errorf("no list of errors: %s", raw)
	}
	for _, e := range list {
		extensions, _ := e["extensions"].(map[string]any)
		if code, _ := extensions["code"].(string); code == "" {
			return fmt.Errorf("no code in %v", e)
		}
		if message, _ := e["message"].(string); message == "" {
			return fmt.Errorf("no message in %v", e)
		}
		for name, member := range e {
			if !wellFormed(name, member) {
				return fmt.Errorf("%s is %v", name, member)
			}
		}
	}
	return nil
}

func wellFormed(name string, member any) bool {
	list, _ := member.([]any)
	switch name {
	case "message", "extensions":
		return true // checked above
	case "locations":
		for _, item := range list {
			place, _ := item.(map[string]any)
			line, _ := place["line"].(float64)
			column, _ := place["column"].(float64)
			if line < 1 || column < 1 {
				return false
			}
		}
	case "path":
		for _, item := range list {
			_, field := item.(string)
			if _, index := item.(float64); !field && !index {
				return false
			}
		}
	}
	return len(list) > 0
}
