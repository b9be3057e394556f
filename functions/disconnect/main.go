// Command disconnect answers $disconnect. It also runs the delayed checks, which end
// connections that were never initialised or whose token has expired.
package main

import (
	"subwire/functions/internal/invocation"
	"subwire/shared/boot"
	"subwire/shared/connection"
	"subwire/shared/dynamo"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

func main() { boot.Main(topology.Disconnect, run) }

func run(p boot.Process) error {
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	invocation.Serve(p, handler{
		log: p.Log,
		disconnector: connection.Disconnector{
			Connections: store,
			Gateway:     p.Gateway(store, 1),
			Checks:      queue.New(queue.NewClient(p.AWS), p.Queue(topology.ConnectionChecks)),
			Metrics:     p.Metrics,
		},
	}.handle)
	return nil
}
