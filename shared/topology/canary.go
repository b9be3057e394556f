package topology

import "time"

// Canary is a client of the deployment, which has it when asked for (Product.CanaryEvery). It
// connects, subscribes, posts and waits for the event, and fails if that does not come.
// It is given nothing that a client has not.
var Canary = Function{Name: "canary", Timeout: 30 * time.Second, MemoryMB: 256, WebSocket: true, HTTP: true}

// HTTPEnv is the environment variable with the URL of GraphQL over HTTP.
const HTTPEnv = "HTTP_URL"

// LongestCanary is the longest time between two runs of the canary, in minutes.
const LongestCanary = 60

// RunbookCanary is the heading of the runbook for its alarm.
const RunbookCanary = "Canary"

// canaryAlarms are those of the canary. An invocation fails if the event did not come, and
// also if the function cannot start or runs out of time. Two in a row are news: the first
// may have been a process that AWS took away. A run starts up to a minute late.
func (p Product) canaryAlarms() []Alarm {
	if p.CanaryEvery == 0 {
		return nil
	}
	return []Alarm{{Name: Canary.Name, Of: Source{Function: Canary.Name}, Metric: "Errors", Statistic: "Sum",
		Bad: 2, Minutes: 2*int(p.CanaryEvery.Minutes()) + 1,
		Says: "A client that subscribes and posts does not get its event.", Runbook: RunbookCanary}}
}
