// Package meter counts what the local cloud would be charged for on AWS. The
// gateway and the functions report to it, and DynamoDB and SQS are called
// through its proxies. It knows no prices: package billing has them.
package meter

import (
	"bytes"
	"io"
	"sync"
	"time"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/billing"
)

// Meter adds up usage. Many goroutines may use it at once.
type Meter struct {
	prefix string // of physical names

	mu      sync.Mutex // guards what follows
	usage   billing.Usage
	sockets int       // open now
	since   time.Time // up to when their minutes are counted
}

// New returns a meter at zero for resources whose names begin with the prefix.
func New(prefix string) *Meter {
	return &Meter{prefix: prefix, usage: billing.Usage{}.Plus(billing.Usage{})}
}

// Usage is what was counted so far. It is the caller's own.
func (m *Meter) Usage() billing.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.countMinutes()
	return m.usage.Plus(billing.Usage{})
}

// Gateway is what an API Gateway emulator reports to. What it refuses, a 410
// for instance, is taken to be free.
func (m *Meter) Gateway() apigwemu.Observer {
	return apigwemu.Observer{
		Received: func(size int) {
			m.gateway(func(g *billing.Gateway) { g.Received += billing.Units(size, billing.MessageUnit) })
		},
		Sent: func(size int) {
			m.gateway(func(g *billing.Gateway) {
				g.Sent += billing.Units(size, billing.MessageUnit)
				g.SentBytes += float64(size)
			})
		},
		Requested: func(size int) {
			m.gateway(func(g *billing.Gateway) { g.Requests += billing.Units(size, billing.RequestUnit) })
		},
		Opened: func() { m.count(1) },
		Closed: func() { m.count(-1) },
	}
}

func (m *Meter) gateway(add func(*billing.Gateway)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	add(&m.usage.Gateway)
}

// count adds to the open sockets.
func (m *Meter) count(sockets int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.countMinutes()
	m.sockets += sockets
}

// countMinutes is called with mu held.
func (m *Meter) countMinutes() {
	now := time.Now()
	m.usage.Gateway.ConnectionMinutes += float64(m.sockets) * now.Sub(m.since).Minutes()
	m.since = now
}

// Invoked counts an invocation that took so long, on this machine and not on
// Lambda's, from its event to its answer; a cold start belongs to it. Lambda
// charges by the millisecond.
func (m *Meter) Invoked(function string, memoryMB int, took time.Duration) {
	seconds := ((took + time.Millisecond - 1) / time.Millisecond * time.Millisecond).Seconds()
	m.function(function, func(f *billing.Function) {
		f.Invocations++
		f.Seconds += seconds
		f.GBSeconds += seconds * float64(memoryMB) / 1024
		f.LogBytes += platformLog
	})
}

// platformLog is what Lambda itself logs of an invocation in its default
// format: START, END and REPORT, with the 26 bytes that CloudWatch counts for
// each event.
const platformLog = 350

// eventBytes is what CloudWatch counts for an event beside its text.
const eventBytes = 26

// Log returns a writer that counts the lines that a function logs, and passes
// them on.
func (m *Meter) Log(function string, to io.Writer) io.Writer { return logWriter{m, function, to} }

type logWriter struct {
	m        *Meter
	function string
	to       io.Writer
}

func (l logWriter) Write(p []byte) (int, error) {
	size := len(p) + eventBytes*bytes.Count(p, []byte("\n"))
	l.m.function(l.function, func(f *billing.Function) { f.LogBytes += float64(size) })
	return l.to.Write(p)
}

func (m *Meter) function(name string, add func(*billing.Function)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.usage.Functions[name]
	add(&f)
	m.usage.Functions[name] = f
}
