package billing

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

type Line struct {
	Service  string
	What     string
	Quantity float64
	Price    Price
	Extra    bool // it grows with open sockets or bytes sent, not with the work of a push
}

// USD is what the line costs.
func (l Line) USD() float64 { return l.Price.Of(l.Quantity) }

type Bill []Line

// Of makes out the bill of the usage. Lines without usage are left out. What streams
// deliver to Lambda is free ("Amazon DynamoDB pricing").
func (p Prices) Of(u Usage) Bill {
	b := Bill{
		{"API Gateway", "messages sent", u.Gateway.Sent, p.Message, false},
		{"API Gateway", "messages received", u.Gateway.Received, p.Message, false},
		{"API Gateway", "HTTP requests", u.Gateway.Requests, p.Request, false},
	}
	for _, name := range slices.Sorted(maps.Keys(u.Functions)) {
		f := u.Functions[name]
		b = append(b,
			Line{"Lambda", name + ": invocations", f.Invocations, p.Invocation, false},
			Line{"Lambda", name + ": GB seconds", f.GBSeconds, p.GBSecond, false})
	}
	for _, name := range slices.Sorted(maps.Keys(u.Queues)) {
		q := u.Queues[name]
		price := p.Standard
		if q.FIFO {
			price = p.FIFO
		}
		b = append(b,
			Line{"SQS", name + ": sends", q.Sends, price, false},
			Line{"SQS", name + ": receives", q.Receives, price, false},
			Line{"SQS", name + ": empty receives", q.Empty, price, false},
			Line{"SQS", name + ": deletes", q.Deletes, price, false})
	}
	for _, name := range slices.Sorted(maps.Keys(u.Tables)) {
		t := u.Tables[name]
		b = append(b,
			Line{"DynamoDB", name + ": write units", t.Writes, p.Write, false},
			Line{"DynamoDB", name + ": read units", t.Reads, p.Read, false})
	}
	for _, name := range slices.Sorted(maps.Keys(u.Functions)) {
		b = append(b, Line{"CloudWatch Logs", name + ": bytes", u.Functions[name].LogBytes, p.Log, false})
	}
	b = append(b,
		Line{"API Gateway", "connection minutes", u.Gateway.ConnectionMinutes, p.ConnectionMinute, true},
		Line{"Data transfer", "bytes sent", u.Gateway.SentBytes, p.Transfer, true})
	return slices.DeleteFunc(b, func(l Line) bool { return l.Quantity == 0 })
}

// Total is the sum of all lines except the extra ones, in USD.
func (b Bill) Total() float64 { return b.sum(func(l Line) bool { return !l.Extra }) }

// Extra is the sum of the extra lines, in USD.
func (b Bill) Extra() float64 { return b.sum(func(l Line) bool { return l.Extra }) }

// Service is the sum of a service's lines except the extra ones, in USD.
func (b Bill) Service(name string) float64 {
	return b.sum(func(l Line) bool { return !l.Extra && l.Service == name })
}

// Services lists the services of the bill by name.
func (b Bill) Services() []string {
	var names []string
	for _, l := range b {
		if !l.Extra && !slices.Contains(names, l.Service) {
			names = append(names, l.Service)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names
}

// Write writes the bill as text. Durations of invocations are those of the machine
// where the usage was counted.
func (b Bill) Write(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, l := range b {
		fmt.Fprintf(out, "%s\t%s\t%.6g\t$%.6f\t\n", l.Service, l.What, l.Quantity, l.USD())
	}
	fmt.Fprintf(out, "\tsum\t\t$%.6f\t\n", b.Total()+b.Extra())
	return out.Flush()
}

func (b Bill) sum(in func(Line) bool) (usd float64) {
	for _, l := range b {
		if in(l) {
			usd += l.USD()
		}
	}
	return usd
}
