package graphqlhttp

import (
	"errors"
	"net/http"

	"subwire/shared/pubsub"
)

// Unauthenticated returns the Refusal for an authentication error that is the client's,
// and any other error as it is. The challenge is RFC 6750's: a request without a token
// is told only that it needs one.
func Unauthenticated(err error) error {
	const realm = `Bearer realm="graphql"`
	refuse := func(challenge, message string) Refusal {
		return Refusal{Status: http.StatusUnauthorized, Header: map[string]string{"WWW-Authenticate": challenge},
			Code: pubsub.CodeNoViewer, Message: message}
	}
	switch {
	case errors.Is(err, pubsub.ErrTokenMissing):
		return refuse(realm, "a token is required")
	case errors.Is(err, pubsub.ErrTokenExpired):
		return refuse(realm+`, error="invalid_token", error_description="expired"`, "the token has expired")
	case errors.Is(err, pubsub.ErrTokenRefused):
		return refuse(realm+`, error="invalid_token"`, "the token is refused")
	}
	return err
}
