package cloud

import (
	"testing"

	"subwire/scripts/internal/faults"
	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

func TestAFreshAccountReservesNothing(t *testing.T) {
	t.Parallel()
	total := 0
	for _, f := range chattest.Product.Functions() {
		total += f.Reserved
	}
	for concurrency, small := range map[int]bool{0: false, 10: true, total + 99: true, total + 100: false} {
		c := &Cloud{cfg: Config{App: chattest.Product, Concurrency: concurrency}, Injector: faults.New(nil, 0)}
		_, reserve := c.account()
		if got := reserve(topology.Sender) == 0; got != small {
			t.Errorf("with a concurrency of %d sender reserves nothing: %v, want %v", concurrency, got, small)
		}
		q := c.queue(topology.QueueMappings()[0], nil)
		if got := q.Mapping.MaxConcurrency == topology.LeastMaxConcurrency; got != small {
			t.Errorf("with a concurrency of %d the mapping has %d", concurrency, q.Mapping.MaxConcurrency)
		}
	}
}
