package connection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// Authenticator returns the viewer that the value of an Authorization header names (""
// when the client sent none), and the life of its token. Errors:
// pubsub.ErrTokenMissing, ErrTokenExpired, ErrTokenInvalid; any other means that it
// cannot be decided now. It is asked once, so it retries what is worth retrying.
type Authenticator interface {
	Authenticate(ctx context.Context, authorization string) (v pubsub.Viewer, life pubsub.Life, err error)
}

// AuthTime bounds the decision about a token: one fetch of the issuer's keys. They are
// not fetched again within the life of a message, so trying longer would only let
// anybody who sends a token keep the function busy.
const AuthTime = 4 * time.Second

// authorization is the token of a handshake as the value of an Authorization header, ""
// for none. A browser can send it only as a subprotocol or in the query string.
func (h Handshake) authorization() (string, error) {
	var all []string
	if h.Authorization != "" {
		all = append(all, h.Authorization)
	}
	for _, token := range append(transportws.Tokens(h.Subprotocols), h.QueryTokens...) {
		all = append(all, "Bearer "+token)
	}
	switch len(all) {
	case 0:
		return "", nil
	case 1:
		return all[0], nil
	}
	return "", errors.New("the handshake has more than one token")
}

// admit finds out whose handshake it is, before anything is stored. It returns 200, or
// the status that refuses it, with the reason for the log.
func (c Connector) admit(ctx context.Context, h Handshake) (v pubsub.Viewer, life pubsub.Life, status int, err error) {
	if c.Auth == nil {
		return v, life, http.StatusOK, nil
	}
	authorization, err := h.authorization()
	if err != nil {
		return v, life, http.StatusBadRequest, err
	}
	if authorization == "" && !c.RequireToken {
		return v, life, http.StatusOK, nil
	}
	ctx, cancel := context.WithTimeout(ctx, AuthTime)
	defer cancel()
	v, life, err = c.Auth.Authenticate(ctx, authorization)
	switch {
	case errors.Is(err, pubsub.ErrTokenMissing), errors.Is(err, pubsub.ErrTokenExpired),
		errors.Is(err, pubsub.ErrTokenInvalid):
		return v, life, http.StatusUnauthorized, err
	case err != nil:
		return v, life, http.StatusServiceUnavailable, fmt.Errorf("authenticate: %w", err)
	}
	if c.MaxConnections == 0 { // otherwise screen has drawn it
		c.Allowance.Draw(ctx, allowance.Counted, allowance.Address(h.Address))
	}
	if c.Allowance.Draw(ctx, allowance.Handshake+allowance.Counted, allowance.Viewer(v.ID)) != allowance.Within {
		return v, life, http.StatusTooManyRequests, nil
	}
	return v, life, http.StatusOK, nil
}
