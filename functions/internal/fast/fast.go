// Package fast builds what the functions that write rows announce their events with.
package fast

import (
	"subwire/shared/announce"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// New returns what announces the events of the product's rows. It is nil, which announces
// nothing, in a deployment that does not go the fast way.
func New(p boot.Process, app *subwire.App, store *dynamo.Store) *announce.Fast {
	if !p.Fast() {
		return nil
	}
	return &announce.Fast{
		Store:   store,
		Queue:   queue.New(queue.NewClient(p.AWS), p.Queue(topology.Fanout)),
		Passes:  app.Passes,
		Limits:  announce.Limits(p.Settings),
		Log:     p.Log,
		Metrics: p.Metrics,
	}
}
