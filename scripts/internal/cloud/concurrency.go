package cloud

import (
	"cmp"

	"subwire/scripts/internal/lambdart"
	"subwire/shared/topology"
)

const (
	leastUnreserved  = 100 // of an account's concurrency must not be reserved ("Configuring reserved concurrency for a function")
	leastConcurrency = 2   // that a mapping of a queue may be given ("ScalingConfig")
)

// small reports whether the account has no concurrency to reserve. It runs the
// small deployment then: nothing is reserved, and mappings use the least.
func (c *Cloud) small() bool {
	left := cmp.Or(c.cfg.Concurrency, lambdart.DefaultConcurrency)
	for _, f := range topology.Functions() {
		left -= f.Reserved
	}
	return left < leastUnreserved
}

// account is what the functions share, and what each reserves of it.
func (c *Cloud) account() (account *lambdart.Account, reserve func(topology.Function) int) {
	small := c.small()
	return lambdart.NewAccount(c.cfg.Concurrency), func(f topology.Function) int {
		if small {
			return 0
		}
		return f.Reserved
	}
}
