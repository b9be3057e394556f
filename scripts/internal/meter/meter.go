// Package meter counts what AWS would charge for in the local cloud. The gateway and
// the functions report to it, and DynamoDB and SQS are called through its proxies. It
// knows no prices: package billing has them.
package meter

import (
	"bytes"
	"io"
	"sync"
	"time"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/billing"
)

// Meter adds up usage. It is safe for concurrent use.
type Meter struct {
	prefix string // of physical names

	mu      sync.Mutex // guards the fields below
	usage   billing.Usage
	sockets int       // open now
	since   time.Time // their minutes are counted up to then
}

// New returns a meter at zero for resources whose names begin with the prefix.
func New(prefix string) *Meter {
	return &Meter{prefix: prefix, usage: billing.Usage{}.Plus(billing.Usage{})}
}

// Usage returns a copy of what was counted so far.
func (m *Meter) Usage() billing.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.countMinutes()
	return m.usage.Plus(billing.Usage{})
}

// Gateway is the observer for an API Gateway emulator. Refused requests, such as a
// 410, are assumed to be free.
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

func (m *Meter) count(sockets int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.countMinutes()
	m.sockets += sockets
}

// countMinutes must be called with mu held.
func (m *Meter) countMinutes() {
	now := time.Now()
	m.usage.Gateway.ConnectionMinutes += float64(m.sockets) * now.Sub(m.since).Minutes()
	m.since = now
}

// Invoked counts an invocation. It took that long on this machine, not on Lambda, from
// its event to its answer, including a cold start. Lambda charges by the millisecond, and
// logs only that it failed, if it did: see package infra's platformLevels.
func (m *Meter) Invoked(function string, memoryMB int, took time.Duration, failed bool) {
	seconds := ((took + time.Millisecond - 1) / time.Millisecond * time.Millisecond).Seconds()
	m.function(function, func(f *billing.Function) {
		f.Invocations++
		f.Seconds += seconds
		f.GBSeconds += seconds * float64(memoryMB) / 1024
		if failed {
			f.LogBytes += failureLog
		}
	})
}

// failureLog is about what Lambda itself logs for an invocation that failed: the events
// platform.runtimeDone and platform.report, as the Telemetry API has them ("Lambda Telemetry
// API Event schema reference"), with eventBytes for each.
const failureLog = 800

// eventBytes is what CloudWatch counts for an event in addition to its text.
const eventBytes = 26

// Log returns a writer that counts the lines that a function logs, and passes them on.
func (m *Meter) Log(function string, to io.Writer) io.Writer { return logWriter{m, function, to} }

type logWriter struct {
	m        *Meter
	function string
	to       io.Writer
}

func (l logWriter) Write(p []byte) (int, error) {
	text := bytes.TrimPrefix(p, []byte(l.function+": ")) // which the local cloud puts before a line
	size := len(text) + eventBytes*bytes.Count(text, []byte("\n"))
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
