package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/billing"
	"subwire/shared/host"
	"subwire/shared/pubsub"
	"subwire/shared/sockets"
	"subwire/shared/topology"
)

// month is what the prices of a month are for.
const month = 30 * 24 * time.Hour

// hosting compares what sockets and pushes cost on API Gateway and on a host of our own.
type hosting struct {
	bills
	perTask int     // sockets of a task
	rate    float64 // pushes a second of a task
	zones   int     // in which the load balancer has an address
}

func breakevenCommand() command {
	const about = "from how many sockets and pushes a host on Fargate costs less than API Gateway"
	return command{"breakeven", about, func(flags *flag.FlagSet) measure { return newHosting(flags).measure }}
}

func newHosting(flags *flag.FlagSet) *hosting {
	c := &costing{model: typical()}
	h := &hosting{bills: bills{costing: c, prices: billing.USEast1(), known: map[int][]pubsub.Subscription{}}, zones: 2}
	flags.IntVar(&c.subscribers, "subscribers", 1000, "per topic")
	flags.IntVar(&c.operations, "operations", 10, "distinct operations of a topic")
	flags.IntVar(&c.size, "text", 100, "`bytes` of a message's text")
	flags.DurationVar(&c.ping, "ping", 0, pingFlag+". A host pings by itself")
	flags.IntVar(&h.perTask, "per-task", topology.Fargate.Sockets, "sockets of a task of the host")
	flags.Float64Var(&h.rate, "rate", 2000, "pushes a second of a task of the host, on average: an assumption")
	return h
}

const (
	monthTitle     = "USD a month, API Gateway and Fargate, by open sockets and pushes"
	breakevenTitle = "From how many open sockets on Fargate costs less, by pushes a month"
	partsTitle     = "USD a month of a host, by open sockets"
)

var (
	hostedSockets = []int{100, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000}
	hostedPushes  = []float64{0, 1e6, 10e6, 100e6, 1000e6}
)

func (h *hosting) measure(_ context.Context, in input) (report.Report, error) {
	h.seed = in.seed
	r := report.Report{
		Settings: report.Settings("subscribers", h.subscribers, "operations", h.operations, "text", h.size,
			"ping", h.ping.String(), "per-task", h.perTask, "rate", h.rate),
		Tables: []report.Table{h.months(), h.breakeven(), h.parts()},
		Notes: []string{
			"A month has 30 days. Both sides have the sockets, their heartbeats, connecting, and the whole way of each event; neither has data transfer.",
			fmt.Sprintf("On API Gateway a socket is opened every %s, on Fargate once a day. Sockets are open all month.", topology.ConnectionLimit),
			fmt.Sprintf("On Fargate there are %d tasks at least, with %g vCPU and %g GB, each with a public address, and one address of the load balancer in each of two zones.",
				topology.Fargate.Least, taskCPU, taskGB),
		},
	}
	return r, h.err
}

// months has a row for each number of sockets and a pair of columns for each number of pushes.
func (h *hosting) months() report.Table {
	t := report.Table{Title: monthTitle, Key: "sockets"}
	for _, pushes := range hostedPushes {
		t.Columns = append(t.Columns, fmt.Sprintf("%g M", pushes/1e6), "Fargate")
	}
	for _, sockets := range hostedSockets {
		var values []float64
		for _, pushes := range hostedPushes {
			values = append(values, h.gateway(sockets, pushes), h.fargate(sockets, pushes).Total())
		}
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(sockets), values...))
	}
	return t
}

// breakeven has the number of sockets from which the host costs less. One task more, later,
// costs less than what the sockets that need it cost on API Gateway.
func (h *hosting) breakeven() report.Table {
	t := report.Table{Title: breakevenTitle, Key: "pushes", Columns: []string{"sockets", "USD"}}
	for _, pushes := range []float64{0, 1e6, 10e6, 20e6, 30e6, 40e6} {
		sockets := h.cheaperFrom(pushes)
		t.Rows = append(t.Rows, report.NewRow(fmt.Sprintf("%g M", pushes/1e6),
			float64(sockets), h.fargate(sockets, pushes).Total()))
	}
	return t
}

// mostHosted bounds the search: a socket costs more on API Gateway than the task that it needs
// a part of.
const mostHosted = 20_000

// cheaperFrom is the smallest number of sockets from which on the host costs less.
func (h *hosting) cheaperFrom(pushes float64) int {
	return sort.Search(mostHosted, func(sockets int) bool {
		return h.fargate(sockets, pushes).Total() < h.gateway(sockets, pushes)
	})
}

// parts is the bill of the host without pushes.
func (h *hosting) parts() report.Table {
	services := []string{"Fargate", "Load balancer", "VPC", "Secrets Manager", "Lambda", "SQS", "DynamoDB", "CloudWatch Logs"}
	t := report.Table{Title: partsTitle, Key: "sockets", Columns: append([]string{"USD", "tasks"}, services...)}
	for _, sockets := range hostedSockets {
		bill := h.fargate(sockets, 0)
		values := []float64{bill.Total(), float64(h.tasks(sockets, 0))}
		for _, s := range services {
			values = append(values, bill.Service(s))
		}
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(sockets), values...))
	}
	return t
}

