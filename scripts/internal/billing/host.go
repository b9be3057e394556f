package billing

// Host is what a host uses in some time: processes that hold sockets, and the load
// balancer before them.
type Host struct {
	TaskHours     float64 // of all tasks
	VCPU, GB      float64 // of each
	Hours         float64 // of the load balancer and the secret
	BalancerUnits float64 // hours of its capacity units
	AddressHours  float64 // of all public IPv4 addresses
}

// OfHost makes out the bill of a host.
func (p Prices) OfHost(h Host) Bill {
	return Bill{
		{"Fargate", "vCPU hours", h.TaskHours * h.VCPU, p.VCPUHour, false},
		{"Fargate", "GB hours", h.TaskHours * h.GB, p.MemoryHour, false},
		{"Load balancer", "hours", h.Hours, p.BalancerHour, false},
		{"Load balancer", "LCU hours", h.BalancerUnits, p.BalancerUnit, false},
		{"VPC", "hours of public IPv4 addresses", h.AddressHours, p.Address, false},
		{"Secrets Manager", "hours", h.Hours, p.Secret, false},
	}
}

// What a capacity unit of an Application Load Balancer has ("Elastic Load Balancing
// pricing"). Rules are not counted: the first ten are free.
const (
	unitConnections = 25   // new ones a second
	unitSockets     = 3000 // open ones, sampled each minute
	unitBytes       = 1e9  // an hour, both ways
)

// BalancerUnits is how many units a load balancer uses: those of whatever takes most. New
// connections are those of a second, bytes those of an hour.
func BalancerUnits(newConnections, open, bytes float64) float64 {
	return max(newConnections/unitConnections, open/unitSockets, bytes/unitBytes)
}
