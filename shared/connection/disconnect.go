package connection

import (
	"context"

	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/socket"
)

// Disconnector ends connections.
type Disconnector struct {
	Connections interface {
		Connection(ctx context.Context, id string) (pubsub.Connection, error)
		DeleteConnection(ctx context.Context, id string) error
		DeleteUnacknowledged(ctx context.Context, id string) (bool, error)
		ReleaseQuota(ctx context.Context, c pubsub.Connection) error
		Unlist(ctx context.Context, s pubsub.Subscription) error
		DeleteLeft(ctx context.Context, s pubsub.Subscription) error
	}
	Gateway pubsub.Gateway
	Checks  Checks
	Metrics *metrics.Meter // nil counts nothing
}

// Disconnect deletes what is stored of a connection that has ended, before ctx ends:
// API Gateway does not retry $disconnect. What it leaves is deleted by the next event
// or by its TTL.
func (d Disconnector) Disconnect(ctx context.Context, connectionID string) error {
	d.Metrics.Add(metrics.Disconnected, 1)
	ctx, cancel := retry.Within(ctx, retry.ReturnReserve)
	defer cancel()
	return socket.DeleteRows(ctx, d.Connections, connectionID)
}
