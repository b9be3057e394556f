package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"subwire/shared/node"
	"subwire/shared/pubsub"
)

// answers is a gateway that always says the same, and counts how often it was asked.
type answers struct {
	err   error
	asked int
}

func (a *answers) Post(context.Context, string, []byte) error { a.asked++; return a.err }
func (a *answers) Delete(context.Context, string) error       { a.asked++; return a.err }

// lease is what the store says of the node.
type lease struct {
	err    error
	looked string // id
}

func (l *lease) Connection(_ context.Context, id string) (pubsub.Connection, error) {
	l.looked = id
	return pubsub.Connection{}, l.err
}

func TestWhatBecomesOfANodesAnswer(t *testing.T) {
	t.Parallel()
	other := errors.New("refused")
	for name, tc := range map[string]struct {
		says, lease, post, delete error
		looks                     bool
	}{
		"Success":            {looks: false},
		"Gone":               {says: pubsub.ErrGone, post: pubsub.ErrGone},
		"TooLarge":           {says: pubsub.ErrTooLarge, post: pubsub.ErrTooLarge, delete: pubsub.ErrTooLarge},
		"BusyAlive":          {says: pubsub.ErrBusy, post: pubsub.ErrBusy, delete: pubsub.ErrBusy, looks: true},
		"BusyDead":           {says: pubsub.ErrBusy, lease: pubsub.ErrGone, post: pubsub.ErrGone, looks: true},
		"BusyUnknown":        {says: pubsub.ErrBusy, lease: other, post: pubsub.ErrBusy, delete: pubsub.ErrBusy, looks: true},
		"AnythingElseAlive":  {says: other, post: other, delete: other, looks: true},
		"AnythingElseDead":   {says: other, lease: fmt.Errorf("x: %w", pubsub.ErrGone), post: pubsub.ErrGone, looks: true},
		"OutOfTimeAlive":     {says: context.DeadlineExceeded, post: context.DeadlineExceeded, delete: context.DeadlineExceeded, looks: true},
		"OutOfTimeForBoth":   {says: context.Canceled, lease: context.Canceled, post: context.Canceled, delete: context.Canceled, looks: true},
		"OutOfTimeOfTheDead": {says: context.DeadlineExceeded, lease: pubsub.ErrGone, post: pubsub.ErrGone, looks: true},
	} {
		for _, id := range []string{"node~h:1~boot", "node~h:1~boot~s"} {
			l, api := &lease{err: tc.lease}, &answers{err: errors.New("of the API")}
			r := node.Route{API: api, Hosts: &answers{err: fmt.Errorf("at %s: %w", id, tc.says)}, Leases: l}
			if tc.says == nil {
				r.Hosts = &answers{}
			}
			post, deleted := r.Post(t.Context(), id, nil), r.Delete(t.Context(), id)
			if !errors.Is(post, tc.post) || tc.post == nil && post != nil || !errors.Is(deleted, tc.delete) || tc.delete == nil && deleted != nil {
				t.Errorf("%s: post to %s: %v, delete: %v", name, id, post, deleted)
			}
			if want := map[bool]string{true: "node~h:1~boot"}[tc.looks]; l.looked != want || api.asked != 0 {
				t.Errorf("%s: looked at the lease of %q, and asked the API %d times", name, l.looked, api.asked)
			}
		}
	}
}

func TestOtherConnectionsAreTheAPIs(t *testing.T) {
	t.Parallel()
	for _, says := range []error{nil, pubsub.ErrGone, pubsub.ErrBusy} {
		l, hosts := &lease{err: pubsub.ErrGone}, &answers{}
		r := node.Route{API: &answers{err: says}, Hosts: hosts, Leases: l}
		const id = "L0SM9cOFvHcCIhw="
		if post, deleted := r.Post(t.Context(), id, nil), r.Delete(t.Context(), id); post != says || deleted != says {
			t.Errorf("%v became %v, %v", says, post, deleted)
		}
		if hosts.asked+len(l.looked) > 0 {
			t.Error("a host was asked")
		}
	}
}
