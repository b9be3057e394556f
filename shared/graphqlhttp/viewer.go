package graphqlhttp

import (
	"errors"
	"net/http"

	"subwire/shared/pubsub"
)

// Unauthenticated returns the StatusError for an authentication error that is the client's,
// and any other error as it is. The challenge is RFC 6750's: a request without a token
// is told only that it needs one.
func Unauthenticated(err error) error {
	const realm = `Bearer realm="graphql"`
	unauthorized := func(challenge, message string) StatusError {
		return StatusError{Status: http.StatusUnauthorized, Header: map[string]string{"WWW-Authenticate": challenge},
			Code: pubsub.CodeUnauthenticated, Message: message}
	}
	switch {
	case errors.Is(err, pubsub.ErrTokenMissing):
		return unauthorized(realm, "a token is required")
	case errors.Is(err, pubsub.ErrTokenExpired):
		return unauthorized(realm+`, error="invalid_token", error_description="expired"`, "the token has expired")
	case errors.Is(err, pubsub.ErrTokenInvalid):
		return unauthorized(realm+`, error="invalid_token"`, "the token is refused")
	}
	return err
}
