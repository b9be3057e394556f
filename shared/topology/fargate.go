package topology

import (
	"slices"
	"time"

	"subwire/shared/metrics"
)

// Fargate is how a deployment runs the host, if it has one (Product.Fargate): as tasks behind a
// load balancer.
var Fargate = struct {
	CPU, MemoryMB int // of a task: 1,024 units are a vCPU ("Task CPU and memory")
	Port          int // on which a task listens

	// Least is one task for each of two zones, so that the loss of one leaves one. Most bounds
	// what it costs; an account's first quota is six vCPUs ("AWS Fargate service quotas", "Fargate
	// On-Demand vCPU resource count"), of which a deployment takes twice as many tasks as there are.
	Least, Most int

	// Sockets is how many a task has when another is added. It is half of what fits, so that
	// those of a task that is lost find room in the others.
	Sockets int
	// MostSockets is how many a task takes. Memory bounds them: half of 512 MB, at 25 KB a
	// socket. Then come the file descriptors, 65,535, and the load balancer's as many
	// ports for each of its own addresses and target.
	MostSockets int
	CPUTarget   int // percent of its CPU at which another is added

	Drain time.Duration // in which a task that is taken out closes its sockets
	// Leave is what the load balancer gives it, and ECS after SIGTERM, which is 120 s at most
	// ("Amazon ECS task definition parameters", stopTimeout). It is above Drain by what the
	// process takes besides.
	Leave  time.Duration
	Silent time.Duration // in which a connection without a byte is closed; above the host's time between pings
}{
	CPU: 256, MemoryMB: 512, Port: 4100, Least: 2, Most: 10,
	Sockets: 5_000, MostSockets: 10_000, CPUTarget: 50,
	Drain: 75 * time.Second, Leave: 120 * time.Second, Silent: 120 * time.Second,
}

// What the host gets, besides settings.
const (
	HostPortEnv    = "PORT"              // on which the host listens
	HostAddressEnv = "HOST_ADDRESS"      // HOST:PORT, by which other nodes reach it; in ECS its task's
	HostDrainEnv   = "HOST_DRAIN"        // in which it closes its sockets before it ends, as 90s
	HostTargetsEnv = "HOST_TARGET_GROUP" // ARN of the group in which the host finds its own state
	StackEnv       = "STACK"             // name of the deployment, for metrics: a host has no function's name
)

// HostAccess is what the host may do: what connect, message, disconnect and sender may, but no
// receiving from queues and nothing of API Gateway's.
func (p Product) HostAccess() []Permission {
	var all []Permission
	access := p.Access()
	for _, f := range []Function{Connect, Message, Disconnect, Sender} {
		for _, permission := range access[f.Name] {
			if permission.On == OnSockets {
				continue
			}
			at := slices.IndexFunc(all, func(q Permission) bool { return q.On == permission.On && q.Name == permission.Name })
			if at < 0 {
				all = append(all, Permission{On: permission.On, Name: permission.Name})
				at = len(all) - 1
			}
			for _, action := range permission.Actions {
				if !slices.Contains(receive, action) && !slices.Contains(all[at].Actions, action) {
					all[at].Actions = append(all[at].Actions, action)
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(q Permission) bool { return len(q.Actions) == 0 })
}

// RunbookHost is the heading of the runbook for the alarms of the host.
const RunbookHost = "Host"

// hostAlarms are those of the host. "CloudWatch metrics for your Application Load Balancer",
// "Amazon ECS CloudWatch metrics". A deployment replaces tasks, so a task that is unhealthy for a
// minute is no alarm.
func (p Product) hostAlarms() []Alarm {
	if !p.Fargate {
		return nil
	}
	balancer, targets, tasks := Source{Balancer: true}, Source{Targets: true}, Source{Tasks: true}
	return []Alarm{
		// The metric is there while a target is registered.
		{Name: "host-down", Of: targets, Expression: "1 - healthyHostCount", Statistic: "Maximum",
			Bad: 2, Minutes: 2, Missing: true,
			Says: "No task of the host takes sockets.", Runbook: RunbookHost},
		{Name: "host-unhealthy", Of: targets, Metric: "UnHealthyHostCount", Statistic: "Maximum", Bad: 5, Minutes: 10,
			Says: "A task of the host fails its health check: it has no lease, or cannot start.", Runbook: RunbookHost},
		{Name: "host-refusals", Of: balancer, Metric: "HTTPCode_ELB_5XX_Count", Statistic: "Sum", Above: 10,
			Bad: 3, Minutes: 5,
			Says: "The load balancer finds no task that answers.", Runbook: RunbookHost},
		{Name: "host-errors", Of: targets, Metric: "HTTPCode_Target_5XX_Count", Statistic: "Sum", Above: 10,
			Bad: 3, Minutes: 5,
			Says: "The host refuses sockets or events: it is busy, or drains.", Runbook: RunbookHost},
		{Name: "host-unreached", Of: targets, Metric: "TargetConnectionErrorCount", Statistic: "Sum", Above: 10,
			Bad: 3, Minutes: 5,
			Says: "The load balancer cannot connect to a task.", Runbook: RunbookHost},
		{Name: "host-cpu", Of: tasks, Metric: "CPUUtilization", Statistic: "Average", Above: 85, Bad: 5, Minutes: 5,
			Says: "The host needs more tasks than it may have, or grows too slowly.", Runbook: RunbookHost},
		{Name: "host-memory", Of: tasks, Metric: "MemoryUtilization", Statistic: "Maximum", Above: 85, Bad: 3, Minutes: 5,
			Says: "A task of the host is about to run out of memory.", Runbook: RunbookHost},
		{Name: "host-full", Of: Source{Own: true}, Metric: metrics.Sockets.Name, Statistic: "Maximum",
			Above: 0.8 * float64(Fargate.MostSockets), Bad: 3, Minutes: 5,
			Says: "A task of the host has nearly as many sockets as it can.", Runbook: RunbookHost},
		{Name: "host-lease", Of: Source{Own: true}, Metric: metrics.LeaseLost.Name, Statistic: "Sum", Bad: 1, Minutes: 5,
			Says: "A task of the host could not keep its lease, and has closed its sockets.", Runbook: RunbookHost},
	}
}

// hostParts is what the dashboard shows of the host.
func (p Product) hostParts() []Part {
	if !p.Fargate {
		return nil
	}
	balancer, targets, tasks := Source{Balancer: true}, Source{Targets: true}, Source{Tasks: true}
	return []Part{{"host", []Figure{
		own("sockets of a task", metrics.Sockets, "Average"), own("most sockets of a task", metrics.Sockets, "Maximum"),
		{"new connections", balancer, "NewConnectionCount", "Sum"},
		{"healthy tasks", targets, "HealthyHostCount", "Minimum"},
		{"unhealthy tasks", targets, "UnHealthyHostCount", "Maximum"},
		{"CPU, %", tasks, "CPUUtilization", "Average"}, {"memory, %", tasks, "MemoryUtilization", "Maximum"},
		own("leases lost", metrics.LeaseLost, "Sum"),
		{"requests failed", targets, "HTTPCode_Target_5XX_Count", "Sum"},
		{"requests refused", balancer, "HTTPCode_ELB_5XX_Count", "Sum"}}}}
}
