package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"subwire/scripts/bench/report"
)

// TestMain also serves as the processes that the benchmarks start.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && slices.Contains([]string{serveGateway, servePeer, serveHost, simulateQuota}, os.Args[1]) {
		if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// bench runs a command and returns the report that it wrote to a file.
func bench(t *testing.T, args ...string) report.Report {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	svg := filepath.Join(t.TempDir(), "plot.svg")
	var out strings.Builder
	if err := run(t.Context(), append(args, "-json", file, "-svg", svg), &out); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	for _, table := range r.Tables {
		if len(table.Rows) == 0 || !strings.Contains(out.String(), table.Title) {
			t.Errorf("table %q has %d rows; the text is:\n%s", table.Title, len(table.Rows), out.String())
		}
	}
	if info, err := os.Stat(svg); err != nil || info.Size() < 1000 {
		t.Errorf("the plot: %v", err)
	}
	if wd, err := os.Getwd(); err != nil || strings.Contains(string(raw), wd) {
		t.Errorf("the report names a path of this machine (%v)", err)
	}
	return r
}

func TestPipelineLosesNothingAndItsCountsAddUp(t *testing.T) {
	r := bench(t, "pipeline", "-root", "../..", "-connections", "6", "-operations", "2", "-chats", "2", "-rate", "5", "-duration", "2s")
	counts := r.Find(countsTitle)
	value := func(label string) float64 { return counts.Value(label, "6 subscribers") }
	want := map[string]float64{
		"expected": 3 * value("mutations"), "received": 3 * value("mutations"), "posts": 3 * value("mutations"),
		"events fanned out": value("mutations"), "graphql invocations": value("mutations"),
		"lost": 0, "duplicates": 0, "mutations failed": 0, "invocations failed": 0, "targets retried": 0,
	}
	for label, n := range want {
		if got := value(label); got != n {
			t.Errorf("%s: %v, want %v", label, got, n)
		}
	}
	if value("mutations") < 1 || value("batches") < value("mutations") {
		t.Errorf("counts are %+v", counts)
	}
	if p50, most := r.Find(latencyTitle).Value("p50", "6 subscribers"), r.Find(latencyTitle).Value("max", "6 subscribers"); !(p50 > 0 && p50 <= most) {
		t.Errorf("latencies of %v and %v ms", p50, most)
	}
}

func TestSenderPushesToEveryTarget(t *testing.T) {
	r := bench(t, "sender", "-targets", "50", "-slice", "10ms", "-slices", "1", "-count", "2")
	speed := r.Find(transportsTitle)
	for _, way := range []string{"SDK", "lean"} {
		if v := speed.Value("50", way); !(v > 0) {
			t.Errorf("%s: %v pushes per CPU second", way, v)
		}
	}
	if n := len(speed.Rows[0].Cells[0]); n != 2 {
		t.Errorf("%d samples of 2 repetitions", n)
	}
}

func TestSlowTargetsAreMeasuredAgainstNone(t *testing.T) {
	r := bench(t, "sender", "-targets", "300", "-slow", "1", "-slice", "10ms", "-slices", "1")
	if v := r.Find(slowTitle).Value("none", "% of none"); v != 100 {
		t.Errorf("none is %v %% of itself", v)
	}
}

func TestThePlannerReachesEverySubscriber(t *testing.T) {
	r := bench(t, "plan", "-subscribers", "100,2000", "-operations", "3")
	if v := r.Find(planTitle).Value("2000", "% of rows"); !(v > 0 && v <= 100) {
		t.Errorf("the first batch leaves after %v %% of the rows", v)
	}
	if n := r.Find(filterTitle).Value("1000", "targets"); n != 20 {
		t.Errorf("the filters let %v targets pass, want one in a hundred of 2000", n)
	}
}

