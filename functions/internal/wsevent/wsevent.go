// Package wsevent reads what an API Gateway WebSocket API passes to a function.
package wsevent

import (
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/connection"
	"subwire/shared/session"
)

// Event is what API Gateway sends for $connect, $default and $disconnect.
type Event = events.APIGatewayWebsocketProxyRequest

// Response is the answer. Its status matters for $connect only. Other routes always
// answer 200: the gateway turns anything else into a frame that ends every operation
// of the client.
type Response = events.APIGatewayProxyResponse

// Frame returns the client's message of a $default event.
func Frame(e Event) session.Frame {
	id, _ := e.RequestContext.MessageID.(string)
	return session.Frame{
		ID:           id,
		ConnectionID: e.RequestContext.ConnectionID,
		Data:         []byte(e.Body),
		At:           time.UnixMilli(e.RequestContext.RequestTimeEpoch),
		Address:      e.RequestContext.Identity.SourceIP,
	}
}

// Handshake returns the request of a $connect event, the only event with headers.
func Handshake(e Event) connection.Handshake {
	return connection.Handshake{
		ConnectionID: e.RequestContext.ConnectionID,
		At:           time.UnixMilli(e.RequestContext.ConnectedAt),
		Address:      e.RequestContext.Identity.SourceIP,
		Origin:       Header(e, "Origin"),
		Subprotocols: Header(e, "Sec-WebSocket-Protocol"),

		Authorization: Header(e, "Authorization"),
		QueryTokens:   e.MultiValueQueryStringParameters["token"],
	}
}

// Header finds a header by name, in any case. Values sent in several lines are joined
// to one list.
func Header(e Event, name string) string {
	for k, values := range e.MultiValueHeaders {
		if strings.EqualFold(k, name) {
			return strings.Join(values, ",")
		}
	}
	for k, value := range e.Headers {
		if strings.EqualFold(k, name) {
			return value
		}
	}
	return ""
}
