package local

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/cloudwatch"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/faults"
	"subwire/scripts/internal/wsclient"
)

// patience bounds the wait for another process. It is not an expectation.
const patience = 60 * time.Second

var binary string // of subwire

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	binary = filepath.Join(dir, "subwire")
	if out, err := exec.Command("go", "build", "-o", binary, "..").CombinedOutput(); err != nil {
		log.Fatalf("build: %v\n%s", err, out)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// start runs the command on free ports until it says that it is running. It returns
// its URLs: HTTP, WebSocket and, with --control, the control API's.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, urls []string) {
	t.Helper()
	cmd, said := begin(t, args...)
	_, said, _ = strings.Cut(said, "GraphQL over HTTP") // the pages come first
	for _, word := range strings.Fields(said) {
		if strings.Contains(word, "://") && len(urls) < 3 {
			urls = append(urls, word)
		}
	}
	return cmd, urls
}

// root returns a folder that looks like the repository with its binaries, as a repository has one
// local cloud at a time.
func root(t *testing.T) string {
	t.Helper()
	here, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err = errors.Join(os.MkdirAll(filepath.Join(here, ".cache", "jars"), 0o755), os.Mkdir(filepath.Join(dir, ".cache"), 0o755),
		os.Symlink(filepath.Join(here, ".cache", "jars"), filepath.Join(dir, ".cache", "jars")),
		os.Symlink(filepath.Join(here, "bin"), filepath.Join(dir, "bin")))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// begin runs the command until it says that it is running. It returns what it said.
func begin(t *testing.T, args ...string) (cmd *exec.Cmd, said string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("looks for child processes in /proc")
	}
	cmd = exec.Command(binary, append([]string{"local", "--root", root(t)}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, unless the test failed
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "curl ") {
			return cmd, said
		}
	}
	t.Fatalf("it ended before it ran:\n%s", stderr.String())
	return nil, ""
}

func get(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// Whoever copies what is printed has placed an order, or written to the chat.
func TestWhatIsPrintedWorks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ app, auth, want string }{
		{"chat", "anonymous", `"postMessage":{"id":"`},
		{"shop", "anonymous", `"status":"PLACED"`},
		{"shop", "jwt", `"status":"PLACED"`},
	} {
		t.Run(tt.app+"/"+tt.auth, func(t *testing.T) {
			t.Parallel()
			_, said := begin(t, "--app", tt.app, "--auth", tt.auth, "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--issuer", "127.0.0.1:0")
			if !strings.Contains(said, "Subwire is running the "+tt.app+".") {
				t.Errorf("it does not name the product: %s", said)
			}
			shell := func(line string) string {
				t.Helper()
				out, err := exec.Command("sh", "-c", line).Output()
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				return strings.TrimSpace(string(out))
			}
			_, curl, _ := strings.Cut(said, "  curl ")
			if tt.auth == "jwt" {
				_, token, _ := strings.Cut(said, "  subwire token ")
				token, _, _ = strings.Cut(token, "\n")
				curl = strings.Replace(curl, "TOKEN", shell(binary+" token "+token), 1)
			}
			if got := shell("curl -s " + curl); !strings.Contains(got, tt.want) {
				t.Errorf("got %s", got)
			}
		})
	}
}

// children lists the processes below pid, from /proc.
func children(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	parents := map[int]int{}
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		// pid (name) state ppid: the name may contain anything, even a ")".
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parents[child], _ = strconv.Atoi(fields[1])
	}
	below := []int{pid}
	for i := 0; i < len(below); i++ {
		for child, parent := range parents {
			if parent == below[i] {
				below = append(below, child)
			}
		}
	}
	return below[1:]
}

func awaitGone(t *testing.T, pids []int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		left := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return syscall.Kill(pid, 0) != nil })
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running: %v", left)
		}
	}
}

