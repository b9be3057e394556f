package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/scripts/internal/deployment"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
)

const (
	traceID = "1-5759e988-bd862e3fe1be46a994272793"
	otherID = "1-5759e988-aaaaaaaaaaaaaaaaaaaaaaaa"
)

// logged is a line of the log; its members follow the message.
func logged(ms int, what, members string) string {
	return fmt.Sprintf(`{"time":"2026-11-28T20:00:00.%03dZ","level":"INFO","msg":%q,"function":"f","request":"r%d",%s}`, ms, what, ms, members)
}

func ofTrace(id string) string { return `"trace":"` + id + `"` }

func TestLinesOfAnEvent(t *testing.T) {
	t.Parallel()
	texts := []string{
		logged(9, "late", `"event":"01A",`+ofTrace(traceID)),
		logged(1, "row", ofTrace(traceID)),
		logged(2, "mine", `"event":"01A",`+ofTrace(traceID)),
		logged(3, "second", `"event":"01A/1",`+ofTrace(traceID)),
		logged(4, "newest", `"event":"01A+3",`+ofTrace(traceID)),
		logged(5, "neighbour", `"event":"01B",`+ofTrace(traceID)),
		logged(6, "longer", `"event":"01AB",`+ofTrace(traceID)),
		logged(7, "traceless", `"event":"01A"`+`,"x":1`),
		logged(8, "foreign", ofTrace(otherID)),
		"panic: not JSON", `{"_aws":{},"Posted":1}`, "",
	}
	for name, tc := range map[string]struct {
		q    query
		want string
	}{
		"Trace": {query{traces: []string{traceID}}, "row mine second newest neighbour longer late"},
		"Event": {query{event: "01A"}, "mine second newest traceless late"},
		"Both":  {query{event: "01A", traces: []string{traceID}}, "row mine second newest traceless late"},
		"None":  {query{event: "02"}, ""},
	} {
		var got []string
		for _, l := range matching(texts, tc.q) {
			got = append(got, l.What)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// fake answers a query by its texts, after a look at which it still runs.
type fake struct {
	texts   []string
	status  types.QueryStatus
	queries []string
	groups  []string
	looks   int
}

func (f *fake) StartQuery(_ context.Context, in *cloudwatchlogs.StartQueryInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StartQueryOutput, error) {
	f.queries, f.groups = append(f.queries, *in.QueryString), in.LogGroupNames
	return &cloudwatchlogs.StartQueryOutput{QueryId: aws.String("q")}, nil
}

func (f *fake) GetQueryResults(context.Context, *cloudwatchlogs.GetQueryResultsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetQueryResultsOutput, error) {
	out := &cloudwatchlogs.GetQueryResultsOutput{Status: f.status}
	if f.looks++; f.looks%2 == 1 {
		out.Status = types.QueryStatusRunning
		return out, nil
	}
	for _, text := range f.texts {
		out.Results = append(out.Results, []types.ResultField{{Field: aws.String("@ptr"), Value: aws.String("x")},
			{Field: aws.String("@message"), Value: aws.String(text)}})
	}
	return out, nil
}

func TestTheLogsOfAStackAreSearchedTwice(t *testing.T) {
	t.Parallel()
	f := &fake{status: types.QueryStatusComplete, texts: []string{logged(2, "sent", `"event":"01A",`+ofTrace(traceID)), logged(1, "row", ofTrace(traceID))}}
	found, err := find(t.Context(), insights{f, []string{"g"}, time.Hour, time.Millisecond}, "01A", nil)
	if err != nil || len(found) != 2 || found[0].What != "row" {
		t.Errorf("found %+v, %v", found, err)
	}
	want := []string{`fields @message | filter event like "01A" | sort @timestamp asc`,
		`fields @message | filter trace = "` + traceID + `" or event like "01A" | sort @timestamp asc`}
	if strings.Join(f.queries, "\n") != strings.Join(want, "\n") || len(f.groups) != 1 {
		t.Errorf("asked %q of %q", f.queries, f.groups)
	}
	f.status = types.QueryStatusFailed
	if _, err := find(t.Context(), insights{f, nil, time.Hour, time.Millisecond}, traceID, nil); err == nil || !strings.Contains(err.Error(), "Failed") {
		t.Errorf("a failed query: %v", err)
	}
}

// A row that is not written once is in no line: its trace is in the table.
func TestAnEventIsFoundByItsRow(t *testing.T) {
	t.Parallel()
	f := &fake{status: types.QueryStatusComplete}
	s := insights{f, nil, time.Hour, time.Millisecond}
	_, err := find(t.Context(), s, "order", func() (string, error) { return traceID, nil })
	if err != nil || len(f.queries) != 2 || !strings.Contains(f.queries[1], traceID) {
		t.Errorf("asked %q, %v", f.queries, err)
	}
	if _, err := find(t.Context(), s, "order", func() (string, error) { return "", io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error is %v", err)
	}
}

func TestTheTraceOfARow(t *testing.T) {
	t.Parallel()
	store := memory.New()
	orders := topology.Table{Name: "orders", Key: "id", Stream: true}
	tables := []topology.Table{{Name: "sorted", Key: "id", Sort: "at", Stream: true}, {Name: "silent", Key: "id"}, orders}
	for id, stamp := range map[string]string{"traced": traceID, "plain": "", "hostile": "x"} {
		row := table.Row{"id": &ddb.AttributeValueMemberS{Value: id}}
		table.Stamp(row, stamp, time.Now())
		if err := store.PutRow(t.Context(), orders, row, table.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]string{"traced": traceID, "plain": "", "hostile": "", "nobody": ""} {
		if got, err := traceOfRow(t.Context(), store, tables, id); err != nil || got != want {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
	store.Fault = func(string) memory.Fault { return memory.NotApplied }
	if _, err := traceOfRow(t.Context(), store, tables, "traced"); err == nil {
		t.Error("no error of the store")
	}
}

func TestWhatBecameOfASubscriber(t *testing.T) {
	t.Parallel()
	const c, groups = "TWegAf_YCYcCJ9w=", 4
	group := pubsub.Bucket(c) * groups / pubsub.Buckets
	batch := func(ms, group, attempt int, outcome, others string) string {
		return logged(ms, "batch delivered", fmt.Sprintf(`"range":%d,"attempt":%d,"outcome":{%s},"others":[%s],`, group, attempt, outcome, others)+ofTrace(traceID))
	}
	named := func(outcome, why string) string {
		return fmt.Sprintf(`{"connection":%q,"outcome":%q,"why":%q}`, c, outcome, why)
	}
	for name, tc := range map[string]struct {
		lines []string
		want  string
	}{
		"Delivered":  {[]string{batch(1, group, 0, `"Delivered":2`, "")}, "delivered to if it was subscribed: no line says otherwise"},
		"OtherGroup": {[]string{batch(1, (group+1)%groups, 0, `"Delivered":2`, "")}, "no batch of its group was delivered"},
		"Gone":       {[]string{batch(1, group, 0, `"Gone":1`, named("gone", ""))}, "gone in attempt 0"},
		"Parked":     {[]string{batch(1, group, 0, `"Retried":1`, named("retried", "x")), batch(2, group, 1, `"Parked":1`, named("parked", "status 429"))}, "parked in attempt 1: status 429"},
		"Later": {[]string{batch(1, group, 0, `"Retried":1`, named("retried", "status 429")), batch(2, group, 1, `"Delivered":1`, "")},
			"retried in attempt 0: status 429; a later batch of its group does not name it, and so delivered to it if it had it"},
		"Crowd": {[]string{batch(1, group, 0, `"Delivered":2,"Retried":3`, "")}, "delivered to if it was subscribed, or one of 3 whom the log does not name"},
		"Fault": {[]string{logged(1, "connection not ended", `"connection":"`+c+`","error":"throttled",`+ofTrace(traceID))}, "connection not ended: throttled"},
	} {
		s := newTale(matching(tc.lines, query{traces: []string{traceID}}))
		if got, want := s.of(c, groups), fmt.Sprintf("connection %s, of group %d: %s", c, group, tc.want); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestAnEventSaysWhichListBringsIt(t *testing.T) {
	t.Parallel()
	lines := matching([]string{logged(1, "event joined", `"event":"01A","list":"01C+2",`+ofTrace(traceID))}, query{traces: []string{traceID}})
	if got := newTale(lines).Steps; len(got) != 1 || got[0].Detail != "event 01A, in list 01C+2" {
		t.Errorf("told %+v", got)
	}
}

func TestAStoryIsToldInOrderAndSafely(t *testing.T) {
	t.Parallel()
	lines := matching([]string{
		logged(3, "batch delivered", `"event":"01A","range":1,"attempt":0,"outcome":{"Delivered":2,"Retried":1},"others":[{"connection":"c","outcome":"retried","why":"status 429"}],`+ofTrace(traceID)),
		logged(2, "event sent", `"event":"01A","batches":1,"targets":4,"lag":0,`+ofTrace(traceID)),
		logged(1, "row written", `"table":"t","event":"01A",`+ofTrace(traceID)),
		logged(1, "event announced", `"event":"01A","batches":1,"targets":4,`+ofTrace(traceID)),
		logged(4, "batch parked", `"reason":"\u001b[2J","function":"\u001b[2J","request":"\u001b[2J",`+ofTrace(traceID)),
	}, query{traces: []string{traceID}})
	var out strings.Builder
	if err := newTale(lines).print(&out); err != nil {
		t.Fatal(err)
	}
	const want = `TIME                      FUNCTION  WHAT                                                                                                 REQUEST
2026-11-28 20:00:00.001Z  f         row written      table t, event 01A                                                                  r1
2026-11-28 20:00:00.001Z  f         event announced  event 01A, 1 batches, 4 targets                                                     r1
2026-11-28 20:00:00.002Z  f         event sent       event 01A, 1 batches, 4 targets, 0 ms after the write                               r2
2026-11-28 20:00:00.003Z  f         batch delivered  event 01A, group 1, 2 delivered, 1 to be retried, c retried status 429              r3
2026-11-28 20:00:00.004Z  "\x1b[2J" batch parked    "\x1b[2J"                                                                           "\x1b[2J"

4 targets: 2 delivered, 2 without an outcome yet
`
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if squeeze(out.String()) != squeeze(want) {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestALocalCloudOfAnotherVersion(t *testing.T) {
	t.Parallel()
	if _, err := sourceOf(deployment.Deployment{}, 0); err == nil || !strings.Contains(err.Error(), "make run") {
		t.Errorf("error is %v", err)
	}
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	if _, err := (local{s.URL}).lines(t.Context(), query{}); err == nil {
		t.Error("no error for a control API without a log")
	}
}