// gateway is what a month costs on API Gateway, in USD.
func (h *hosting) gateway(sockets int, pushes float64) float64 {
	k := keptBy(h.ping)
	open := h.prices.Of(h.open(month, k).Plus(h.reopened(month, k)).Times(float64(sockets)))
	return open.Total() + open.Extra() + h.perMillion(h.model, h.topic(h.subscribers), h.size).Total()*pushes/1e6
}

// Of a task.
var (
	taskCPU = float64(topology.Fargate.CPU) / 1024
	taskGB  = float64(topology.Fargate.MemoryMB) / 1024
)

func (h *hosting) tasks(sockets int, pushes float64) int {
	full := math.Ceil(float64(sockets) / float64(h.perTask))
	busy := math.Ceil(pushes / month.Seconds() / h.rate)
	return int(max(full, busy, float64(topology.Fargate.Least)))
}

// fargate is the bill of a month on a host of our own.
func (h *hosting) fargate(sockets int, pushes float64) billing.Bill {
	tasks, hours, open := h.tasks(sockets, pushes), month.Hours(), float64(sockets)
	events := pushes / float64(h.subscribers)
	one, err := h.event(withText(h.size), h.topic(tasks)) // each task is one subscriber of the topic
	if err != nil {
		h.err = err
		return nil
	}
	one.usage.Gateway.Sent, one.usage.Gateway.SentBytes = 0, 0
	bytes := pushes*float64(frameBytes(withText(h.size))) + events*float64(tasks*eventBytes) +
		open*pingBytes*month.Seconds()/hostPing.Seconds()
	units := billing.BalancerUnits(open/topology.HostTTL.Seconds(), open, bytes/hours)
	bill := h.prices.OfHost(billing.Host{TaskHours: float64(tasks) * hours, VCPU: taskCPU, GB: taskGB, Hours: hours,
		BalancerUnits: units * hours, AddressHours: float64(tasks+h.zones) * hours})
	usage := one.usage.Times(events).
		Plus(h.hosted().Times(open * month.Hours() / topology.HostTTL.Hours())).
		Plus(kept().Times(float64(tasks)))
	return append(bill, h.prices.Of(usage)...)
}

// What a host does on its own.
const (
	hostPing    = sockets.PingInterval
	pingBytes   = 2 + 6 // a ping and its masked pong, both empty (RFC 6455, section 5.2)
	eventBytes  = 1500  // an event to a task, with its head, and the answer: an assumption
	metricBytes = 200   // a line of metrics, written as often as a lease
)

// hosted is a connection's usage without API Gateway and the functions behind it. That of
// queued checks remains.
func (h *hosting) hosted() billing.Usage {
	u := h.connection()
	u.Gateway = billing.Gateway{}
	u.Functions = map[string]billing.Function{topology.Disconnect.Name: function(topology.Disconnect, 1, h.disconnect, 0)}
	return u
}

// kept is what a task writes in a month to be known, and known of.
func kept() billing.Usage {
	n := float64(month / host.LeaseRenewal)
	return billing.Usage{
		Tables:    map[string]billing.Table{topology.Connections.Name + ".PutItem": {Requests: n, Writes: n}},
		Functions: map[string]billing.Function{"host": {LogBytes: n * (metricBytes + eventLog)}},
	}
}

// breakevenTable is the second table of docs/hosts.md.
func breakevenTable(t report.Table) string {
	var b strings.Builder
	b.WriteString("| pushes a month | from open sockets | at |\n|---|---|---|\n")
	for _, row := range t.Rows {
		fmt.Fprintf(&b, "| %s | %.0f | $%.0f |\n", row.Label, row.Cells[0][0], row.Cells[1][0])
	}
	return b.String()
}

// hostsTable is the first table of docs/hosts.md: of each pair, API Gateway's and Fargate's.
func hostsTable(t report.Table) string {
	var b strings.Builder
	b.WriteString("| sockets |")
	for i := 0; i < len(t.Columns); i += 2 {
		b.WriteString(" " + t.Columns[i] + " pushes |")
	}
	b.WriteString("\n|" + strings.Repeat("---|", 1+len(t.Columns)/2) + "\n")
	for _, row := range t.Rows {
		b.WriteString("| " + row.Label + " |")
		for i := 0; i < len(row.Cells); i += 2 {
			api, host := row.Cells[i][0], row.Cells[i+1][0]
			format := " **$%.0f** · $%.0f |"
			if host < api {
				format = " $%.0f · **$%.0f** |"
			}
			fmt.Fprintf(&b, format, api, host)
		}
		b.WriteString("\n")
	}
	return b.String()
}