func TestNoChildIsLeft(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"AfterCtrlC": syscall.SIGINT, "AfterSIGTERM": syscall.SIGTERM, "AfterSIGKILL": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, urls := start(t, "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--host")
			// A function's process runs as well, and a host.
			if out, err := get(urls[0] + "?query=%7B__typename%7D"); err != nil || !strings.Contains(out, "Query") {
				t.Fatalf("got %s, %v", out, err)
			}
			pids := children(t, cmd.Process.Pid)
			if len(pids) < 4 {
				t.Fatalf("children are %v", pids)
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); (err == nil) != (signal != syscall.SIGKILL) {
				t.Errorf("it ended with %v", err)
			}
			awaitGone(t, pids)
		})
	}
}

// taken returns an address at which somebody listens.
func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestAPortThatWasAskedForIsHadOrRefused(t *testing.T) {
	t.Parallel()
	address := taken(t)
	out, err := exec.Command(binary, "local", "--root", root(t), "--ws", "127.0.0.1:0", "--http", address).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 ||
		!strings.Contains(string(out), "--http: the address cannot be had") || !strings.Contains(string(out), address) {
		t.Errorf("got %v, %s", err, out)
	}
}

func TestADefaultPortIsReplacedByAFreeOne(t *testing.T) {
	t.Parallel()
	address := taken(t)
	cfg, said := cloud.Config{HTTP: address, WS: "127.0.0.1:0"}, strings.Builder{}
	if err := findAddresses(&cfg, pflag.NewFlagSet("", pflag.ContinueOnError), &said); err != nil {
		t.Fatal(err)
	}
	if want := address + " is taken; --http is " + cfg.HTTP + " now\n"; cfg.HTTP == address || said.String() != want {
		t.Errorf("it listens at %s and says %q", cfg.HTTP, &said)
	}
}

func TestARepositoryAndADataFolderHaveOneCloud(t *testing.T) {
	t.Parallel()
	free := []string{"--http", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--data", t.TempDir()}
	cmd, urls := start(t, free...)
	for name, tt := range map[string]struct{ root, want string }{
		"Repository": {cmd.Args[3], "a local cloud runs in this repository already, at " + urls[0] + "; stop it first"},
		"Data":       {root(t), "another local cloud keeps its data in " + free[5]},
	} {
		out, err := exec.Command(binary, append([]string{"local", "--root", tt.root}, free...)...).CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: got %v, %s", name, err, out)
		}
	}
	// One that was killed stands in nobody's way.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	release, err := deployment.Hold(cmd.Args[3])
	if err != nil {
		t.Fatal(err)
	}
	release()
}

func TestCtrlCWhileStartingIsSilent(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	cmd := exec.Command(binary, "local", "--root", root(t), "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for deadline := time.Now().Add(patience); len(pids) == 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		pids = children(t, cmd.Process.Pid)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || said.Len() > 0 {
		t.Errorf("it ended with %v and said %s", err, &said)
	}
	awaitGone(t, pids)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		plan       string
		seed, want uint64
		random     bool
	}{{"", 0, 0, false}, {faults.Full, 7, 7, false}, {faults.Full, 0, 0, true}} {
		cfg := cloud.Config{Seed: tc.seed}
		if err := setFaults(&cfg, tc.plan); err != nil || cfg.Faults.String() != tc.plan {
			t.Errorf("%q is read as %s, %v", tc.plan, cfg.Faults, err)
		}
		if (cfg.Seed != tc.want) != tc.random {
			t.Errorf("%q with seed %d runs with %d", tc.plan, tc.seed, cfg.Seed)
		}
	}
	out, err := exec.Command(binary, "local", "--fault", "past:500@1").CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), `no point "past"`) {
		t.Errorf("a bad plan: %v, %s", err, out)
	}
}

func TestFlagsWithWhichNothingWouldHappen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cfg  cloud.Config
		want string // part of the error; "" for none
	}{
		{cloud.Config{}, ""},
		{cloud.Config{Concurrency: 10, Redelivery: time.Second}, ""},
		{cloud.Config{Concurrency: -10}, "--concurrency is 1 at least"},
		{cloud.Config{Hosts: -1}, "--hosts is 0 at least"},
		{cloud.Config{Canary: 30 * time.Second}, "--canary is in whole minutes"},
		{cloud.Config{Canary: -time.Minute}, "--canary is in whole minutes"},
		{cloud.Config{Canary: time.Minute, Tokens: true}, "--canary has no token"},
		{cloud.Config{Redelivery: -time.Second}, "--redelivery is in whole seconds"},
		{cloud.Config{Redelivery: 1500 * time.Millisecond}, "--redelivery is in whole seconds"},
	} {
		if err := check(tc.cfg); tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%d and %v: %v", tc.cfg.Concurrency, tc.cfg.Redelivery, err)
		}
	}
}

