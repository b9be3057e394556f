// Command connect answers $connect: it refuses a socket or stores a new connection.
package main

import (
	"subwire/functions/internal/invocation"
	"subwire/shared/allowance"
	"subwire/shared/auth"
	"subwire/shared/boot"
	"subwire/shared/connection"
	"subwire/shared/dynamo"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

func main() { boot.Main(topology.Connect, run) }

func run(p boot.Process) error {
	settings, guard := p.Settings, topology.EdgeSecret.In(p.Settings)
	tokens, err := authenticator(p)
	if err != nil {
		return err
	}
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	invocation.Serve(p, handler{
		log:  p.Log,
		edge: guard,
		connector: connection.Connector{
			Connections:    store,
			Checks:         queue.New(queue.NewClient(p.AWS), p.Queue(topology.ConnectionChecks)),
			Origins:        topology.AllowedOrigins.In(settings),
			RequireOrigin:  topology.RequireOrigin.In(settings),
			MaxConnections: topology.MaxConnections.In(settings),
			Auth:           tokens,
			RequireToken:   topology.HandshakeToken.In(settings) == topology.TokenRequired,
			KeepAddress:    guard.On(),
			Allowance:      allowance.New(store, topology.MaxCostPerMinute.In(settings), p.Log),
			InitTimeout:    topology.InitTimeout.In(settings),
			TTL:            topology.ConnectionTTL,
			Metrics:        p.Metrics,
		},
	}.handle)
	return nil
}

// authenticator checks the tokens of handshakes; it is nil if they are not looked at.
func authenticator(p boot.Process) (connection.Authenticator, error) {
	if err := topology.CheckHandshakeToken(p.Settings); err != nil {
		return nil, err
	}
	if topology.HandshakeToken.In(p.Settings) == topology.TokenOff {
		return nil, nil
	}
	return auth.New(auth.ConfigOf(p.Settings, nil), p.AWS)
}
