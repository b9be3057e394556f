package console

import (
	"context"
	"fmt"

	"subwire/scripts/internal/deployment"
	"subwire/shared/topology"
)

// Queues asks SQS how many messages each queue of the product has, one request for each. urls
// are by logical name.
func Queues(ctx context.Context, client deployment.QueueClient, app topology.Product, urls map[string]string) (
	all []Queue, err error) {
	from := map[string]string{topology.StreamDead.Name: topology.Stream.Name}
	for _, q := range app.Queues() {
		if q.DeadLetters != "" {
			from[q.DeadLetters] = q.Name
		}
	}
	for _, q := range app.Queues() {
		d, err := deployment.DepthOf(ctx, client, urls[q.Name])
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", q.Name, err)
		}
		all = append(all, Queue{Name: q.Name, From: from[q.Name], Depth: d.Visible + d.Delayed, InFlight: d.InFlight})
	}
	return all, nil
}
