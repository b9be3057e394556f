package graphqlhttp

import (
	"errors"
	"net/http"

	"subwire/shared/pubsub"
)

// Unauthenticated returns the Refusal for an error of authentication that is
// the client's, and any other error as it is. The challenge is RFC 6750's: a
// request without a token is told no more than that it needs one.
func Unauthenticated(err error) error {
	const realm = `Bearer realm="graphql"`
	r := Refusal{Status: http.StatusUnauthorized, Code: pubsub.CodeNoViewer}
	switch {
	case errors.Is(err, pubsub.ErrTokenMissing):
		r.Challenge, r.Message = realm, "a token is required"
	case errors.Is(err, pubsub.ErrTokenExpired):
		r.Challenge, r.Message = realm+`, error="invalid_token", error_description="expired"`, "the token has expired"
	case errors.Is(err, pubsub.ErrTokenRefused):
		r.Challenge, r.Message = realm+`, error="invalid_token"`, "the token is refused"
	default:
		return err
	}
	return r
}
