package top

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	emulated "subwire/scripts/internal/cloudwatch"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/figures"
	"subwire/shared/topology"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

var parts = []topology.Part{
	{Name: "posts", Figures: []topology.Figure{
		{Label: "posted", Of: topology.Source{Own: true}, Metric: "Posted", Statistic: "Sum"},
		{Label: "busy", Of: topology.Source{Own: true}, Metric: "Busy", Statistic: "Sum"},
		{Label: "latency p99, ms", Of: topology.Source{Own: true}, Metric: "Latency", Statistic: "p99"}}},
	{Name: "losses", Figures: []topology.Figure{
		{Label: "stream-dead", Of: topology.Source{Queue: "stream-dead"}, Metric: "ApproximateNumberOfMessagesVisible", Statistic: "Maximum"}}},
}

func TestTheLocalCloudsFigures(t *testing.T) {
	t.Parallel()
	w := emulated.New("subwire")
	w.Count(topology.Source{Own: true}, "Posted", noon, 3, 4)
	w.Count(topology.Source{Own: true}, "Latency", noon, 0.25)
	w.Count(topology.Source{Queue: "stream-dead"}, "ApproximateNumberOfMessagesVisible", noon, 0)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(rw).Encode(emulated.Report{At: noon.Add(3 * time.Second), Points: w.Minute(noon), Alarms: []string{"parked"}, Faults: []string{"sender: \x1b[1m"}})
	}))
	defer server.Close()
	s := local{deployment.Deployment{ControlURL: server.URL, App: topology.Product{Name: topology.App.Default}}}
	const text = `the minute of 12:00 UTC

posts       posted 7   latency p99, ms 0.2
losses      -

alarms      parked: see "Alarms" in docs/operations.md
CloudWatch would not take a line of sender: \u001b[1m
`
	const object = `{"at":"2026-11-28T12:00:00Z","figures":{"losses":{"stream-dead":0},"posts":{"latency p99, ms":0.25,"posted":7}},` +
		`"alarms":["parked"],"faults":["sender: \u001b[1m"]}` + "\n"
	for asJSON, want := range map[bool]string{false: text, true: object} {
		var out strings.Builder
		if err := run(t.Context(), s, parts, options{once: true, json: asJSON}, &out); err != nil || out.String() != want {
			t.Errorf("%v, got\n%s\nwant\n%s", err, out.String(), want)
		}
	}
	server.Close()
	if err := run(t.Context(), s, parts, options{once: true}, &strings.Builder{}); err == nil {
		t.Error("without a cloud there is no error")
	}
}

// failing looks once, and fails then until the context ends.
type failing struct {
	looks int
	stop  func()
}

func (f *failing) Look(context.Context, []topology.Part) (figures.Look, error) {
	if f.looks++; f.looks == 1 {
		return figures.Look{At: noon}, nil
	}
	if f.looks == 3 {
		f.stop()
	}
	return figures.Look{}, errors.New("throttled")
}

func TestAFailedLookEndsNothing(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out strings.Builder
	if err := run(ctx, &failing{stop: stop}, parts, options{every: time.Millisecond}, &out); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if got := out.String(); strings.Count(got, "12:00 UTC") != 2 || !strings.Contains(got, "the last look failed: throttled") || !strings.HasPrefix(got, "\x1b[H") {
		t.Errorf("showed %q", got)
	}
}
