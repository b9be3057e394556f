package lambdart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"subwire/scripts/internal/lineage"
)

// binary is the test function, built once.
var binary string

// A test starts this program again with these, in order to kill it.
const (
	doomedBinary  = "LAMBDART_TEST_BINARY"
	doomedAddress = "LAMBDART_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	if os.Getenv(doomedBinary) != "" {
		runDoomed()
	}
	dir, err := os.MkdirTemp("", "lambdart")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-o", binary, "./testdata/fn")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

type request struct {
	Do   string `json:"do"`
	Text string `json:"text"`
}

type response struct {
	Text      string
	PID       int
	RequestID string
	ARN       string
	Left      int64
	TraceID   string
	Env       []string
}

func start(t *testing.T, cfg Config) *Function {
	t.Helper()
	cfg.Name, cfg.Binary = "fn", binary
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	return f
}

func invoke(ctx context.Context, f *Function, do, text string) (response, error) {
	payload, err := json.Marshal(request{do, text})
	if err != nil {
		return response{}, err
	}
	out, err := f.Invoke(ctx, payload)
	if err != nil {
		return response{}, err
	}
	var r response
	return r, json.Unmarshal(out, &r)
}

func mustInvoke(t *testing.T, f *Function, do, text string) response {
	t.Helper()
	r, err := invoke(t.Context(), f, do, text)
	if err != nil {
		t.Fatalf("%s: %v", do, err)
	}
	return r
}

// functionError checks that err is one with the given type and text.
func functionError(t *testing.T, err error, kind, text string) {
	t.Helper()
	fe, ok := errors.AsType[*FunctionError](err)
	if !ok {
		t.Fatalf("error is %v, want a FunctionError", err)
	}
	if fe.Type != kind || !strings.Contains(fe.Message, text) {
		t.Errorf("error is %q with %q, want %q with %q", fe.Type, fe.Message, kind, text)
	}
	var body struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(fe.Payload, &body); err != nil || body.ErrorType != kind {
		t.Errorf("payload is %s, want one with error type %q", fe.Payload, kind)
	}
}

// ear is where processes connect, so that a test sees them live and die.
type ear struct {
	t *testing.T
	net.Listener
}

func listen(t *testing.T) ear {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return ear{t, l}
}

// accept waits for the next process that connects.
func (e ear) accept() net.Conn {
	e.t.Helper()
	c, err := e.Accept()
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { c.Close() })
	return c
}

// waitForDeath returns when the process at the other end has ended.
func waitForDeath(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("process still lives")
	}
}

type outcome struct {
	response
	err error
}

// hold makes a process work until the connection tells it what to do.
func hold(t *testing.T, f *Function, e ear, do string) (net.Conn, <-chan outcome) {
	t.Helper()
	done := make(chan outcome, 1)
	go func() {
		r, err := invoke(t.Context(), f, do, e.Addr().String())
		done <- outcome{r, err}
	}()
	return e.accept(), done
}

func TestInvokeTellsWhatAWSTells(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Timeout: time.Minute})
	first, second := mustInvoke(t, f, "echo", "a"), mustInvoke(t, f, "echo", "b")
	if first.Text != "a" || second.Text != "b" {
		t.Errorf("echoes are %q and %q", first.Text, second.Text)
	}
	if first.RequestID == second.RequestID || len(first.RequestID) != 36 {
		t.Errorf("request ids are %q and %q, want two UUIDs", first.RequestID, second.RequestID)
	}
	if want := "arn:aws:lambda:us-east-1:000000000000:function:fn"; first.ARN != want {
		t.Errorf("ARN is %s, want %s", first.ARN, want)
	}
	if limit := time.Minute.Milliseconds(); first.Left <= 0 || first.Left > limit {
		t.Errorf("%d ms left of %d", first.Left, limit)
	}
	if !strings.HasPrefix(first.TraceID, "Root=1-") || lineage.Hops(first.TraceID) != 1 {
		t.Errorf("trace id is %q", first.TraceID)
	}
	later, err := invoke(lineage.With(t.Context(), 7), f, "echo", "")
	if err != nil || lineage.Hops(later.TraceID) != 7 {
		t.Errorf("trace id of the seventh invocation is %q, %v", later.TraceID, err)
	}
}

