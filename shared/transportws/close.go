package transportws

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Close codes of the protocol, named as in the graphql-ws library.
const (
	CodeBadRequest                      = 4400
	CodeUnauthorized                    = 4401
	CodeForbidden                       = 4403
	CodeConnectionInitialisationTimeout = 4408
	CodeSubscriberAlreadyExists         = 4409
	CodeTooManyInitialisationRequests   = 4429
	CodeInternalServerError             = 4500
)

// maxReasonBytes is the room for the reason in a close frame (RFC 6455 section 5.5: 125
// bytes less two for the code).
const maxReasonBytes = 123

// CloseError says that the connection must end, and why. It ends at once:
// later messages of the socket need no answer.
type CloseError struct {
	Code   int
	Reason string // for the client: at most 123 bytes of UTF-8
}

func (c CloseError) Error() string {
	return "close " + strconv.Itoa(c.Code) + ": " + c.Reason
}

// BadRequest is for a malformed message. A reason that is too long is cut.
func BadRequest(reason string) CloseError {
	return CloseError{CodeBadRequest, truncate(reason, maxReasonBytes)}
}

// Unauthorized is for a subscribe before the acknowledgement.
func Unauthorized() CloseError { return CloseError{CodeUnauthorized, "Unauthorized"} }

// TokenExpired is for a connection_init with a token that was good once: the
// client may try again with a new one.
func TokenExpired() CloseError { return CloseError{CodeUnauthorized, "Token expired"} }

// ConnectionRevoked is for a connection that its operator ends.
func ConnectionRevoked() CloseError { return CloseError{CodeUnauthorized, "Connection revoked"} }

// TokenRevoked is for a connection_init with a token that was issued before its viewer was
// revoked: the client needs another, which only a new sign-in may give.
func TokenRevoked() CloseError { return CloseError{CodeForbidden, "Token revoked"} }

// Forbidden is for a connection_init that is refused for good.
func Forbidden(reason string) CloseError {
	return CloseError{CodeForbidden, truncate(reason, maxReasonBytes)}
}

// TooManyConnections is for a connection_init of a viewer that may have no more
// connections.
func TooManyConnections() CloseError { return CloseError{CodeForbidden, "Too many connections"} }

// ConnectionExpired is for a connection whose time is up, or that is no longer known.
func ConnectionExpired() CloseError { return CloseError{CodeUnauthorized, "Connection expired"} }

// ConnectionInitialisationTimeout is for a connection_init that came late or never.
func ConnectionInitialisationTimeout() CloseError {
	return CloseError{CodeConnectionInitialisationTimeout, "Connection initialisation timeout"}
}

// SubscriberAlreadyExists is for a subscribe with an operation id in use. A
// long id is cut in the reason.
func SubscriberAlreadyExists(id string) CloseError {
	const before, after = "Subscriber for ", " already exists"
	id = truncate(id, maxReasonBytes-len(before)-len(after))
	return CloseError{CodeSubscriberAlreadyExists, before + id + after}
}

// TooManyInitialisationRequests is for a second connection_init.
func TooManyInitialisationRequests() CloseError {
	return CloseError{CodeTooManyInitialisationRequests, "Too many initialisation requests"}
}

// TooManyMessages is for a client that sends faster than the server accepts. The
// protocol has no code for it.
func TooManyMessages() CloseError {
	return CloseError{CodeTooManyInitialisationRequests, "Too many messages"}
}

// AllowanceSpent is for a client that goes on after its operations were refused because
// of their cost. Others may share its address, so it may connect again after a minute.
func AllowanceSpent() CloseError {
	return CloseError{CodeTooManyInitialisationRequests, "Allowance spent"}
}

// InternalServerError is for a fault of the server. It says no more than that.
func InternalServerError() CloseError {
	return CloseError{CodeInternalServerError, "Internal server error"}
}

// ServiceRestart is for sockets of a process that ends: the client has done nothing wrong, and
// connects again at once ("WebSocket Close Code Number Registry"). It is a code of a close
// frame alone, and never in a connection_error.
func ServiceRestart() CloseError { return CloseError{1012, "Service restart"} }

// truncate cuts s to at most max bytes, between two characters.
func truncate(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}

// Retry reports whether the client should connect again after a pause: the reason lies
// outside of it and may have passed by then. This is the only place that decides it;
// the protocol says nothing about it.
//
// A late connection_init counts, since a slow network is not the client's fault. So do
// too many connections: those that a lost network left behind are counted until the
// server hears that they ended.
func (c CloseError) Retry() bool {
	switch c {
	case TokenExpired(), ConnectionExpired(), TooManyConnections(), AllowanceSpent():
		return true
	}
	switch c.Code {
	case CodeConnectionInitialisationTimeout, CodeInternalServerError:
		return true
	default: // a breach or a refusal that the next connection would only repeat
		return false
	}
}

// AppendConnectionError appends the frame that stands in for a close code. It is sent
// right before the socket is closed:
//
//	{"type":"connection_error: 4401 Unauthorized","payload":{"code":4401,"message":"Unauthorized","retry":false}}
//
// API Gateway cannot close with a code. Every socket that it closes for its back end
// ends with 1000, and on 1000 the graphql-ws client reconnects at once and for ever.
// The type is not one of the protocol's: on an unknown type that client stops and shows
// its application an error. So do the mobile clients that look at it. The error of the
// graphql-ws client tells only the type, so the reason is in the type too. Clients that
// read the payload need no list of reasons: it says whether to try again.
func AppendConnectionError(dst []byte, c CloseError) []byte {
	dst = append(dst, `{"type":`...)
	dst = appendString(dst, "connection_error: "+strconv.Itoa(c.Code)+" "+c.Reason)
	dst = append(dst, `,"payload":{"code":`...)
	dst = strconv.AppendInt(dst, int64(c.Code), 10)
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, c.Reason)
	dst = append(dst, `,"retry":`...)
	dst = strconv.AppendBool(dst, c.Retry())
	return append(dst, "}}"...)
}

// connectionErrorStart begins each frame that AppendConnectionError writes, and no other.
var connectionErrorStart = []byte(`{"type":"connection_error`)

// ConnectionError reads what AppendConnectionError wrote, for hosts that can close with a
// code. ok is false for any other frame. What is no code of an application (RFC 6455
// section 7.4.2) becomes that of an internal error.
func ConnectionError(frame []byte) (c CloseError, ok bool) {
	if !bytes.HasPrefix(frame, connectionErrorStart) {
		return CloseError{}, false
	}
	var said struct {
		Payload struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"payload"`
	}
	if json.Unmarshal(frame, &said) != nil || said.Payload.Code < 3000 || said.Payload.Code > 4999 {
		return InternalServerError(), true
	}
	return CloseError{said.Payload.Code, truncate(said.Payload.Message, maxReasonBytes)}, true
}
