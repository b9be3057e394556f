// Package process puts the parts of a host together: the core that the functions connect,
// message, disconnect and sender share, the host's listing, and its sockets as the only
// gateway. functions/host runs it on AWS, and benchmarks run the same with a store in memory.
package process

import (
	"context"
	"log/slog"

	"subwire/shared/allowance"
	"subwire/shared/connection"
	"subwire/shared/delivery"
	"subwire/shared/graphqlhttp"
	"subwire/shared/host"
	"subwire/shared/metrics"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/sockets"
	"subwire/shared/topology"
	"subwire/shared/trusted"
)

// Parts is what a host is made of. All are required unless they say otherwise.
type Parts struct {
	Store     pubsub.Store // that all processes share
	Executor  pubsub.Executor
	Auth      connection.Authenticator // nil: every viewer is anonymous
	Checks    connection.Checks
	Documents *trusted.Documents   // nil: any may run
	Allowance *allowance.Allowance // nil: nobody is counted
	Audiences *allowance.Audiences // nil likewise
	Retries   delivery.Retries     // of what a socket does not take
	Dead      delivery.DeadLetters
	Passes    func(pubsub.Event) func(filter string, v pubsub.Viewer) bool // of the product
	Settings  topology.Values
	Log       *slog.Logger
	Metrics   *metrics.Meter // nil counts nothing

	// Address is this process's own, HOST:PORT. Sockets says how its sockets are served
	// and who may call it; what the other parts decide is filled in.
	Address string
	Sockets sockets.Config
}

// New returns a host and its sockets. Both have to Run while it serves.
func New(p Parts) (*host.Host, *sockets.Set) {
	store := host.NewListing(p.Store, "")
	h := &host.Host{Listing: store, Passes: p.Passes, MaxOfTopic: topology.MaxOfTopic.In(p.Settings),
		Log: p.Log, Metrics: p.Metrics}
	boot := h.Start(p.Address)
	c := p.Sockets
	c.Self = node.Address{HostPort: p.Address, Boot: boot}
	c.Handlers, c.Event, c.Ready, c.Log = h, h.Event, h.Ready, p.Log
	c.AllowedOrigins = topology.AllowedOrigins.In(p.Settings)
	c.InitTimeout = topology.InitTimeout.In(p.Settings)
	c.Refuse = refuse(p.Documents, p.Executor)
	if p.Allowance != nil {
		c.Again = p.Allowance.Again
	}
	set := sockets.New(c)
	h.Sockets = set
	h.Connector = p.connector(store)
	h.Ended = connection.Disconnector{Connections: store, Gateway: set, Checks: p.Checks, Metrics: p.Metrics}
	h.Session = p.session(store, set)
	h.Sender = delivery.New(delivery.Config{
		Store:    store,
		Executor: p.Executor,
		Gateway:  set,
		Retries:  p.Retries,
		Dead:     p.Dead,
		Workers:  topology.SenderWorkers.In(p.Settings),
		Log:      p.Log,
		Metrics:  p.Metrics,
	})
	return h, set
}

func (p Parts) connector(store *host.Listing) connection.Connector {
	c := connection.Connector{
		Connections:    store,
		Checks:         p.Checks,
		Origins:        topology.AllowedOrigins.In(p.Settings),
		RequireOrigin:  topology.RequireOrigin.In(p.Settings),
		MaxConnections: topology.MaxConnections.In(p.Settings),
		RequireToken:   topology.HandshakeToken.In(p.Settings) == topology.TokenRequired,
		Allowance:      p.Allowance,
		InitTimeout:    topology.InitTimeout.In(p.Settings),
		TTL:            host.TTL,
		Metrics:        p.Metrics,
	}
	if topology.HandshakeToken.In(p.Settings) != topology.TokenOff {
		c.Auth = p.Auth
	}
	return c
}

func (p Parts) session(store *host.Listing, gateway pubsub.Gateway) *session.Session {
	return &session.Session{
		Connections:    store,
		Operations:     store,
		Executor:       p.Executor,
		Gateway:        gateway,
		Auth:           p.Auth,
		Checks:         p.Checks,
		Documents:      p.Documents,
		Rate:           session.NewFrameRate(topology.MaxFramesPerSecond.In(p.Settings)),
		Allowance:      p.Allowance,
		Audiences:      p.Audiences,
		InitMembers:    topology.InitMembers.In(p.Settings),
		MaxIDBytes:     topology.MaxOperationIDBytes.In(p.Settings),
		MaxInitBytes:   topology.MaxInitBytes.In(p.Settings),
		MaxOperations:  topology.MaxSubscriptions.In(p.Settings),
		MaxOfTopic:     topology.MaxOfTopic.In(p.Settings),
		MaxReplayBytes: topology.MaxReplayBytes.In(p.Settings),
		MaxConnections: topology.MaxConnections.In(p.Settings),
		Log:            p.Log,
		Metrics:        p.Metrics,
	}
}

// refuse looks at the operation of an event stream, whose client is acknowledged by now: a
// mutation by GET is refused, as over HTTP.
func refuse(documents *trusted.Documents, executor pubsub.Executor) func(context.Context, string, pubsub.Operation) error {
	return func(_ context.Context, method string, op pubsub.Operation) error {
		op, err := documents.Resolve(op)
		if err != nil {
			return err
		}
		x, err := executor.Prepare(op)
		if err != nil {
			return err
		}
		if x.Kind == pubsub.KindSubscription {
			return nil
		}
		return graphqlhttp.CheckKind(method, x.Kind)
	}
}
