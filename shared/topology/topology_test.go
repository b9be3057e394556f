package topology

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQueues(t *testing.T) {
	t.Parallel()
	byName := map[string]Queue{}
	for _, q := range Queues() {
		if dead, listed := byName[q.DeadLetters]; q.DeadLetters != "" && (!listed || dead.FIFO != q.FIFO) {
			t.Errorf("%s: its dead letters %q are not listed before it, or not of its kind", q.Name, q.DeadLetters)
		}
		if q.FIFO != strings.HasSuffix(q.Name, ".fifo") {
			t.Errorf("%s: only a FIFO queue's name ends in .fifo, and it must", q.Name)
		}
		byName[q.Name] = q
	}
	for _, m := range QueueMappings() {
		if byName[m.Queue.Name].Visibility < 6*m.Function.Timeout {
			t.Errorf("%s: visibility is less than six times the time-out of %s", m.Queue.Name, m.Function.Name)
		}
		if m.Queue.FIFO && m.BatchSize > 10 {
			t.Errorf("%s: a FIFO batch has 10 messages at most", m.Queue.Name)
		}
	}
}

func TestEveryEnvironmentVariableHasOneMeaning(t *testing.T) {
	t.Parallel()
	meaning := map[string]string{CallbackEnv: "callback", WebSocketEnv: "websocket"}
	add := func(env, what string) {
		if before, taken := meaning[env]; taken && before != what {
			t.Errorf("%s means %s and %s", env, before, what)
		}
		meaning[env] = what
	}
	for _, table := range shop.AllTables() {
		add(table.Env(), "table "+table.Name)
	}
	for _, f := range Functions() {
		for _, q := range f.Queues {
			if q.Env == "" {
				t.Errorf("%s is given %s, which has no variable", f.Name, q.Name)
			}
			add(q.Env, "queue "+q.Name)
		}
		for _, s := range f.Settings() {
			add(s.Env, "setting "+s.Env)
		}
	}
}

func TestASubscriptionOutlivesItsSocket(t *testing.T) {
	t.Parallel()
	if ConnectionTTL <= ConnectionLimit {
		t.Error("rows expire while their socket may be open")
	}
	if BatchBytes >= 64<<10 {
		t.Error("a batch costs more than one SQS request")
	}
	for key, f := range Routes {
		if f.Timeout >= 29*time.Second {
			t.Errorf("%s: %s may take longer than the gateway waits", key, f.Name)
		}
	}
}

// With more than one invocation per shard at a time, Lambda keeps only the order of an
// item, and a topic may have many ("Using AWS Lambda with Amazon DynamoDB").
func TestTheStreamKeepsItsOrderAndOutlastsAnIncident(t *testing.T) {
	t.Parallel()
	m := TableStream
	if m.Parallelization != 1 {
		t.Errorf("%d invocations per shard at once", m.Parallelization)
	}
	if m.MaxRetries >= 0 {
		t.Errorf("a record is given up after %d retries, which an incident uses up in minutes", m.MaxRetries)
	}
	const kept = 24 * time.Hour // by the stream
	if m.MaxAge < time.Hour || m.MaxAge > kept-12*time.Hour {
		t.Errorf("a record is given up after %s: too early for an incident, or too late to read it again", m.MaxAge)
	}
	if !slices.ContainsFunc(m.Function.Queues, func(q Queue) bool { return q == m.OnFailure }) {
		t.Errorf("%s cannot park a record", m.Function.Name)
	}
	if m.Function.Reserved == 0 {
		t.Errorf("%s can be starved", m.Function.Name)
	}
}

func TestABatchWaitsForAnHour(t *testing.T) {
	t.Parallel()
	for _, q := range []Queue{Fanout, Retries} {
		if wait := time.Duration(q.MaxReceives) * q.Visibility; wait < time.Hour || wait > q.Retention {
			t.Errorf("%s: given up after %s", q.Name, wait)
		}
	}
}

// What the gateway answers leaves most of the stage to frames that functions handle.
func TestPingsAndHeartbeatsLeaveRoomForFrames(t *testing.T) {
	t.Parallel()
	rate := 0
	for key, m := range Mocks {
		if _, taken := Routes[key]; taken || m.Rate < 1 || m.Burst < m.Rate {
			t.Errorf("%s is %+v, taken: %t", key, m, taken)
		}
		rate += m.Rate
	}
	if rate > SocketRate/4 {
		t.Errorf("%d of %d messages a second are for them", rate, SocketRate)
	}
	limits, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	pings, heartbeats := Mocks["ping"].Rate, Mocks["pong"].Rate
	says := fmt.Sprintf("at most %d a second, and takes %d heartbeats a second: those of %d,000 sockets with a ping "+
		"every 2 minutes, and of %d,000 with a heartbeat every 8:45", pings, heartbeats, pings*120/1000, heartbeats*525/1000)
	if !strings.Contains(string(limits), says) {
		t.Errorf("docs/limits.md does not say %q", says)
	}
	if got := Mocks["ping"].Answer; got != `{"type":"pong"}` {
		t.Errorf("a ping is answered by %s", got)
	}
}
