// Package lambdart runs a Lambda function's bootstrap binary on this machine
// as AWS does: processes that are started on demand, each with one event at a
// time, fed through the Lambda Runtime API. It does not limit memory or CPU,
// and it has neither extensions nor response streaming.
package lambdart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// What callers of Invoke branch on.
var (
	ErrThrottled = errors.New("too many invocations at once") // the context ended before a process was free
	ErrStopped   = errors.New("function is stopped")
)

// FunctionError is what Lambda answers when a function fails, in its own code
// or by running out of time or out of life.
type FunctionError struct {
	Type    string
	Message string
	Payload []byte // the JSON that AWS would answer with
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

const (
	initTimeout = 10 * time.Second       // as AWS has it, from the start of a process to its first request
	stopGrace   = 300 * time.Millisecond // from SIGTERM to SIGKILL, as AWS has it for an extension
)

// Config says what to run. Zero values mean the defaults of Lambda.
type Config struct {
	Name        string        // of the function
	Binary      string        // path of its bootstrap
	Env         []string      // what it finds in its environment, as KEY=value, besides what AWS sets
	Timeout     time.Duration // of one invocation; default 3 s
	MemoryMB    int           // told to the function only; default 128
	Concurrency int           // processes at most; default 1
	Log         *slog.Logger  // a line per invocation; default slog.Default()

	// Invoked, unless nil, is told how long each invocation took, with the
	// start of the process if it needed one: what AWS charges for.
	Invoked func(took time.Duration)

	Output io.Writer // what the processes print, by whole lines; default none
}

// Function is one running function. Many goroutines may use it at once.
type Function struct {
	cfg      Config
	address  string // host:port of its Runtime API
	server   *http.Server
	output   *sharedWriter
	slots    chan struct{} // one element per invocation; its capacity is the concurrency
	stopping chan struct{} // closed by Stop
	stop     sync.Once
	living   sync.WaitGroup // processes
	running  sync.WaitGroup // invocations and the server

	mu        sync.Mutex // guards what follows, and the same in each process
	stopped   bool
	started   int                 // processes so far, for their ids
	processes map[string]*process // living ones, by id
	idle      []*process          // the one used last at the end
}

// New starts the function's Runtime API. Processes are started when they are
// needed. The caller ends it with Stop.
func New(cfg Config) (*Function, error) {
	binary, err := filepath.Abs(cfg.Binary)
	if err != nil {
		return nil, fmt.Errorf("locate %s: %w", cfg.Name, err)
	}
	cfg.Binary = binary
	cfg.Timeout = cmp.Or(cfg.Timeout, 3*time.Second)
	cfg.MemoryMB = cmp.Or(cfg.MemoryMB, 128)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	if cfg.Output == nil {
		cfg.Output = io.Discard
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", cfg.Name, err)
	}
	f := &Function{
		cfg:       cfg,
		address:   listener.Addr().String(),
		slots:     make(chan struct{}, cmp.Or(cfg.Concurrency, 1)),
		stopping:  make(chan struct{}),
		output:    &sharedWriter{w: cfg.Output},
		processes: map[string]*process{},
	}
	f.server = &http.Server{Handler: f.api()}
	f.running.Go(func() { f.server.Serve(listener) }) // ends with Close
	return f, nil
}

// Invoke runs the function with one event and returns its response. It waits
// while as many invocations run as Concurrency allows. When ctx ends, Invoke
// returns; a function that runs goes on to its end, as on AWS.
//
// Errors: *FunctionError; ErrThrottled; ErrStopped; the context's; or that the
// process could not be started.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("invoke %s: %w: %w", f.cfg.Name, ErrThrottled, context.Cause(ctx))
	case <-f.stopping:
		return nil, fmt.Errorf("invoke %s: %w", f.cfg.Name, ErrStopped)
	}
	inv := newInvocation(payload)
	f.mu.Lock()
	if f.stopped {
		f.mu.Unlock()
		return nil, fmt.Errorf("invoke %s: %w", f.cfg.Name, ErrStopped)
	}
	f.running.Go(func() {
		f.run(inv)
		<-f.slots
		close(inv.finished)
	})
	f.mu.Unlock()

	select {
	case <-inv.finished:
		return inv.response, inv.err
	case <-ctx.Done():
		return nil, fmt.Errorf("invoke %s: %w", f.cfg.Name, context.Cause(ctx))
	}
}