func TestEnvironmentIsThatOfLambda(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Env: []string{"TABLE=t", "AWS_REGION=eu-central-1", "_HANDLER=mine"}, MemoryMB: 512})
	got := map[string]string{}
	for _, pair := range mustInvoke(t, f, "env", "").Env {
		name, value, _ := strings.Cut(pair, "=")
		got[name] = value
	}
	want := map[string]string{
		"TABLE": "t", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "us-east-1",
		"_HANDLER": "bootstrap", "AWS_LAMBDA_RUNTIME_API": f.address + "/1", "AWS_LAMBDA_FUNCTION_NAME": "fn",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "LAMBDA_TASK_ROOT": filepath.Dir(binary),
		"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "TRACE",
		"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "en_US.UTF-8", "TZ": ":UTC", "TMPDIR": os.TempDir(),
	}
	// The runtime client itself sets _X_AMZN_TRACE_ID; exec sets PWD with Dir.
	ours := cmpopts.IgnoreMapEntries(func(name, _ string) bool { return name == "_X_AMZN_TRACE_ID" || name == "PWD" })
	if diff := cmp.Diff(want, got, ours); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestFailuresOfTheFunction(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do, text   string
		timeout    time.Duration
		kind, want string
		survives   bool // whether the process is reused
	}{
		"error":           {"error", "no such chat", time.Minute, "errorString", "no such chat", true},
		"panic":           {"panic", "nil map", time.Minute, "string", "nil map", false},
		"exit":            {"exit", "", time.Minute, "Runtime.ExitError", "Runtime exited without providing a reason", false},
		"large response":  {"large", "", time.Minute, "Function.ResponseSizeTooLarge", "6291456", false},
		"hang until time": {"hang", "", 20 * time.Millisecond, "Sandbox.Timedout", "Task timed out after 0.02 seconds", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, Config{})
			before := mustInvoke(t, f, "echo", "")
			usual := f.cfg.Timeout
			f.cfg.Timeout = tt.timeout
			_, err := invoke(t.Context(), f, tt.do, tt.text)
			functionError(t, err, tt.kind, tt.want)
			f.cfg.Timeout = usual
			after := mustInvoke(t, f, "echo", "")
			if survived := before.PID == after.PID; survived != tt.survives {
				t.Errorf("process used again: %v, want %v", survived, tt.survives)
			}
		})
	}
}

func TestInitFailures(t *testing.T) {
	t.Parallel()
	t.Run("exit is told with the last output", func(t *testing.T) {
		t.Parallel()
		_, err := invoke(t.Context(), start(t, Config{Env: []string{"AT_INIT=exit"}}), "echo", "")
		functionError(t, err, "Runtime.ExitError", "exit status 3: no table, no life")
	})
	t.Run("a reported one is passed on", func(t *testing.T) {
		t.Parallel()
		_, err := invoke(t.Context(), start(t, Config{Env: []string{"AT_INIT=report"}}), "echo", "")
		functionError(t, err, "Config", "no table")
	})
	t.Run("a missing binary is named", func(t *testing.T) {
		t.Parallel()
		f, err := New(Config{Name: "fn", Binary: "no/such/bootstrap", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Stop()
		if _, err := f.Invoke(t.Context(), nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error is %v, want %v", err, os.ErrNotExist)
		}
	})
}

func TestThrottling(t *testing.T) {
	t.Parallel()
	tests := map[string]Config{
		"reserved":      {Reserved: 2},
		"the account's": {Account: NewAccount(2)},
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := listen(t)
			f := start(t, cfg)
			a, doneA := hold(t, f, e, "hold")
			b, doneB := hold(t, f, e, "hold")
			if _, err := invoke(t.Context(), f, "echo", ""); !errors.Is(err, ErrThrottled) {
				t.Errorf("third at once: error is %v, want %v", err, ErrThrottled)
			}
			a.Close()
			first := <-doneA
			if got := mustInvoke(t, f, "echo", ""); got.PID != first.PID {
				t.Errorf("process %d was used, want %d, which became free", got.PID, first.PID)
			}
			b.Close()
			last := <-doneB
			if first.err != nil || last.err != nil {
				t.Fatal(first.err, last.err)
			}
			if first.PID == last.PID {
				t.Error("one process had two events at once")
			}
			if got := mustInvoke(t, f, "echo", ""); got.PID != last.PID {
				t.Errorf("process %d was used, want %d, the one used last", got.PID, last.PID)
			}
		})
	}
}

