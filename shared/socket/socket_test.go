package socket_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

// client is a gateway with one socket, and what is stored of its connection. It notes
// what is done to either.
type client struct {
	posts   []error // what the gateway says to them; the last one repeats
	deletes error
	steps   []string
}

func (c *client) Post(_ context.Context, _ string, frame []byte) error {
	err := c.posts[0]
	c.posts = c.posts[min(1, len(c.posts)-1):]
	if err == nil {
		c.steps = append(c.steps, string(frame))
	}
	return err
}

func (c *client) Delete(context.Context, string) error {
	if c.deletes == nil {
		c.steps = append(c.steps, "closed")
	}
	return c.deletes
}

func (c *client) DeleteConnection(context.Context, string) error {
	c.steps = append(c.steps, "deleted")
	return nil
}

func TestPost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		posts []error
		want  error
	}{
		"Taken":         {[]error{nil}, nil},
		"BusyFirst":     {[]error{pubsub.ErrBusy, pubsub.ErrBusy, nil}, nil},
		"Busy":          {[]error{pubsub.ErrBusy}, pubsub.ErrBusy},
		"CalledGone":    {[]error{pubsub.ErrGone, nil}, nil},
		"Gone":          {[]error{pubsub.ErrGone, pubsub.ErrGone, nil}, pubsub.ErrGone},
		"GoneAfterBusy": {[]error{pubsub.ErrBusy, pubsub.ErrGone, pubsub.ErrBusy, pubsub.ErrGone}, pubsub.ErrGone},
		"TooLarge":      {[]error{pubsub.ErrTooLarge, nil}, pubsub.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				c := &client{posts: tc.posts}
				if err := socket.Post(ctx, c, "c", time.Second, []byte("frame")); !errors.Is(err, tc.want) {
					t.Errorf("got %v", err)
				}
				if taken := len(c.steps) == 1; taken != (tc.want == nil) {
					t.Errorf("the client got %q", c.steps)
				}
			})
		})
	}
}

// A client is told before its socket is closed, and stored until then.
func TestEnd(t *testing.T) {
	t.Parallel()
	why := transportws.ConnectionExpired()
	told := string(transportws.AppendConnectionError(nil, why))
	for name, tc := range map[string]struct {
		client client
		want   []string
		fails  bool
	}{
		"Told":           {client{posts: []error{nil}}, []string{told, "closed", "deleted"}, false},
		"CannotBeTold":   {client{posts: []error{pubsub.ErrBusy}}, []string{"closed", "deleted"}, false},
		"CannotBeClosed": {client{posts: []error{nil}, deletes: pubsub.ErrBusy}, []string{told}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				c := &tc.client
				if err := socket.End(ctx, c, c, "c", why); (err != nil) != tc.fails {
					t.Errorf("got %v", err)
				}
				if !slices.Equal(c.steps, tc.want) {
					t.Errorf("got %q", c.steps)
				}
			})
		})
	}
}