// run gives inv to a process, waits for the end and logs it.
func (f *Function) run(inv *invocation) {
	begin, start := time.Now(), "warm"
	p, cold, err := f.handOver(inv)
	if cold {
		start = "cold"
	}
	if err == nil {
		inv.response, err = f.await(p, inv)
	}
	took := time.Since(begin)
	if f.cfg.Invoked != nil {
		f.cfg.Invoked(took)
	}
	log := f.cfg.Log.With("function", f.cfg.Name, "request", inv.id, "duration", took, "start", start)
	if err == nil {
		log.Info("invocation")
		return
	}
	log.Error("invocation", "error", err.Error())
	inv.err = fmt.Errorf("invoke %s: %w", f.cfg.Name, err)
}

// handOver finds or starts a process and waits until it has asked for its next
// event and got inv.
func (f *Function) handOver(inv *invocation) (p *process, cold bool, err error) {
	for {
		p, cold, err = f.take()
		if err != nil {
			return nil, cold, err
		}
		select {
		case p.work <- inv:
			return p, cold, nil
		case <-p.exited:
			if cold { // one that was idle is replaced
				return nil, true, f.initError(p)
			}
		case <-time.After(initTimeout):
			p.kill()
			<-p.exited
			return nil, cold, newFunctionError("Sandbox.Timedout", "no request for an event after %v: %s", initTimeout, p.output.tail())
		}
	}
}

// await waits for the result of inv, which p has got.
func (f *Function) await(p *process, inv *invocation) ([]byte, error) {
	timeout := time.NewTimer(f.cfg.Timeout)
	defer timeout.Stop()
	select {
	case r := <-inv.result:
		f.release(p)
		return r.response, r.err
	case <-p.exited:
	case <-timeout.C:
		p.kill()
		<-p.exited
		return nil, newFunctionError("Sandbox.Timedout", "Task timed out after %.2f seconds", f.cfg.Timeout.Seconds())
	}
	select {
	case r := <-inv.result: // it answered, and then it died
		return r.response, r.err
	default:
		return nil, newFunctionError("Runtime.ExitError", "%s", p.epitaph())
	}
}

// take returns the process that was used last and is idle, or a new one.
func (f *Function) take() (p *process, cold bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, false, ErrStopped
	}
	if n := len(f.idle); n > 0 {
		p, f.idle = f.idle[n-1], f.idle[:n-1]
		p.busy = true
		return p, false, nil
	}
	f.started++
	p = newProcess(f.cfg, f.address, strconv.Itoa(f.started), f.output)
	started := make(chan error)
	f.living.Go(func() { f.supervise(p, started) })
	if err := <-started; err != nil {
		return nil, true, fmt.Errorf("start process: %w", err)
	}
	p.busy = true
	f.processes[p.id] = p
	return p, true, nil
}

// supervise starts p, reports that it did, and waits until p has exited.
func (f *Function) supervise(p *process, started chan<- error) {
	// The kernel ends p with the thread that started it: see sysProcAttr.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.cmd.Wait() // how it ended is in cmd.ProcessState
	p.output.flush()
	f.mu.Lock()
	delete(f.processes, p.id)
	f.idle = slices.DeleteFunc(f.idle, func(q *process) bool { return q == p })
	f.mu.Unlock()
	close(p.exited)
}

// release makes a process that lives idle.
func (f *Function) release(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.busy = false
	if f.processes[p.id] == p {
		f.idle = append(f.idle, p)
	}
}

// Kill kills one process, a busy one if there is any, and reports whether
// there was one at all. It is for chaos tests.
func (f *Function) Kill() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var busy, all []*process
	for _, p := range f.processes {
		all = append(all, p)
		if p.busy {
			busy = append(busy, p)
		}
	}
	if len(busy) > 0 {
		all = busy
	}
	if len(all) == 0 {
		return false
	}
	all[rand.IntN(len(all))].kill()
	return true
}

// Stop ends all processes. Nothing is left of the function when it returns;
// invocations that still ran have failed.
func (f *Function) Stop() {
	f.stop.Do(func() {
		f.mu.Lock()
		f.stopped = true
		close(f.stopping)
		f.mu.Unlock()
		f.signalAll(syscall.SIGTERM)
		impatient := time.AfterFunc(stopGrace, func() { f.signalAll(syscall.SIGKILL) })
		f.living.Wait()
		impatient.Stop()
		f.server.Close() // after the processes, which would complain of it
		f.running.Wait()
	})
}

func (f *Function) signalAll(s syscall.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.processes {
		p.cmd.Process.Signal(s) // fails only if it has exited
	}
}
