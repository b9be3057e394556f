package apigwemu

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/wsclient"
)

// slow is a rate so low that no test sees a second token.
const slow = 1e-6

func TestOneQuotaIsSharedByAllThatComesIn(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{HTTP: only(returns(ok)), Limits: Limits{AccountRate: slow, AccountBurst: 5}})
	c, id := a.open()
	if err := c.Send(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	<-a.messages
	a.post(id, "posted", 200)
	if got := next(t, c); got != "posted" {
		t.Errorf("frame = %q", got)
	}
	a.call("GET", id, "")
	if status, _ := a.http(); status != 200 {
		t.Errorf("HTTP: %d", status)
	}

	// All five are used.
	for _, method := range []string{"POST", "GET", "DELETE"} {
		if resp := a.call(method, id, "lost"); resp.StatusCode != 429 || resp.Header.Get("X-Amzn-ErrorType") != "LimitExceededException" {
			t.Errorf("%s: %d %s", method, resp.StatusCode, resp.Header.Get("X-Amzn-ErrorType"))
		}
	}
	if status, body := a.http(); status != 429 || body != `{"message":"Too Many Requests"}`+"\n" {
		t.Errorf("HTTP: %d %s", status, body)
	}
	_, err := wsclient.DialRaw(t.Context(), a.url(), wsclient.Options{})
	if diff := cmp.Diff(error(&wsclient.RefusedError{Status: 429}), err); diff != "" {
		t.Errorf("handshake (-want +got):\n%s", diff)
	}
	if err := c.Send(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(next(t, c)), &got); err != nil {
		t.Fatal(err)
	}
	if got["message"] != "Too Many Requests" || got["connectionId"] != id || got["requestId"] == "" {
		t.Errorf("frame = %v", got)
	}
	if len(a.messages) > 0 || len(a.connected) > 0 || len(a.Connections()) != 1 {
		t.Error("what was over the quota was handled, or ended the socket")
	}
}

func (a *api) http() (status int, body string) {
	w := httptest.NewRecorder()
	a.HTTP().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Code, w.Body.String()
}

func TestEachThrottleRefusesWhatItIsFor(t *testing.T) {
	t.Parallel()
	type counts struct{ Handshakes, Frames, Posts, Requests int }
	for name, tt := range map[string]struct {
		limits Limits
		want   counts // number that pass, of four each
	}{
		"None":     {Limits{}, counts{4, 4, 4, 4}},
		"Connects": {Limits{ConnectRate: slow, ConnectBurst: 2}, counts{2, 4, 4, 4}},
		"Sockets":  {Limits{SocketRate: slow, SocketBurst: 5}, counts{4, 1, 4, 4}},
		"HTTP":     {Limits{HTTPRate: slow, HTTPBurst: 3}, counts{4, 4, 4, 3}},
		"Account":  {Limits{AccountRate: slow, AccountBurst: 14}, counts{4, 4, 4, 2}},
		"NoLimits": {Limits{AccountRate: -1, ConnectRate: -1, SocketRate: -1, HTTPRate: -1}, counts{4, 4, 4, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{HTTP: only(returns(ok)), Message: function(func(context.Context, []byte) ([]byte, error) { return nil, io.EOF }), Limits: tt.limits})
			var got counts
			var c *wsclient.Raw
			for range 4 {
				if opened, err := wsclient.DialRaw(t.Context(), a.url(), wsclient.Options{}); err == nil {
					got.Handshakes++
					c = opened
					t.Cleanup(func() { opened.Close(1000, "") })
				}
			}
			for range 4 {
				if err := c.Send(t.Context(), "x"); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(next(t, c), "Internal server error") { // it reached the function, which fails
					got.Frames++
				}
			}
			for range 4 {
				if a.call("POST", a.Connections()[0], "x").StatusCode == 200 {
					got.Posts++
				}
			}
			for range 4 {
				if status, _ := a.http(); status == 200 {
					got.Requests++
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("passed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheLimitsAreAWSs(t *testing.T) {
	t.Parallel()
	l := Limits{}.withDefaults()
	got := fmt.Sprint(l.AccountRate, l.AccountBurst, l.ConnectRate, l.SocketRate, l.SocketBurst, l.HTTPRate, l.HTTPBurst)
	if want := "10000 5000 500 3000 1500 500 500"; got != want {
		t.Errorf("limits are %s, want %s", got, want)
	}
}

func TestPostLatencies(t *testing.T) {
	t.Parallel()
	for longer, want := range map[float64]time.Duration{
		1: 5 * time.Millisecond, 0.5: 10 * time.Millisecond, 0.1: 25 * time.Millisecond, 0.01: 80 * time.Millisecond,
		0.001: 300 * time.Millisecond, 0.0001: 1125 * time.Millisecond,
	} {
		if got := latency(longer).Round(time.Microsecond); got != want {
			t.Errorf("1 of %v takes longer than %v, want %v", 1/longer, got, want)
		}
	}
	one, again := NewPostLatency(7), NewPostLatency(7)
	var all []time.Duration
	for range 10_000 {
		d := one()
		if d != again() {
			t.Fatal("equal seeds give other durations")
		}
		all = append(all, d)
	}
	slices.Sort(all)
	if p50, p99 := all[5000], all[9900]; p50 < 9*time.Millisecond || p50 > 11*time.Millisecond || p99 < 65*time.Millisecond || p99 > 100*time.Millisecond {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
}
