package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"subwire/scripts/internal/console"
	"subwire/shared/dynamo"
	"subwire/shared/node"
	"subwire/shared/sigv4"
	"subwire/shared/topology"
)

// Subscribers counts the subscriptions of the topic: rows of the store and, in place of a
// node's row, what its sockets are subscribed to. A node that is gone has none.
func (c *Cloud) Subscribers(ctx context.Context, topic string) (n int, err error) {
	store := dynamo.New(dynamo.NewClient(c.Backend.AWS()), dynamo.Tables{Subscriptions: c.Tables[topology.Subscriptions.Name]})
	for s, err := range store.Subscriptions(ctx, topic, time.Now()) {
		if err != nil {
			return 0, err
		}
		at, ok := node.Parse(s.ConnectionID)
		if !ok || at.Socket != "" {
			n++
			continue
		}
		held, _, err := c.Ask(ctx, at, topic)
		if err != nil {
			return 0, err
		}
		n += len(held)
	}
	return n, nil
}

// Held is a subscription of a node's socket.
type Held struct{ Topic, Connection, Operation string }

// Ask asks a node what its sockets are subscribed to; with a topic, only under that. It says
// whether the node is there: one that is gone holds nothing.
func (c *Cloud) Ask(ctx context.Context, at node.Address, topic string) (held []Held, alive bool, err error) {
	resp, err := c.askNode(ctx, http.MethodGet, at.HostPort, at.Node(), "?topic="+url.QueryEscape(topic))
	switch {
	case isDead(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("ask node %s: %w", at, err)
	}
	defer resp.Body.Close()
	var answer struct{ Subscriptions []Held }
	switch {
	case resp.StatusCode == http.StatusGone:
		return nil, false, nil
	case resp.StatusCode != http.StatusOK:
		return nil, false, fmt.Errorf("ask node %s: %s", at, resp.Status)
	}
	switch err := json.NewDecoder(resp.Body).Decode(&answer); {
	case isDead(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("ask node %s: its answer cannot be read: %w", at, err)
	}
	return answer.Subscriptions, true, nil
}

// isDead reports whether nobody is at a node's address, or nobody any more. All else, such as
// a node that takes too long, tells nothing of it.
func isDead(err error) bool {
	for _, end := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// askNode makes a signed request without a body, about an id, to a process.
func (c *Cloud) askNode(ctx context.Context, method, hostPort, id, query string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+hostPort+node.ManagementPath+url.PathEscape(id)+query, nil)
	if err != nil {
		return nil, err
	}
	key := aws.Credentials{AccessKeyID: node.AccessKey, SecretAccessKey: c.cfg.Settings[topology.HostKey.Env]}
	if err := v4.NewSigner().SignHTTP(ctx, key, r, sigv4.Hash(nil), "execute-api", node.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign question to node: %w", err)
	}
	return askNodes.Do(r)
}

// ofHosts are the sockets of hosts, newest first. What their clients say passes no part of
// the cloud that could tell the console, so they are read from the store.
func (c *Cloud) ofHosts(ctx context.Context) (all []console.Connection, err error) {
	if c.Hosts == nil {
		return nil, nil
	}
	store := dynamo.New(dynamo.NewClient(c.Backend.AWS()), dynamo.Tables{Connections: c.Tables[topology.Connections.Name]})
	for stored, err := range store.Connections(ctx) {
		if err != nil {
			return nil, err
		}
		if _, held := node.Parse(stored.ID); held {
			all = append(all, console.Connection{ID: stored.ID, Viewer: stored.Viewer.ID, Since: stored.ConnectedAt,
				Operations: len(stored.Operations)})
		}
	}
	slices.SortFunc(all, func(a, b console.Connection) int { return b.Since.Compare(a.Since) })
	return all, nil
}

func (d *deck) heldConnection(id string) (console.Connection, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.held, func(c console.Connection) bool { return c.ID == id })
	if i < 0 {
		return console.Connection{}, false
	}
	return d.held[i], true
}

// closeHeld has a host close a socket, so that its client connects again.
func (c *Cloud) closeHeld(ctx context.Context, at node.Address) error {
	resp, err := c.askNode(ctx, http.MethodDelete, at.HostPort, at.String(), "")
	switch {
	case isDead(err):
		return console.NotFound("the host of this connection is gone")
	case err != nil:
		return fmt.Errorf("close %s: %w", at, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("close %s: %s", at, resp.Status)
	}
	return nil
}

var askNodes = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