func TestNoFunctionCallsAnythingWhileItStarts(t *testing.T) {
	table := bench(t, "cold", "-root", "../..", "-starts", "1").Find(coldTitle)
	for _, row := range table.Rows {
		if v := table.Value(row.Label, "connections before ready"); v != 0 {
			t.Errorf("%s makes %v connections before its first event", row.Label, v)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"Nothing": nil, "Unknown": {"nonsense"}, "UnknownFlag": {"plan", "-nonsense"},
		"NoCount": {"plan", "-count", "0"}, "More": {"plan", "more"}, "NoNumber": {"plan", "-subscribers", "1,x"}} {
		if err := run(context.Background(), args, io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSchedulesAreRandomAndRepeatable(t *testing.T) {
	t.Parallel()
	a, b, c := schedule(50, 10e9, 1), schedule(50, 10e9, 1), schedule(50, 10e9, 2)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error("one seed gives two schedules")
	}
	if cmp.Equal(a, c) {
		t.Error("two seeds give one schedule")
	}
	if n := len(a); n < 400 || n > 600 {
		t.Errorf("%d messages in 10 s at 50 per second", n)
	}
}

func TestDocumentsAreFilled(t *testing.T) {
	t.Parallel()
	one := func(name string) (report.Report, error) {
		if name != "plan" {
			return report.Report{}, errors.New("no such report")
		}
		return report.Report{Command: name, Machine: report.Machine{Go: "go1", Cores: 2, CPU: "A"}, Tables: []report.Table{{
			Title: "Time", Key: "n", Columns: []string{"ms", "MB"}, Rows: []report.Row{report.NewRow("1000", 1.5, 2), report.NewRow("* 5", 3, 4)}}}}, nil
	}
	for name, tc := range map[string]struct{ block, want string }{
		"Report":  {"plan", "```text\nbench plan\n2 cores, A, go1\n\nTime\n      n    ms   MB\n   1000   1.5    2\n    * 5     3    4\n```\n"},
		"Table":   {"plan | Time", "| n | ms | MB |\n|---|---|---|\n| 1,000 | 1.5 | 2 |\n| **5** | 3 | 4 |\n"},
		"Columns": {"plan | Time | MB", "| n | MB |\n|---|---|\n| 1,000 | 2 |\n| **5** | 4 |\n"},
	} {
		want := "a\n<!-- bench " + tc.block + " -->\n" + tc.want + "<!-- end -->\nb\n"
		for _, text := range []string{"a\n<!-- bench " + tc.block + " -->\n<!-- end -->\nb\n", want} {
			if got, err := fill(text, one); err != nil || got != want {
				t.Errorf("%s: got %v\n%s\nwant\n%s", name, err, got, want)
			}
		}
	}
	for name, text := range map[string]string{
		"NoEnd": "<!-- bench plan -->\n", "NoReport": "<!-- bench x -->\n<!-- end -->",
		"NoTable": "<!-- bench plan | Space -->\n<!-- end -->", "NoColumn": "<!-- bench plan | Time | GB -->\n<!-- end -->",
	} {
		if _, err := fill(text, one); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Nobody types the figures of the documents: they are what bench document writes.
func TestTheDocumentsHaveTheFiguresOfTheirReports(t *testing.T) {
	t.Chdir("../..")
	for _, name := range filled {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fill(string(text), readReport); err != nil || got != string(text) {
			t.Errorf("%s is not what bench document makes of it (%v)", name, err)
		}
	}
}

// TestPeersPublishTheSame needs Node.js and npm ci in peers. The command itself
// checks that both post every event once to each subscriber.
func TestPeersPublishTheSame(t *testing.T) {
	r := bench(t, "peers", "-root", "../..", "-subscribers", "3", "-operations", "2", "-events", "2", "-workers", "8")
	table := r.Find(unitsTitle)
	for column, want := range map[string]float64{"posts, Subwire": 3, "posts, peer": 3, "DynamoDB calls, Subwire": 1, "DynamoDB calls, peer": 1,
		"SQS requests, Subwire": 0} {
		if got := table.Value("3", column); got != want {
			t.Errorf("%s: %v, want %v", column, got, want)
		}
	}
	for _, column := range []string{"CPU ms, Subwire", "CPU ms, by the queue", "peer / Subwire"} {
		if got := r.Find(peersTitle).Value("3", column); !(got > 0) {
			t.Errorf("%s: %v", column, got)
		}
	}
}

// TestHostsReachEverySocket needs Node.js and npm ci in peers. The command itself checks
// that no event is lost and none comes twice.
func TestHostsReachEverySocket(t *testing.T) {
	r := bench(t, "hosts", "-root", "../..", "-sockets", "20", "-operations", "3", "-slice", "100ms", "-rate", "1000")
	for title, columns := range map[string][]string{
		hostMemoryTitle:  {"sockets/GB, Subwire", "sockets/GB, peer"},
		hostCPUTitle:     {"pushes/s, Subwire", "pushes/s, peer"},
		hostLatencyTitle: {"p99, Subwire", "p99, peer"},
	} {
		for _, column := range columns {
			if v := r.Find(title).Value("20", column); !(v > 0) {
				t.Errorf("%s, %s: %v", title, column, v)
			}
		}
	}
}

func TestOnlyLargeFramesAreCompressed(t *testing.T) {
	table := bench(t, "deflate", "-sockets", "5", "-text", "100,2000", "-slice", "50ms").Find(deflateTitle)
	for text, packed := range map[string]bool{"100": false, "2000": true} {
		plain, deflated := table.Value(text, "bytes/push"), table.Value(text, "bytes/push, deflate")
		if packed && !(deflated < plain/2) || !packed && !(deflated > 0.9*plain) {
			t.Errorf("a text of %s bytes: %v bytes, compressed %v", text, plain, deflated)
		}
	}
}

// TestAStormIsAsLongAsTheQuotaSays: whoever is refused comes back, and nobody is early.
func TestAStormIsAsLongAsTheQuotaSays(t *testing.T) {
	t.Parallel()
	s := &storm{clients: 2000, connects: 50}
	for name, w := range map[string]wait{"Recommended": recommended, "GraphQLWS": graphQLWS} {
		back := s.run(w, 1)
		if len(back) != s.clients {
			t.Errorf("%s: %d of %d came back", name, len(back), s.clients)
		}
		if !slices.IsSorted(back) {
			t.Errorf("%s: the times are out of order", name)
		}
		for i, at := range back {
			if most := s.connects * (1 + at.Seconds()); float64(i+1) > most+1e-6 {
				t.Fatalf("%s: %d connected within %v", name, i+1, at)
			}
		}
	}
	if free, capped := s.run(graphQLWS, 1), s.run(recommended, 1); capped[1999] >= free[1999] {
		t.Errorf("with waits of up to 30 s the last is back after %v, without a cap after %v", capped[1999], free[1999])
	}
}

func TestAStormWithoutQuotaLastsAsLongAsTheFirstWait(t *testing.T) {
	t.Parallel()
	back := (&storm{clients: 1000, connects: 1e9}).run(recommended, 1)
	if first, last := back[0], back[999]; first < 500*time.Millisecond || last > time.Second {
		t.Errorf("the first is back after %v, the last after %v", first, last)
	}
}

// TestALargeTopicInPartsIsReadForLess: and nothing of it is throttled.
func TestALargeTopicInPartsIsReadForLess(t *testing.T) {
	r := bench(t, "topic", "-root", "../..", "-subscribers", "3000", "-duration", "1s", "-events", "4", "-changes", "8",
		"-subscribes", "20", "-slower", "1")
	table := r.Find("3000 subscribers, read 4 times a second")
	if whole, parts := table.Value("whole", "read units/event"), table.Value("in parts", "read units/event"); !(parts < whole/4) {
		t.Errorf("an event reads %v units, %v in parts", whole, parts)
	}
	for _, label := range []string{"in parts", "in parts, 8 changes a second"} {
		if n := table.Value(label, "throttled"); n != 0 {
			t.Errorf("%s: %v requests are throttled", label, n)
		}
	}
	table = r.Find("20 subscribes a second to one topic")
	if whole, parts := table.Value("whole", "write units/subscribe"), table.Value("in parts", "write units/subscribe"); !(1 <= whole && whole < parts) {
		t.Errorf("a subscribe writes %v units, %v in parts", whole, parts)
	}
}

// Every size is played without API_RATE and with it: the figure before stands beside the one
// after.
func TestTheQuotaIsMeasuredBeforeAndAfter(t *testing.T) {
	r := bench(t, "quota", "-targets", "1,2000", "-quota", "400", "-frames", "10")
	growth := r.Find(quotaGrowth)
	for _, targets := range []string{"1", "2000"} {
		if before, after := growth.Value(targets, "no API_RATE"), growth.Value(targets, "paced"); !(before > 0 && after > 0) {
			t.Errorf("%s targets: %v s before, %v s after", targets, before, after)
		}
	}
	if got, want := growth.Value("2000", "paced"), r.Find(quotaTitle).Value(paced, "s to the last"); got != want {
		t.Errorf("one table says %v s, the other %v", got, want)
	}
}

// TestPacedSendersAreNotRefused: with API_RATE a large topic is delivered nearly as fast as
// the account allows, and next to nothing is refused to it or to clients.
func TestPacedSendersAreNotRefused(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T, rate int) (o quotaOutcome) {
		synctest.Test(t, func(t *testing.T) {
			s := scenario{Topics: 1, Targets: 4000, Rate: rate, Quota: 1000, Frames: 20, Seed: 1}
			var err error
			if o, err = s.run(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		return o
	}
	if o := play(t, 800); o.Last < 3.5 || o.Last > 6 || o.Refused > 1 || o.FramesRefused > 1 || o.Retried > 0 {
		t.Errorf("paced: %+v", o)
	}
	if o := play(t, 0); o.Refused < 10 {
		t.Errorf("unpaced: %+v", o)
	}
}

// TestTheFastWayIsFasterAndInOrder: by the fast way an event takes what the queue and the post
// take and little else, comes once and in its writer's order, and all that the stream sends
// again is dropped.
func TestTheFastWayIsFasterAndInOrder(t *testing.T) {
	t.Parallel()
	s := waysScenario{Chats: 20, Events: 1000, Rate: 0.5, Seed: 1}
	byStream := playWays(t, s)
	s.Fast = true
	fast := playWays(t, s)
	if fast.Again+fast.Late+byStream.Again+byStream.Late > 2*(fast.Retried+byStream.Retried) || fast.Twice != 1000 || byStream.Twice != 0 {
		t.Errorf("by the stream %+v, the fast way %+v", byStream, fast)
	}
	if fast.P50 > byStream.P50/2 || fast.P99 > byStream.P99 {
		t.Errorf("by the stream %+v, the fast way %+v", byStream, fast)
	}
}

// TestTheQueueForgetsAfterFiveMinutes: an event whose stream is later than that comes again, in
// the order of the stream. Nothing is lost meanwhile.
func TestTheQueueForgetsAfterFiveMinutes(t *testing.T) {
	t.Parallel()
	s := waysScenario{Fast: true, Chats: 20, Events: 200, Rate: 0.5, Seed: 1, Outage: 4 * time.Minute}
	if o := playWays(t, s); o.Again > 0 || o.Twice != s.Events || o.Retried > 0 {
		t.Errorf("after 4 minutes %+v", o)
	}
	s.Outage = 6 * time.Minute
	if o := playWays(t, s); o.Again != s.Events || o.Twice > 0 || o.Late > 0 || o.Retried > 0 {
		t.Errorf("after 6 minutes %+v", o)
	}
}

func playWays(t *testing.T, s waysScenario) (o waysOutcome) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		if o, err = s.run(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	return o
}
