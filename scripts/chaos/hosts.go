package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"subwire/scripts/internal/cloud"
	"subwire/shared/node"
)

// nodes is what is stored about nodes, and what they say. A node is one life of a host's
// process.
type nodes struct {
	rows   []row    // of nodes, by topic
	leases []string // ids of nodes
	alive  map[string]bool
}

// ask asks every node of which something is stored what its sockets subscribe to.
func (h *Harness) ask(ctx context.Context, s *snapshot) error {
	s.nodes.alive = map[string]bool{}
	ids := slices.Clone(s.nodes.leases)
	for _, r := range s.nodes.rows {
		ids = append(ids, r.connection)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		at, _ := node.Parse(id)
		held, alive, err := h.cloud.Ask(ctx, at, "")
		if err != nil {
			return err
		}
		s.nodes.alive[id] = alive
		for _, one := range held {
			if s.nodes.hasRow(one.Topic, id) { // otherwise no event comes
				s.rows = append(s.rows, row{one.Topic, one.Connection, one.Operation, true})
			}
		}
	}
	return nil
}

func (n nodes) hasRow(topic, id string) bool {
	return slices.Contains(n.rows, row{topic: topic, connection: id})
}

// lost reports whether the connection is a socket of a node that is gone.
func (n nodes) lost(connectionID string) bool {
	at, ok := node.Parse(connectionID)
	return ok && !n.alive[at.Node()]
}

// left is what nodes that are gone have left: rows under topics that have events, and
// leases, unless rows are left that nobody looks at.
func (n nodes) left() (problems []string) {
	for _, r := range n.rows {
		if !n.alive[r.connection] {
			problems = append(problems, fmt.Sprintf("%s is gone and still listens to %s", r.connection, r.topic))
		}
	}
	for _, id := range n.leases {
		if !n.alive[id] {
			problems = append(problems, fmt.Sprintf("%s is gone and has a lease", id))
		}
	}
	return problems
}

// forget leaves out the rows of nodes that are gone under a topic without events, and
// their leases: the TTL removes both.
func (n *nodes) forget(topic string) {
	n.rows = slices.DeleteFunc(n.rows, func(r row) bool {
		gone := r.topic == topic && !n.alive[r.connection]
		if gone {
			n.leases = slices.DeleteFunc(n.leases, func(id string) bool { return id == r.connection })
		}
		return gone
	})
}

// Host does something to the i-th process of the hosts that ends the connections there,
// and waits until those that stay are subscribed, wherever they are then.
func (h *Harness) Host(ctx context.Context, i int, do func(ctx context.Context, one *cloud.Host) error) error {
	one, err := h.cloud.Hosts.Node(i)
	if err != nil {
		return err
	}
	h.cuts.Add(int64(len(h.clients))) // at most
	h.sent.Add(int64(len(h.clients)))
	if err := do(ctx, one); err != nil {
		return err
	}
	h.moved()
	return h.AwaitSubscriptions(ctx, staying(h.clients))
}

// DeclareDead deletes the leases of all nodes, as who cannot reach a node does when its
// lease is over. A node finds that out by itself, and closes its sockets.
func (h *Harness) DeclareDead(ctx context.Context) error {
	s, err := h.snapshot(ctx)
	if err != nil {
		return err
	}
	h.sent.Add(int64(len(h.clients)))
	var errs []error
	err = h.comeBack(ctx, h.onHosts(), func() {
		for _, id := range s.nodes.leases {
			errs = append(errs, h.store.DeleteConnection(ctx, id))
		}
	})
	return errors.Join(append(errs, err)...)
}

// staying are those that are no guests.
func staying(all []*client) []*client {
	return slices.DeleteFunc(slices.Clone(all), func(c *client) bool { return c.leaves > 0 })
}

// onHosts are those whose sockets are at hosts, or will be, and which stay.
func (h *Harness) onHosts() []*client {
	return slices.DeleteFunc(staying(h.clients), func(c *client) bool { return c.url() != h.cloud.WSURL })
}

// Move sends every client from API Gateway to the hosts and the other way round, a part of
// them at a time, and waits until they are subscribed there.
func (h *Harness) Move(ctx context.Context, parts int) error {
	var errs []error
	for part := range slices.Chunk(h.clients, (len(h.clients)+parts-1)/parts) {
		errs = append(errs, h.comeBack(ctx, staying(part), func() {
			for _, c := range part {
				c.move()
			}
		}))
	}
	return errors.Join(errs...)
}

// move makes the client go to the other place.
func (c *client) move() {
	c.mu.Lock()
	c.onGateway = !c.onGateway
	c.closed = true
	socket := c.socket
	c.mu.Unlock()
	if socket != nil {
		socket.Close()
	}
}
