package apigwemu

import (
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

type counts struct{ received, sent, requested, opened, closed, bytes atomic.Int64 }

func (c *counts) observer() Observer {
	sized := func(n *atomic.Int64) func(int) {
		return func(size int) {
			n.Add(1)
			c.bytes.Add(int64(size))
		}
	}
	return Observer{Received: sized(&c.received), Sent: sized(&c.sent), Requested: sized(&c.requested),
		Opened: func() { c.opened.Add(1) }, Closed: func() { c.closed.Add(1) }}
}

func TestMetricsAreObserved(t *testing.T) {
	t.Parallel()
	var refused, failed atomic.Int64
	var statuses []int
	a := newAPI(t, Config{HTTP: only(returns(`{"statusCode":500}`)), Message: returns("no answer"), Limits: Limits{URLBytes: 100},
		Usage: Observer{Refused: func() { refused.Add(1) }, Failed: func() { failed.Add(1) },
			Answered: func(status int) { statuses = append(statuses, status) }}})
	for _, path := range []string{"/graphql", "/nothing"} {
		a.HTTP().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", path, nil))
	}
	r := httptest.NewRequest("GET", "/"+strings.Repeat("a", 100), nil)
	r.Header.Set("Upgrade", "websocket")
	a.WebSocket().ServeHTTP(httptest.NewRecorder(), r)
	c, _ := a.open()
	c.Send(t.Context(), "1")
	if _, err := c.Next(t.Context()); err != nil { // it is told
		t.Error(err)
	}
	if want := []int{500, 404}; !slices.Equal(statuses, want) || refused.Load() != 1 || failed.Load() != 1 {
		t.Errorf("answered %v, refused %d, failed %d", statuses, refused.Load(), failed.Load())
	}
}

func TestUsageIsObserved(t *testing.T) {
	t.Parallel()
	var n counts
	a := newAPI(t, Config{HTTP: only(returns(ok)), Usage: n.observer()})
	c, id := a.open()
	c.Send(t.Context(), "12345")
	<-a.messages
	a.post(id, "123", 200)
	a.post("R1kmxc2VNjMCFIA=", "123", 410)
	a.HTTP().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/graphql", strings.NewReader("12")))
	c.Close(1000, "")
	a.ended(id, 1000, "")
	got := [...]int64{n.received.Load(), n.sent.Load(), n.requested.Load(), n.opened.Load(), n.closed.Load(), n.bytes.Load()}
	if want := [...]int64{1, 1, 1, 1, 1, 10}; got != want {
		t.Errorf("observed %v, want %v", got, want)
	}
}
