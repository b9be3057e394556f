package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"subwire/scripts/bench/report"
	"subwire/shared/chat"
	"subwire/shared/topology"
)

const coldTitle = "Start of a function's process"

func coldCommand() command {
	return command{"cold", "each function: process start to first answer, binary size, connections before the first event", func(flags *flag.FlagSet) measure {
		root := flags.String("root", ".", "`folder` of the repository, with built functions in it")
		starts := flags.Int("starts", 5, "of each function; times are medians")
		return func(ctx context.Context, _ uint64) (report.Report, error) {
			t := report.Table{Title: coldTitle, Key: "function", Columns: []string{"ready ms", "answer ms", "together ms", "CPU ms", "connections before ready", "binary MB"}}
			for _, f := range chat.Product.Functions() {
				row, err := coldRow(ctx, filepath.Join(*root, "bin", "local", f.Name, "bootstrap"), f, *starts)
				if err != nil {
					return report.Report{}, fmt.Errorf("%s: %w", f.Name, err)
				}
				t.Rows = append(t.Rows, row)
			}
			return report.Report{Settings: []report.Setting{{Name: "starts", Value: *starts}}, Tables: []report.Table{t}, Notes: []string{
				"Ready is when the process asks for its first event. Every endpoint and proxy that it knows counts connections and refuses all that it is asked.",
				"CPU is of the whole process, user and system. Lambda gives a function with 256 MB a seventh of a CPU, but a full one while it starts."},
				Plot: &report.Plot{Title: coldTitle, Table: coldTitle, Columns: []string{"ready ms", "answer ms"}, Y: "ms"}}, nil
		}
	}}
}

type start struct {
	ready, answered time.Duration // since the start
	cpu             time.Duration
	early           int // connections before it was ready
}

func coldRow(ctx context.Context, binary string, f topology.Function, starts int) (report.Row, error) {
	info, err := os.Stat(binary)
	if err != nil {
		return report.Row{}, fmt.Errorf("%w (scripts/build.sh local builds it)", err)
	}
	var ready, answer, together, cpu, early []float64
	for range starts {
		s, err := coldStart(ctx, binary, f)
		if err != nil {
			return report.Row{}, err
		}
		ready = append(ready, ms(s.ready))
		answer = append(answer, ms(s.answered-s.ready))
		together = append(together, ms(s.answered))
		cpu = append(cpu, ms(s.cpu))
		early = append(early, float64(s.early))
	}
	return report.NewRow(f.Name, report.Median(ready), report.Median(answer), report.Median(together), report.Median(cpu),
		report.Median(early), float64(info.Size())/1e6), nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// runtimeAPI gives a process one event ("Using the Lambda runtime API for custom
// runtimes" in the Lambda Developer Guide), and notes when things happen. It also
// stands in for everything that the process may call.
type runtimeAPI struct {
	event string
	calls *atomic.Int64 // connections to what the process may call

	once     sync.Once
	mu       sync.Mutex // guards the fields below
	begin    time.Time
	start    start
	answered chan struct{} // closed by the first answer
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusAccepted)
		a.once.Do(func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.start.answered = time.Since(a.begin)
			close(a.answered)
		})
		return
	}
	a.mu.Lock()
	first := a.start.ready == 0
	if first {
		a.start.ready, a.start.early = time.Since(a.begin), int(a.calls.Load())
	}
	a.mu.Unlock()
	if !first {
		<-r.Context().Done() // no second event comes
		return
	}
	w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
	w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
	fmt.Fprint(w, a.event)
}

// coldStart starts the process, gives it an event and ends it.
func coldStart(ctx context.Context, binary string, f topology.Function) (start, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	calls := &atomic.Int64{}
	outside, err := serveOn(&http.Server{ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			calls.Add(1)
		}
	}, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })})
	if err != nil {
		return start{}, err
	}
	defer outside.Close()
	api := &runtimeAPI{event: firstEvent(f), calls: calls, answered: make(chan struct{})}
	inside, err := serveOn(&http.Server{Handler: api})
	if err != nil {
		return start{}, err
	}
	defer inside.Close()
	cmd := exec.Command(binary)
	cmd.Env = coldEnv(f, inside.Addr, outside.Addr)
	var said strings.Builder
	cmd.Stderr = &said
	api.mu.Lock()
	api.begin = time.Now()
	api.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return start{}, fmt.Errorf("start: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // it was killed
	}()
	select {
	case <-api.answered:
	case <-exited:
		err = errors.New("it exited: " + said.String())
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = cmd.Process.Kill()
	<-exited
	api.mu.Lock()
	defer api.mu.Unlock()
	api.start.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return api.start, err
}

// serveOn serves on a free port of this machine and sets Addr to it.
func serveOn(s *http.Server) (*http.Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.Addr, s.ReadHeaderTimeout = l.Addr().String(), 10*time.Second
	go func() { _ = s.Serve(l) }() // until it is closed
	return s, nil
}

// coldEnv is the environment of a function that makes all its calls to outside.
func coldEnv(f topology.Function, inside, outside string) []string {
	env := []string{"AWS_LAMBDA_RUNTIME_API=" + inside, "AWS_LAMBDA_FUNCTION_NAME=" + f.Name, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + fmt.Sprint(f.MemoryMB),
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench", "AWS_ENDPOINT_URL=http://" + outside,
		"HTTP_PROXY=http://" + outside, "HTTPS_PROXY=http://" + outside}
	for _, t := range f.Tables {
		env = append(env, t.Env()+"="+t.Name)
	}
	for _, q := range f.Queues {
		env = append(env, q.Env+"=http://"+outside+"/"+q.Name)
	}
	if f.Callback {
		env = append(env, topology.CallbackEnv+"=http://"+outside+"/bench")
	}
	if f.WebSocket {
		env = append(env, topology.WebSocketEnv+"=ws://"+outside+"/bench")
	}
	for _, s := range f.Settings() {
		if s == topology.AllowedOrigins.Setting {
			env = append(env, s.Env+"=https://good.example")
		}
	}
	return env
}

// firstEvent is one that the function can answer alone: its calls would be retried
// for as long as an invocation lasts.
func firstEvent(f topology.Function) string {
	const socket = `"requestContext":{"connectionId":"R1kQaHxMCFIAJgg=","requestTimeEpoch":1795504304123,"connectedAt":1795504302000}`
	switch f.Name {
	case topology.Connect.Name:
		return `{"headers":{"Origin":"https://bad.example"},` + socket + `}`
	case topology.GraphQL.Name:
		return `{"headers":{"content-type":"application/json"},"rawPath":"/graphql","requestContext":{"http":{"method":"POST","path":"/graphql"}},"body":"{\"query\":\"{ __typename }\"}"}`
	case topology.Stream.Name, topology.Sender.Name, topology.Disconnect.Name:
		return `{"Records":[]}`
	}
	return `{"body":"{\"type\":\"pong\"}",` + socket + `}`
}