// What --setting gives, the functions get; what has a flag of its own is refused.
func TestSettings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		given, want string
	}{
		{"DIRECT=0", ""}, {"DIRECT=many", "--setting: DIRECT"}, {"NONE=1", "--setting: there is no setting"},
		{"AUTH=jwt", "--setting: AUTH is --auth"}, {"APP=shop", "--setting: APP is --app"},
	} {
		cfg := cloud.Config{HTTP: "127.0.0.1:0", WS: "127.0.0.1:0", Issuer: "127.0.0.1:0"}
		o := options{app: "chat", auth: "anonymous", timing: "local", settings: []string{tc.given}, verbose: true}
		err := o.set(&cfg)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", tc.given, err)
		}
		if tc.want == "" && (cfg.Settings["DIRECT"] != "0" || cfg.Settings["LOG_LEVEL"] != "debug") {
			t.Errorf("%s gives the functions %v", tc.given, cfg.Settings)
		}
	}
}

func TestTiming(t *testing.T) {
	t.Parallel()
	var local, aws cloud.Config
	if err := errors.Join(setTiming(&local, "local"), setTiming(&aws, "aws")); err != nil {
		t.Fatal(err)
	}
	if local.Timing.StreamPoll != 0 || aws.Timing.StreamPoll != 250*time.Millisecond {
		t.Errorf("shards are read every %v, with aws every %v", local.Timing.StreamPoll, aws.Timing.StreamPoll)
	}
	if setTiming(&aws, "gcp") == nil {
		t.Error("any profile will do")
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	lines := slog.New(newLineHandler(&out, true))
	lines.With("function", "sender").Info("invocation", "duration", 12345678*time.Nanosecond, "start", "warm")
	lines.Warn("no function", "n", 1, "path", "\x1b[2J")
	lines.Debug("not shown")
	want := "sender     invocation duration=12.3ms start=warm\ncloud WARN no function n=1 path=\\u001b[2J\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestTheControlAPI(t *testing.T) {
	t.Parallel()
	_, urls := start(t, "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--control", "127.0.0.1:0")
	put := func(path string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, urls[2]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("PUT %s: status %d, want %d", path, resp.StatusCode, want)
		}
	}
	dial := func() (*wsclient.Client, error) { return wsclient.Dial(t.Context(), urls[1], wsclient.Options{}) }
	c, err := dial()
	for refused := (*wsclient.RefusedError)(nil); errors.As(err, &refused) && refused.Status == http.StatusInternalServerError; {
		c, err = dial() // on a busy machine a process may take longer to start than Lambda allows
	}
	if err != nil {
		t.Fatal(err)
	}
	put("/gateway/down", http.StatusNoContent)
	<-c.Done()
	if closed := (*wsclient.ClosedError)(nil); !errors.As(c.Err(), &closed) || closed.Code != 1006 {
		t.Errorf("the socket ended with %v", c.Err())
	}
	if _, err := dial(); err == nil {
		t.Error("a handshake succeeds while the gateway is down")
	}
	put("/gateway/up", http.StatusNoContent)
	resp, err := http.Get(urls[2] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var report cloudwatch.Report
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil || len(report.Points) == 0 || len(report.Alarms)+len(report.Faults) > 0 {
		t.Errorf("the metrics are %+v, %v", report, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, urls[2]+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "a-page.example:4003" // whose name leads to this machine
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a page gets %v, %v", resp, err)
	}
	put("/functions/message/kill", http.StatusNoContent)
	put("/functions/nobody/kill", http.StatusNotFound)
	if c, err = dial(); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestTheControlAPIIsOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary, "local", "--root", root(t), "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--control", "0.0.0.0:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not a loopback address") {
		t.Errorf("got %v, %s", err, out)
	}
}
