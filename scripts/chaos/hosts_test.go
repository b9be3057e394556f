package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/faults"
	"subwire/shared/topology"
)

// onHostPlan is what goes wrong for hosts: posts to them and to their sockets, and their
// calls of DynamoDB and SQS.
const onHostPlan = faults.Known + ",post:403@0.005,post:502@0.01,post:503@0.01,delete:429@0.05,delete:500@0.05"

func TestNothingIsLostOnHostsUnderTheFaultPlan(t *testing.T) {
	onEveryProduct(t, 2*time.Minute, func(t *testing.T, p product, seed uint64) {
		n := size(20, 6)
		h := start(t, Setup{Plan: onHostPlan, Seed: seed, Product: p, Subjects: n, Hosts: 2,
			Clients: few(p, size(180, 45)), Guests: few(p, size(20, 6)), Redelivery: time.Second,
			Settings: map[string]string{topology.MaxConnections.Env: "1000"}})
		failed := postAll(t, h, subjects(p, n), size(2000, 120)/n, nil)
		settle(t, h, failed, 0.1)
	})
}

// Processes are killed and their addresses taken by others, or nobody; drained; cut off
// from DynamoDB and SQS; and believed dead though they live. All clients have one address,
// whose quota has no room for the sockets of the dead besides.
func TestNothingIsLostWhenHostsEnd(t *testing.T) {
	onEveryProduct(t, 2*time.Minute, func(t *testing.T, p product, seed uint64) {
		n, clients, guests := size(10, 4), few(p, size(90, 24)), few(p, size(10, 3))
		h := start(t, Setup{Plan: "post:500@0.01,sqs.send:500@0.02,dynamodb:throttle@0.01", Seed: seed, Product: p, Subjects: n,
			Hosts: 3, Clients: clients, Guests: guests, Redelivery: time.Second,
			Settings: map[string]string{topology.MaxConnections.Env: fmt.Sprint(clients + guests + 5)}})
		ends := func() error {
			hosts, ctx := h.cloud.Hosts, within(t)
			steps := []func(ctx context.Context, one *cloud.Host) error{
				hosts.Lose, hosts.Kill, hosts.Drain, offlineFor(time.Duration(size(50, 3)) * time.Second)}
			for range size(3, 1) {
				for i, step := range steps {
					if err := h.Host(ctx, i%3, step); err != nil {
						return err
					}
				}
				if err := h.DeclareDead(ctx); err != nil {
					return err
				}
			}
			return nil
		}
		failed := postAll(t, h, subjects(p, n), size(50, 10), ends)
		settle(t, h, failed, 0.25)
	})
}

// While a deployment changes over, or back, there are clients on both hosts.
func TestNothingIsLostWhileClientsMove(t *testing.T) {
	onEveryProduct(t, time.Minute, func(t *testing.T, p product, seed uint64) {
		n := size(10, 4)
		h := start(t, Setup{Plan: "post:429@0.01,dynamodb:throttle@0.01,disconnect:drop@0.1", Seed: seed, Product: p, Subjects: n,
			Hosts: 2, Mixed: true, Clients: few(p, size(90, 24)), Guests: few(p, size(10, 3)), Redelivery: time.Second})
		move := func() error {
			ctx := within(t)
			for i := range size(6, 2) {
				if err := h.Move(ctx, size(5, 2)); err != nil {
					return err
				}
				if err := h.Host(ctx, i%2, h.cloud.Hosts.Drain); err != nil {
					return err
				}
			}
			return nil
		}
		failed := postAll(t, h, subjects(p, n), size(50, 10), move)
		settle(t, h, failed, 0.1)
	})
}

func TestAReconnectStormOnHosts(t *testing.T) {
	rounds(t, time.Minute, func(t *testing.T, seed uint64) {
		const n = 10
		p := new(chats)
		h := start(t, Setup{Seed: seed, Product: p, Subjects: n, Hosts: 2, Clients: size(24, 9), Listens: n, Redelivery: time.Second,
			Settings: map[string]string{topology.MaxConnections.Env: "1000"}})
		failed := postAll(t, h, subjects(p, size(10, 4)), size(20, 4), func() error { return h.Storm(within(t)) })
		settle(t, h, failed, 0.02)
		waitFor(t, h, "the counts of cut connections to be gone", func(Run) bool {
			n, err := h.Counted(within(t))
			return err == nil && n == len(h.clients)
		})
	})
}

// offlineFor takes a process from DynamoDB and SQS for a time.
func offlineFor(length time.Duration) func(ctx context.Context, one *cloud.Host) error {
	return func(ctx context.Context, one *cloud.Host) error {
		one.CutOff(true)
		defer one.CutOff(false)
		select {
		case <-time.After(length): // the length of the outage
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
