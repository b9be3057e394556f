package billing

import (
	"math"
	"testing"
)

func TestABalancerIsChargedForWhatItHasMostOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ connections, open, bytes, want float64 }{
		{0, 0, 0, 0}, {25, 0, 0, 1}, {0, 3000, 0, 1}, {0, 0, 1e9, 1}, {50, 3000, 5e8, 2}, {1, 6000, 5e8, 2}, {1, 1, 3e9, 3},
	} {
		if got := BalancerUnits(tt.connections, tt.open, tt.bytes); got != tt.want {
			t.Errorf("%v connections/s, %v open, %v bytes/h: %v units, want %v", tt.connections, tt.open, tt.bytes, got, tt.want)
		}
	}
}

// Two of the smallest tasks in two zones, for 30 days.
func TestTheSmallestHost(t *testing.T) {
	t.Parallel()
	const hours = 30 * 24
	bill := USEast1().OfHost(Host{TaskHours: 2 * hours, VCPU: 0.25, GB: 0.5, Hours: hours, BalancerUnits: hours, AddressHours: 4 * hours})
	for service, want := range map[string]float64{"Fargate": 14.22, "Load balancer": 21.96, "VPC": 14.40, "Secrets Manager": 0.40} {
		if got := bill.Service(service); math.Abs(got-want) > 0.005 {
			t.Errorf("%s: $%.3f, want $%.2f", service, got, want)
		}
	}
}
