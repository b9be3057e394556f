package docs

import (
	"fmt"
	"testing"

	"subwire/scripts/internal/billing"
	"subwire/shared/topology"
)

// What a canary costs a month: what ten tries cost by the meter, the function itself, a
// metric and an alarm ("Amazon CloudWatch pricing").
func TestWhatACanaryCosts(t *testing.T) {
	t.Parallel()
	const (
		tries         = 30 * 24 * 60 / 5
		metered       = 228e-6 / 10 // dollars a try, by make run ARGS=--meter and subwire doctor --local
		seconds       = 2
		metric, alarm = 0.30, 0.10
	)
	p := billing.USEast1()
	function := p.Invocation.Of(tries) + p.GBSecond.Of(tries*seconds*float64(topology.Canary.MemoryMB)/1024)
	says(t, "docs/cost.md",
		fmt.Sprintf("the tries are $%.2f", tries*metered),
		fmt.Sprintf("most of it waiting, it is $%.2f", function),
		fmt.Sprintf("**$%.2f a month.**", tries*metered+function+metric+alarm),
	)
}