// TestReservedConcurrencyIsKept for a function whatever the others do, and kept from
// the others.
func TestABlockedFunctionIsThrottled(t *testing.T) {
	t.Parallel()
	refused := 0
	f := start(t, Config{Throttled: func() { refused++ }})
	f.Block(true)
	if _, err := invoke(t.Context(), f, "echo", ""); !errors.Is(err, ErrThrottled) || refused != 1 {
		t.Errorf("error is %v, refused %d", err, refused)
	}
	f.Block(false)
	if _, err := invoke(t.Context(), f, "echo", ""); err != nil || refused != 1 {
		t.Errorf("afterwards: %v, refused %d", err, refused)
	}
}

func TestWhatIsClaimed(t *testing.T) {
	t.Parallel()
	a := NewAccount(300)
	if _, err := a.pool(50); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		a.shared.begin(time.Now())
	}
	a.shared.end()
	if got := a.Claimed(); got != 52 {
		t.Errorf("%d claimed: want what is reserved, in use or not, and what else is in use", got)
	}
}

func TestReservedConcurrencyIsKept(t *testing.T) {
	t.Parallel()
	account, e := NewAccount(102), listen(t)
	keeper := start(t, Config{Account: account, Reserved: 1})
	other := start(t, Config{Account: account})
	if _, err := New(Config{Name: "greedy", Account: account, Reserved: 2}); !errors.Is(err, ErrReserved) {
		t.Errorf("fewer than 100 are left: error is %v, want %v", err, ErrReserved)
	}
	if _, err := New(Config{Name: "fresh", Account: NewAccount(10), Reserved: 1}); !errors.Is(err, ErrReserved) {
		t.Errorf("a fresh account reserves: error is %v, want %v", err, ErrReserved)
	}
	for range 101 {
		account.shared.begin(time.Now())
	}
	if _, err := invoke(t.Context(), other, "echo", ""); !errors.Is(err, ErrThrottled) {
		t.Errorf("no more than 101 are left to others: error is %v, want %v", err, ErrThrottled)
	}
	busy, done := hold(t, keeper, e, "hold")
	if _, err := invoke(t.Context(), keeper, "echo", ""); !errors.Is(err, ErrThrottled) {
		t.Errorf("what is reserved is a bound as well: error is %v, want %v", err, ErrThrottled)
	}
	busy.Close()
	<-done
	account.shared.end()
	mustInvoke(t, other, "echo", "")
}

// TestInvocationsPerSecond: ten for each unit of concurrency.
func TestInvocationsPerSecond(t *testing.T) {
	t.Parallel()
	p, now := newPool(2), time.Now()
	follow := func(now time.Time) (n int) {
		for p.begin(now) {
			p.end()
			n++
		}
		return n
	}
	if first, half, later := follow(now), follow(now.Add(500*time.Millisecond)), follow(now.Add(time.Hour)); first != 20 || half != 10 || later != 20 {
		t.Errorf("%d begin at first, %d after half a second, %d after an hour; want 20, 10 and 20", first, half, later)
	}
}

// TestTheMachineIsNoThrottle: an invocation waits for one of few processes.
func TestTheMachineIsNoThrottle(t *testing.T) {
	t.Parallel()
	e := listen(t)
	f := start(t, Config{Processes: 1})
	a, doneA := hold(t, f, e, "hold")
	second := make(chan outcome, 1)
	go func() {
		r, err := invoke(t.Context(), f, "echo", "")
		second <- outcome{r, err}
	}()
	a.Close()
	first := <-doneA
	if waited := <-second; waited.err != nil || waited.PID != first.PID {
		t.Errorf("the one that waited got process %d, %v; want %d, which became free", waited.PID, waited.err, first.PID)
	}
}

