package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"subwire/scripts/bench/report"
	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

const coldTitle = "Start of a function's process"

func coldCommand() command {
	const about = "each function: process start to first answer, binary size, connections before the first event"
	return command{"cold", about, func(flags *flag.FlagSet) measure {
		starts := flags.Int("starts", 5, "of each function; times are medians")
		return func(ctx context.Context, in input) (report.Report, error) {
			t := report.Table{Title: coldTitle, Key: "function",
				Columns: []string{"ready ms", "answer ms", "together ms", "CPU ms", "connections before ready", "binary MB"}}
			for _, f := range chattest.Product.Functions() {
				row, err := coldRow(ctx, filepath.Join(in.root, "bin", "local", f.Name, "bootstrap"), f, *starts)
				if err != nil {
					return report.Report{}, fmt.Errorf("%s: %w", f.Name, err)
				}
				t.Rows = append(t.Rows, row)
			}
			return report.Report{Settings: report.Settings("starts", *starts), Tables: []report.Table{t}, Notes: []string{
				"Ready is when the process asks for its first event. " +
					"Every endpoint and proxy that it knows counts connections and refuses all that it is asked.",
				"CPU is of the whole process, user and system. " +
					"Lambda gives a function with 256 MB a seventh of a CPU, but a full one while it starts."},
				Plot: &report.Plot{Title: coldTitle, Table: coldTitle, Columns: []string{"ready ms", "answer ms"}, Y: "ms"}}, nil
		}
	}}
}

// start is how one process started.
type start struct {
	ready, answered time.Duration // since the start
	cpu             time.Duration
	early           int64 // connections before it was ready
}

func coldRow(ctx context.Context, binary string, f topology.Function, starts int) (report.Row, error) {
	info, err := os.Stat(binary)
	if err != nil {
		return report.Row{}, fmt.Errorf("%w (scripts/build.sh local builds it)", err)
	}
	columns := make([][]float64, 5)
	for range starts {
		s, err := coldStart(ctx, binary, f)
		if err != nil {
			return report.Row{}, err
		}
		for i, v := range []float64{ms(s.ready), ms(s.answered - s.ready), ms(s.answered), ms(s.cpu), float64(s.early)} {
			columns[i] = append(columns[i], v)
		}
	}
	var medians []float64
	for _, samples := range columns {
		medians = append(medians, report.Median(samples))
	}
	return report.NewRow(f.Name, append(medians, float64(info.Size())/1e6)...), nil
}

// runtimeAPI gives a process one event ("Using the Lambda runtime API for custom
// runtimes" in the Lambda Developer Guide), and notes when things happen.
type runtimeAPI struct {
	event string
	calls *atomic.Int64 // connections to what the process may call

	mu    sync.Mutex // guards the fields below
	begin time.Time
	start start
	done  chan struct{} // closed by the first answer
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch took := time.Since(a.begin); {
	case r.Method == http.MethodPost:
		w.WriteHeader(http.StatusAccepted)
		if a.start.answered == 0 {
			a.start.answered = took
			close(a.done)
		}
	case a.start.ready == 0:
		a.start.ready, a.start.early = took, a.calls.Load()
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
		fmt.Fprint(w, a.event)
	default: // no second event comes: the process is about to be killed
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// coldStart starts the process, gives it an event and ends it.
func coldStart(ctx context.Context, binary string, f topology.Function) (start, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	api := &runtimeAPI{event: firstEvent(f), calls: &atomic.Int64{}, done: make(chan struct{})}
	outside := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
	}))
	outside.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			api.calls.Add(1)
		}
	}
	outside.Start()
	defer outside.Close()
	inside := httptest.NewServer(api)
	defer inside.Close()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = coldEnv(f, inside.Listener.Addr().String(), outside.Listener.Addr().String())
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
	var err error
	select {
	case <-api.done:
		_ = cmd.Process.Kill()
		<-exited
	case <-exited:
		err = errors.Join(ctx.Err(), errors.New("it exited: "+said.String()))
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	api.start.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return api.start, err
}

// coldEnv is the environment of a function that makes all its calls to outside.
func coldEnv(f topology.Function, inside, outside string) []string {
	env := []string{"AWS_LAMBDA_RUNTIME_API=" + inside, "AWS_LAMBDA_FUNCTION_NAME=" + f.Name,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + fmt.Sprint(f.MemoryMB),
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench",
		"AWS_ENDPOINT_URL=http://" + outside, "HTTP_PROXY=http://" + outside, "HTTPS_PROXY=http://" + outside,
		topology.CallbackEnv + "=http://" + outside + "/bench", topology.WebSocketEnv + "=ws://" + outside + "/bench",
		topology.AllowedOrigins.Env + "=https://good.example"}
	for _, t := range f.Tables {
		env = append(env, t.Env()+"="+t.Name)
	}
	for _, q := range f.Queues {
		env = append(env, q.Env+"=http://"+outside+"/"+q.Name)
	}
	return env
}

// firstEvent is one that the function can answer alone: its calls would be retried
// for as long as an invocation lasts.
func firstEvent(f topology.Function) string {
	const socket = `"requestContext":{"connectionId":"R1kQaHxMCFIAJgg=",` +
		`"requestTimeEpoch":1795504304123,"connectedAt":1795504302000}`
	switch f.Name {
	case topology.Connect.Name:
		return `{"headers":{"Origin":"https://bad.example"},` + socket + `}`
	case topology.GraphQL.Name:
		return `{"headers":{"content-type":"application/json"},"rawPath":"/graphql",` +
			`"requestContext":{"http":{"method":"POST","path":"/graphql"}},"body":"{\"query\":\"{ __typename }\"}"}`
	case topology.Stream.Name, topology.Sender.Name, topology.Disconnect.Name:
		return `{"Records":[]}`
	}
	return `{"body":"{\"type\":\"pong\"}",` + socket + `}`
}
