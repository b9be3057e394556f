package main

import (
	"context"
	"flag"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/billing"
	"subwire/shared/topology"
)

// keeping is how a client keeps its socket open.
type keeping struct {
	sends string        // the type of its messages
	every time.Duration // between two of them
	life  time.Duration // of a socket, until the client leaves it or the gateway cuts it
	asks  bool          // whether a function answers, as before the gateway did
}

// heartbeats is what shared/js/resume.mjs does; a socket's life is the mean of its moments.
var heartbeats = keeping{sends: "pong", every: 525 * time.Second, life: 6450 * time.Second}

// pings is what a client does that asks for answers, and is cut.
func pings(every time.Duration) keeping {
	return keeping{sends: "ping", every: every, life: topology.ConnectionLimit}
}

const pingFlag = "between two pings of a client on API Gateway; 0: it sends the heartbeats of subwire-client"

func keptBy(ping time.Duration) keeping {
	if ping == 0 {
		return heartbeats
	}
	return pings(ping)
}

// kept is what one such message costs, with its answer.
func (m model) kept(k keeping) billing.Usage {
	u := billing.Usage{Gateway: billing.Gateway{Received: 1}}
	if topology.Mocks[k.sends].Answer != "" {
		u.Gateway.Sent = 1
	}
	if k.asks {
		u.Functions = map[string]billing.Function{topology.Message.Name: function(topology.Message, 1, m.message, 0)}
	}
	return u
}

// idle is what bench idle is asked.
type idle struct {
	model
	prices billing.Prices
}

const idleTitle = "USD a month of one open socket, by how its client keeps it open"

func idleCommand() command {
	const about = "what an open socket costs in a month while nothing happens: a model"
	return command{"idle", about, func(*flag.FlagSet) measure {
		return (&idle{model: typical(), prices: billing.USEast1()}).measure
	}}
}

// ways are those to keep a socket open, those of before last.
func (i *idle) ways() []struct {
	label string
	keeping
} {
	asking := func(every time.Duration) keeping {
		k := pings(every)
		k.asks = true
		return k
	}
	return []struct {
		label string
		keeping
	}{
		{"a heartbeat every 8:45", heartbeats},
		{"a ping every 5 min", pings(5 * time.Minute)},
		{"a ping every 2 min", pings(2 * time.Minute)},
		{"a ping every 5 min, to a function", asking(5 * time.Minute)},
		{"a ping every 2 min, to a function", asking(2 * time.Minute)},
	}
}

func (i *idle) measure(context.Context, input) (report.Report, error) {
	t := report.Table{Title: idleTitle, Key: "kept open by",
		Columns: []string{"minutes", "messages", "functions", "open", "connecting", "of AppSync's"}}
	appSync := i.prices.AppSyncMinute.Of(month.Minutes())
	for _, way := range i.ways() {
		open, again := i.prices.Of(i.open(month, way.keeping)), i.prices.Of(i.reopened(month, way.keeping))
		whole := open.Total() + open.Extra()
		messages := open.Service("API Gateway")
		t.Rows = append(t.Rows, report.NewRow(way.label, open.Extra(), messages, open.Total()-messages,
			whole, again.Total(), whole/appSync))
	}
	return report.Report{Tables: []report.Table{t}, Notes: []string{
		"A month has 30 days. Open is what a socket costs that is idle; connecting, with one subscription each time, " +
			"comes on top: every 2 hours, or every 107 minutes by a client that leaves before it is cut. " +
			"AppSync charges for the minutes alone, and its server keeps the socket open.",
	}}, nil
}
