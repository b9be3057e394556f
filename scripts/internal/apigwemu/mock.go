package apigwemu

import (
	"encoding/json"
	"net/http"
	"time"

	"subwire/scripts/internal/tokens"
	"subwire/shared/topology"
)

// mocks are the routes that the gateway handles itself, by route key.
type mocks map[string]mock

type mock struct {
	topology.Mock
	throttle *tokens.Bucket
}

func newMocks(routes map[string]topology.Mock) mocks {
	m := mocks{}
	for key, route := range routes {
		m[key] = mock{route, tokens.New(float64(route.Rate), float64(route.Burst))}
	}
	return m
}

// of returns the route that a message takes, and whether it is one of these. What is no
// JSON object, or has no type that is text, goes to $default. That names are compared
// exactly, and that the last of two types counts, are guesses.
func (m mocks) of(body []byte) (mock, bool) {
	if len(m) == 0 {
		return mock{}, false
	}
	var members map[string]json.RawMessage
	var key string
	if json.Unmarshal(body, &members) != nil || json.Unmarshal(members["type"], &key) != nil {
		return mock{}, false
	}
	found, ok := m[key]
	return found, ok
}

// answer sends what the route's response is, if it has one ("Set up route responses for
// WebSocket APIs in API Gateway"). It is a message like any other, and is paid like one.
func (s *socket) answer(m mock, body string, at time.Time) {
	if m.Answer != "" {
		status := http.StatusOK
		if s.send([]byte(m.Answer)) != nil { // a client that is gone or does not read misses it
			status = http.StatusGone
		}
		s.g.cfg.Usage.Posted(s.id, []byte(m.Answer), "", time.Now(), status)
	}
	s.g.cfg.Usage.Handled(s.id, body, at, time.Since(at), true)
}