func TestProcessesAreReused(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Processes: 2})
	var mu sync.Mutex
	pids, requests := map[int]bool{}, map[string]bool{}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			r, err := invoke(t.Context(), f, "echo", fmt.Sprint(i))
			if err != nil || r.Text != fmt.Sprint(i) {
				t.Errorf("echo of %d is %q, %v", i, r.Text, err)
			}
			mu.Lock()
			defer mu.Unlock()
			pids[r.PID], requests[r.RequestID] = true, true
		})
	}
	wg.Wait()
	if len(pids) > 2 || len(requests) != 40 {
		t.Errorf("%d processes and %d requests, want at most 2 and 40", len(pids), len(requests))
	}
}

func TestInvokeReturnsWithItsContext(t *testing.T) {
	t.Parallel()
	e := listen(t)
	f := start(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := invoke(ctx, f, "hold", e.Addr().String())
		failed <- err
	}()
	c := e.accept()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) || errors.Is(err, ErrThrottled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
	c.Close() // the function goes on to its end; then there is room again
	mustInvoke(t, f, "echo", "")
}

func TestOutputComesByLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := start(t, Config{Output: &out})
	mustInvoke(t, f, "print", "one\ntwo")
	mustInvoke(t, f, "print", " halves\nlast")
	f.Stop()
	if want := "fn: one\nfn: two halves\nfn: last\n"; out.String() != want {
		t.Errorf("output is %q, want %q", out.String(), want)
	}
}

func TestEveryInvocationIsLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var times []time.Duration
	f := start(t, Config{Log: slog.New(slog.NewJSONHandler(&out, nil)),
		Invoked: func(i Invocation) { times = append(times, i.Took) }})
	first := mustInvoke(t, f, "echo", "")
	invoke(t.Context(), f, "error", "no such chat")
	f.Stop()
	if len(times) != 2 || times[0] <= 0 || times[1] <= 0 {
		t.Errorf("invocations took %v", times)
	}

	type line struct{ Msg, Level, Function, Request, Start, Error string }
	var got []line
	for text := range strings.Lines(out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	want := []line{
		{"invocation", "INFO", "fn", first.RequestID, "cold", ""},
		{"invocation", "ERROR", "fn", "", "warm", "errorString: no such chat"},
	}
	if len(got) == 2 {
		want[1].Request = got[1].Request
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	e := listen(t)
	f := start(t, Config{})
	if f.Kill() {
		t.Error("killed a process where there is none")
	}
	a, doneA := hold(t, f, e, "hold")
	_, doneB := hold(t, f, e, "hold")
	a.Close()
	idle := <-doneA

	if !f.Kill() {
		t.Error("killed none")
	}
	functionError(t, (<-doneB).err, "Runtime.ExitError", "Runtime exited with error: signal: killed")

	if got := mustInvoke(t, f, "echo", ""); got.PID != idle.PID {
		t.Errorf("process %d was killed, which was idle", idle.PID)
	}
	left := f.idle[0]
	f.Kill()
	<-left.exited
	if fresh := mustInvoke(t, f, "echo", ""); fresh.PID == idle.PID {
		t.Error("a dead process was used")
	}
}

// another is the test function as another release.
func another(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.Symlink(binary, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// released is the folder of the release that serves an event.
func released(t *testing.T, f *Function) string {
	t.Helper()
	for _, pair := range mustInvoke(t, f, "env", "").Env {
		if root, ok := strings.CutPrefix(pair, "LAMBDA_TASK_ROOT="); ok {
			return root
		}
	}
	t.Fatal("no LAMBDA_TASK_ROOT")
	return ""
}

func TestANewReleaseTakesOverWhileTheOldOneFinishes(t *testing.T) {
	t.Parallel()
	e := listen(t)
	f := start(t, Config{})
	busy, done := hold(t, f, e, "hold")
	mustInvoke(t, f, "dial", e.Addr().String())
	idle := e.accept()
	next := another(t)
	if err := f.Shift(next, 1); err != nil {
		t.Fatal(err)
	}
	waitForDeath(t, idle)
	if got := released(t, f); got != filepath.Dir(next) {
		t.Errorf("after the shift %s serves", got)
	}
	busy.Close() // lets it answer
	if out := <-done; out.err != nil {
		t.Errorf("an event of the old release failed: %v", out.err)
	}
	if got := released(t, f); got != filepath.Dir(next) {
		t.Errorf("the old release serves again: %s", got)
	}
}

func TestAShareOfTheInvocationsIsShifted(t *testing.T) {
	t.Parallel()
	f := start(t, Config{})
	next := another(t)
	count := func(share float64) (of int) {
		if err := f.Shift(next, share); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if released(t, f) == filepath.Dir(next) {
				of++
			}
		}
		return of
	}
	if n := count(0.5); n < 10 || n > 90 { // 8 standard deviations
		t.Errorf("a half is %d of 100", n)
	}
	if n := count(0); n != 0 {
		t.Errorf("taken back it serves %d of 100", n)
	}
	if n := count(1); n != 100 {
		t.Errorf("all are %d of 100", n)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do    string // by the busy process
		grace time.Duration
		end   string
	}{
		"by SIGTERM":              {"hold", time.Hour, "terminated"},
		"even what is deaf to it": {"deaf", stopGrace, "killed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := listen(t)
			f := start(t, Config{})
			f.grace = tt.grace
			busy, done := hold(t, f, e, tt.do)
			mustInvoke(t, f, "dial", e.Addr().String())
			idle := e.accept()

			f.Stop()
			for _, c := range []net.Conn{busy, idle} {
				waitForDeath(t, c)
			}
			functionError(t, (<-done).err, "Runtime.ExitError", tt.end)
			if _, err := invoke(t.Context(), f, "echo", ""); !errors.Is(err, ErrStopped) {
				t.Errorf("after Stop: error is %v, want %v", err, ErrStopped)
			}
			if n := len(f.processes) + len(f.idle); n != 0 {
				t.Errorf("%d processes are still known", n)
			}
		})
	}
}

// TestNoProcessOutlivesUs kills a program with an idle process and a busy one.
func TestNoProcessOutlivesUs(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tie the life of a process to ours")
	}
	e := listen(t)
	doomed := exec.Command(os.Args[0])
	doomed.Env = append(os.Environ(), doomedBinary+"="+binary, doomedAddress+"="+e.Addr().String())
	if err := doomed.Start(); err != nil {
		t.Fatal(err)
	}
	defer doomed.Process.Kill()
	first, second := e.accept(), e.accept()
	doomed.Process.Kill()
	doomed.Wait()
	waitForDeath(t, first)
	waitForDeath(t, second)
}

func runDoomed() {
	f, err := New(Config{Name: "doomed", Binary: os.Getenv(doomedBinary), Timeout: time.Minute})
	if err != nil {
		panic(err)
	}
	go invoke(context.Background(), f, "hold", os.Getenv(doomedAddress))
	invoke(context.Background(), f, "dial", os.Getenv(doomedAddress))
	time.Sleep(time.Minute) // it is killed long before
	os.Exit(1)
}

func TestLineWriter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &lineWriter{to: &out, prefix: "> "}
	for _, part := range []string{"a", "b\nc\x1b[2J\n", "\n", strings.Repeat("x", maxLineBytes), "y"} {
		io.WriteString(l, part)
	}
	l.flush()
	l.flush()
	want := "> ab\n> c\\u001b[2J\n> \n> " + strings.Repeat("x", maxLineBytes) + "\n> y\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	for i := range 2 * tailLines {
		fmt.Fprintln(l, i)
	}
	if got := strings.Split(l.tail(), "\n"); len(got) != tailLines || got[0] != "10" {
		t.Errorf("tail is %q", got)
	}
}
