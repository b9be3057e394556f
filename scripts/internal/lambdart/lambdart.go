// Package lambdart runs a Lambda function's bootstrap binary on this machine
// as AWS does: processes that are started on demand, each with one event at a
// time, fed through the Lambda Runtime API. It does not limit memory, nor how
// fast environments are added (1,000 in 10 s), and it has neither extensions nor
// response streaming.
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

	"subwire/scripts/internal/lineage"
)

// What callers of Invoke branch on.
var (
	ErrThrottled = errors.New("too many invocations") // TooManyRequestsException, 429
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
	Name     string        // of the function
	Binary   string        // path of its bootstrap
	Env      []string      // what it finds in its environment, as KEY=value, besides what AWS sets
	Timeout  time.Duration // of one invocation; default 3 s
	MemoryMB int           // told to the function, and see LimitCPU; default 128
	Account  *Account      // whose concurrency it uses; default one of its own
	Reserved int           // of that concurrency, which also bounds the function; 0 to share what nobody has reserved
	Log      *slog.Logger  // a line per invocation; default slog.Default()

	// Processes bounds this machine, where AWS has no bound: an invocation that
	// finds as many at work waits for one, as in a start that takes longer. It is
	// not throttled. Default no bound.
	Processes int

	Freeze    bool                 // whether a process is stopped while it has no event; on Linux only
	LimitCPU  bool                 // whether a process has CPU in proportion to MemoryMB, likewise
	ColdStart func() time.Duration // how much longer the start of a process takes than it does here; default nothing

	// Invoked, unless nil, is called with how long each invocation took, with the
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
	pool     *pool         // of concurrency
	machine  chan struct{} // one element per process at work, up to Processes; nil for no bound
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
	if cfg.Account == nil {
		cfg.Account = NewAccount(0)
	}
	pool, err := cfg.Account.pool(cfg.Reserved)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", cfg.Name, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", cfg.Name, err)
	}
	f := &Function{
		cfg:       cfg,
		address:   listener.Addr().String(),
		pool:      pool,
		stopping:  make(chan struct{}),
		output:    &sharedWriter{w: cfg.Output},
		processes: map[string]*process{},
	}
	if cfg.Processes > 0 {
		f.machine = make(chan struct{}, cfg.Processes)
	}
	f.server = &http.Server{Handler: f.api()}
	f.running.Go(func() { f.server.Serve(listener) }) // ends with Close
	return f, nil
}

// Invoke runs the function with one event and returns its response. When as many
// invocations run as the function or the account may have, or too many have
// begun within a second, it is throttled at once ("Understanding Lambda function
// scaling"). The context says which invocation of a chain it is (see package
// lineage). When ctx ends, Invoke returns; a function that runs goes on to its
// end, as on AWS.
//
// Errors: *FunctionError; ErrThrottled; ErrStopped; the context's; or that the
// process could not be started.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	inv := newInvocation(payload, lineage.Of(ctx))
	if err := f.begin(inv); err != nil {
		return nil, fmt.Errorf("invoke %s: %w", f.cfg.Name, err)
	}
	select {
	case <-inv.finished:
		return inv.response, inv.err
	case <-ctx.Done():
		return nil, fmt.Errorf("invoke %s: %w", f.cfg.Name, context.Cause(ctx))
	}
}

// begin lets inv run, if the concurrency allows it.
func (f *Function) begin(inv *invocation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return ErrStopped
	}
	if !f.pool.begin(time.Now()) {
		return ErrThrottled
	}
	f.running.Go(func() {
		f.run(inv)
		f.pool.end()
		close(inv.finished)
	})
	return nil
}

// run gives inv to a process, waits for the end and logs it.
func (f *Function) run(inv *invocation) {
	if f.machine != nil {
		select {
		case f.machine <- struct{}{}:
			defer func() { <-f.machine }()
		case <-f.stopping:
			inv.err = fmt.Errorf("invoke %s: %w", f.cfg.Name, ErrStopped)
			return
		}
	}
	begin, start := time.Now(), "warm"
	p, cold, err := f.handOver(inv)
	if cold {
		start = "cold"
	}
	if err == nil {
		inv.response, err = f.finish(p, inv)
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

// finish waits for the result of inv, which p has got.
func (f *Function) finish(p *process, inv *invocation) ([]byte, error) {
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
	if p, err := f.takeIdle(); p != nil || err != nil {
		return p, false, err
	}
	if f.cfg.ColdStart != nil {
		select {
		case <-time.After(f.cfg.ColdStart()):
		case <-f.stopping:
			return nil, true, ErrStopped
		}
	}
	p, err = f.start()
	return p, true, err
}

// takeIdle returns nil when no process is idle.
func (f *Function) takeIdle() (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, ErrStopped
	}
	n := len(f.idle)
	if n == 0 {
		return nil, nil
	}
	p := f.idle[n-1]
	f.idle = f.idle[:n-1]
	p.busy = true
	return p, nil
}

// start starts a process, which is busy.
func (f *Function) start() (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, ErrStopped
	}
	f.started++
	p := newProcess(f.cfg, f.address, strconv.Itoa(f.started), f.output)
	started := make(chan error)
	f.living.Go(func() { f.supervise(p, started) })
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	if f.cfg.LimitCPU {
		f.living.Go(func() { f.govern(p) })
	}
	p.busy = true
	f.processes[p.id] = p
	return p, nil
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
		p.release()
	}
}
