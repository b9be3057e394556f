package pubsub

import (
	"context"
	"errors"
	"fmt"
)

// What a Gateway may say besides ErrGone.
var (
	ErrBusy     = errors.New("connection takes no message now")
	ErrTooLarge = errors.New("message is too large for the connection")

	// ErrTooSoon is an ErrBusy: requests come too fast, for this connection or for all.
	ErrTooSoon = fmt.Errorf("%w: too many requests", ErrBusy)
)

// Gateway reaches the sockets of clients. apigw implements it for API Gateway. It tries
// once: the caller decides what to try again, and when.
type Gateway interface {
	// Post sends one text frame. Errors: ErrGone when the gateway says that the
	// connection does not exist, which it may say of one that does; ErrTooLarge; the
	// error of ctx if that ended first; ErrTooSoon when the post was refused for that;
	// otherwise ErrBusy: the same post may succeed later, or has succeeded unknown to us.
	// An error's method Reason, if it has one, says why, without ids and payload.
	Post(ctx context.Context, connectionID string, frame []byte) error

	// Delete closes the socket. One that is gone is not an error. Errors: ErrBusy, as
	// for Post; the error of ctx if that ended first.
	Delete(ctx context.Context, connectionID string) error
}
