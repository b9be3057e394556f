package cloud

import (
	"cmp"

	"subwire/scripts/internal/lambdart"
	"subwire/shared/topology"
)

// small reports whether the account has no concurrency to reserve. The cloud then
// runs the small deployment: nothing is reserved, and mappings use the minimum.
func (c *Cloud) small() bool {
	left := cmp.Or(c.cfg.Concurrency, lambdart.DefaultConcurrency)
	for _, f := range c.cfg.App.Functions() {
		left -= f.Reserved
	}
	return left < topology.LeastUnreserved
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
