package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/meter"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/topology"
)

// The promise of docs/cost.md: an idle socket of subwire-client.
func TestAnIdleSocketCostsAtMost(t *testing.T) {
	t.Parallel()
	r, err := (&idle{model: typical(), prices: billing.USEast1()}).measure(t.Context(), input{})
	if err != nil {
		t.Fatal(err)
	}
	table := r.Find(idleTitle)
	ours, before := table.Value("a heartbeat every 8:45", "open"), table.Value("a ping every 2 min, to a function", "open")
	if ours > 0.016 || ours < 0.0108 || before < 3*ours {
		t.Errorf("an open socket is $%v a month, it was $%v", ours, before)
	}
	for _, row := range table.Rows {
		if free := table.Value(row.Label, "functions") == 0; free == strings.HasSuffix(row.Label, "function") {
			t.Errorf("%s: functions cost $%v", row.Label, table.Value(row.Label, "functions"))
		}
	}
}

// What sentences say of an open socket's price is the model's.
func TestTheDocumentsHaveThePriceOfASocket(t *testing.T) {
	t.Parallel()
	prices := billing.USEast1()
	r, err := (&idle{model: typical(), prices: prices}).measure(t.Context(), input{})
	if err != nil {
		t.Fatal(err)
	}
	ours := func(column string) float64 { return r.Find(idleTitle).Value("a heartbeat every 8:45", column) }
	const asks = 60 // an hour, by a page that is visible: a ping and its pong
	for document, texts := range map[string][]string{
		"README.md": {
			fmt.Sprintf("| a million minutes of open sockets | $%.2f, and $%.2f for heartbeats | $%.2f |",
				prices.ConnectionMinute.Of(1e6), ours("messages")/month.Minutes()*1e6, prices.AppSyncMinute.Of(1e6)),
			fmt.Sprintf("[$%.3f a month](docs/cost.md#an-idle-socket)", ours("open")),
		},
		"docs/cost.md": {
			fmt.Sprintf("$%.3f a month, one subscription included", ours("connecting")),
			fmt.Sprintf("AppSync charges for the minutes alone: $%.4f.", prices.AppSyncMinute.Of(month.Minutes())),
			fmt.Sprintf("at most $%.5f for each hour in which it is visible", prices.Message.Of(2*asks)),
		},
	} {
		page, err := os.ReadFile("../../" + document)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(string(page), text) {
				t.Errorf("%s does not say %q", document, text)
			}
		}
	}
}

// noFunction is an integration that no message may reach.
type noFunction struct{ t *testing.T }

func (n noFunction) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	if strings.Contains(string(payload), `"MESSAGE"`) {
		n.t.Errorf("a function got %s", payload)
	}
	return []byte(`{"statusCode":200}`), nil
}

// The model and the meter count the same of what keeps a socket open.
func TestTheMeterCountsHeartbeatsLikeTheModel(t *testing.T) {
	t.Parallel()
	const times = 3
	for _, k := range []keeping{heartbeats, pings(time.Minute)} {
		m := meter.New("")
		none := noFunction{t}
		g := apigwemu.New(apigwemu.Config{Connect: none, Message: none, Disconnect: none, Mocks: topology.Mocks, Usage: m.Gateway()})
		server := httptest.NewServer(g.WebSocket())
		raw, err := wsclient.DialRaw(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), wsclient.Options{Subprotocols: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		for range times {
			if err := raw.Send(t.Context(), `{"type":"`+k.sends+`"}`); err != nil {
				t.Fatal(err)
			}
		}
		raw.Close(1000, "")
		if err := g.Close(t.Context()); err != nil { // when all has been handled
			t.Error(err)
		}
		server.Close()
		got := m.Usage()
		got.Gateway.ConnectionMinutes, got.Gateway.SentBytes = 0, 0
		want := timed(4).kept(k).Times(times).Plus(billing.Usage{})
		if diff := cmp.Diff(want.Gateway, got.Gateway); diff != "" || len(got.Functions) > 0 {
			t.Errorf("%s: the meter differs (-model +meter):\n%s and %v", k.sends, diff, got.Functions)
		}
	}
}

// The model has the client's own times.
func TestTheModelsHeartbeatsAreTheClients(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../shared/js/resume.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"idle = 600_000, life = 7_200_000", "const heartbeat = 0.875 * idle,", "life * (5 / 6 + Math.random() / 8)"} {
		if !strings.Contains(string(source), line) {
			t.Errorf("resume.mjs has no %q", line)
		}
	}
	mean := topology.ConnectionLimit*5/6 + topology.ConnectionLimit/16
	if heartbeats.every != topology.IdleLimit*7/8 || heartbeats.life != mean {
		t.Errorf("the model has %+v", heartbeats)
	}
}

// 100,000 sockets that began together: the herd, and its end.
func TestLeavingASocketBeforeItIsCutPreventsAHerd(t *testing.T) {
	t.Parallel()
	s := &storm{clients: 100_000, connects: 500}
	var r report.Report
	r.Tables = append(r.Tables, s.herd(1))
	table := r.Find(herdTitle)
	if got := table.Value("cut after 2 hours", "refused"); got < 100_000 {
		t.Errorf("cut sockets are refused %v times", got)
	}
	const left = "left before"
	if refused, most := table.Value(left, "refused"), table.Value(left, "attempts/s, at most"); refused != 0 || most > 250 {
		t.Errorf("of those who leave, %v are refused; at most %v a second come", refused, most)
	}
	if got := table.Value(left, "longest without, s"); got != 0 {
		t.Errorf("one is without a socket for %v s", got)
	}
}
