package apigwemu

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

const (
	apiID      = "local00000"
	accountID  = "000000000000"
	timeLayout = "02/Jan/2006:15:04:05 -0700"
)

// newID returns an id like R1kmxc2VNjMCFIA=, the form of connection, message and
// request ids.
func newID() string {
	raw := make([]byte, idBytes)
	rand.Read(raw) // never fails
	return base64.URLEncoding.EncodeToString(raw)
}

// idBytes is how many bytes a connection id encodes.
const idBytes = 11

// wellFormed reports whether id could be a connection's id.
func wellFormed(id string) bool {
	raw, err := base64.URLEncoding.DecodeString(id)
	return err == nil && len(raw) == idBytes
}

type wsRequest = events.APIGatewayWebsocketProxyRequest

// event returns what all events of a socket have in common.
func (s *socket) event(kind, route string, at time.Time) wsRequest {
	requestID := newID()
	return wsRequest{RequestContext: events.APIGatewayWebsocketProxyRequestContext{
		RouteKey:          route,
		EventType:         kind,
		MessageDirection:  "IN",
		Stage:             s.g.cfg.Stage,
		APIID:             apiID,
		DomainName:        s.host,
		ConnectionID:      s.id,
		ConnectedAt:       s.connectedAt.UnixMilli(),
		Identity:          events.APIGatewayRequestIdentity{SourceIP: s.sourceIP, UserAgent: s.userAgent},
		RequestID:         requestID,
		ExtendedRequestID: requestID,
		RequestTime:       at.UTC().Format(timeLayout),
		RequestTimeEpoch:  at.UnixMilli(),
	}}
}

// connectEvent is the only event with the client's headers and query string.
func (s *socket) connectEvent(r *http.Request) wsRequest {
	e := s.event("CONNECT", "$connect", s.connectedAt)
	e.MultiValueHeaders = map[string][]string{}
	sent := s.g.wire(r).spelled()
	for name, values := range forwarded(r) {
		e.MultiValueHeaders[cmp.Or(sent[name], rfc(name))] = values
	}
	e.Headers = lastValues(e.MultiValueHeaders)
	if query := r.URL.Query(); len(query) > 0 {
		e.MultiValueQueryStringParameters = query
		e.QueryStringParameters = lastValues(query)
	}
	return e
}

func (s *socket) messageEvent(body string, at time.Time) wsRequest {
	e := s.event("MESSAGE", "$default", at)
	e.RequestContext.MessageID = newID()
	e.Body = body
	return e
}

func (s *socket) disconnectEvent(end ending, at time.Time) wsRequest {
	e := s.event("DISCONNECT", "$disconnect", at)
	e.MultiValueHeaders = map[string][]string{
		"Host": {s.host}, "x-api-key": {""}, "X-Forwarded-For": {""}, "x-restapi": {""},
	}
	e.Headers = lastValues(e.MultiValueHeaders)
	e.RequestContext.DisconnectStatusCode = int64(end.code)
	e.RequestContext.DisconnectReason = &end.reason
	return e
}

// forwarded returns the headers of r and those that the gateway adds.
func forwarded(r *http.Request) http.Header {
	h := r.Header.Clone()
	h.Set("Host", r.Host)
	h.Set("X-Forwarded-For", sourceIP(r))
	h.Set("X-Forwarded-Port", "443")
	h.Set("X-Forwarded-Proto", "https")
	return h
}

func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // not from a network, as in a test
	}
	return host
}

func lastValues(m map[string][]string) map[string]string {
	last := make(map[string]string, len(m))
	for name, values := range m {
		last[name] = values[len(values)-1]
	}
	return last
}
