// Package lambdart runs a Lambda function's bootstrap binary on this machine as AWS
// does: processes that start on demand, each with one event at a time, fed through
// the Lambda Runtime API. It limits neither memory nor how fast environments are
// added (1,000 in 10 s), and has no extensions and no response streaming.
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
	"subwire/shared/trace"
)

// Errors that callers of Invoke distinguish.
var (
	ErrThrottled = errors.New("too many invocations") // TooManyRequestsException, 429
	ErrStopped   = errors.New("function is stopped")
)

// FunctionError is Lambda's answer when a function fails, by its own code, its
// time-out or the death of its process.
type FunctionError struct {
	Type    string
	Message string
	Payload []byte // the JSON that AWS would answer
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

const (
	initTimeout = 10 * time.Second       // AWS's, from the start of a process to its first request
	stopGrace   = 300 * time.Millisecond // from SIGTERM to SIGKILL; AWS's for an extension
)

// Config says what to run. Zero values mean Lambda's defaults.
type Config struct {
	Name     string        // of the function
	Physical string        // AWS_LAMBDA_FUNCTION_NAME; default Name
	Binary   string        // path of its bootstrap
	Env      []string      // its environment, as KEY=value, in addition to what AWS sets
	Timeout  time.Duration // of one invocation; default 3 s
	MemoryMB int           // shown to the function, see also LimitCPU; default 128
	Account  *Account      // the concurrency it uses; default one of its own
	Reserved int           // of that concurrency, also the function's limit; 0 to share the unreserved
	Log      *slog.Logger  // a line per invocation; default slog.Default()

	// Processes limits the load on this machine; AWS has no such limit. An invocation
	// that finds this many busy waits for one, as for a slow start. It is not
	// throttled. Default no limit.
	Processes int

	Freeze    bool                 // whether a process is stopped while it has no event; on Linux only
	LimitCPU  bool                 // whether a process has CPU in proportion to MemoryMB; on Linux only
	ColdStart func() time.Duration // how much longer a process takes to start than it does here; default nothing

	// Begun, unless nil, is called before a process gets an event, Invoked once the
	// invocation has ended, and Throttled for each that is refused.
	Begun     func(Invocation)
	Invoked   func(Invocation)
	Throttled func()

	Output io.Writer // the processes' output, in whole lines; default none
}

// Invocation is one event of a function and what came of it. Only the first four fields are
// set when it begins.
type Invocation struct {
	Request  string // id
	Trace    string // id, which the function's requests to AWS carry in their headers
	Payload  []byte // nobody may change it, nor Response
	Begin    time.Time
	Took     time.Duration // including the start of the process if it needed one: what AWS charges for
	Cold     bool          // whether it needed one
	Response []byte
	Err      error // why it failed, if it did
}

// Function is one running function. It is safe for concurrent use.
type Function struct {
	cfg      Config
	address  string // host:port of its Runtime API
	server   *http.Server
	output   *sharedWriter
	pool     *pool         // of concurrency
	machine  chan struct{} // one element per busy process, up to Processes; nil for no limit
	stopping chan struct{} // closed by Stop
	grace    time.Duration // stopGrace, but for tests
	stop     sync.Once
	living   sync.WaitGroup // processes
	running  sync.WaitGroup // invocations and the server

	mu        sync.Mutex // guards the fields below, and the same in each process
	stopped   bool
	live      string              // the binary of the others
	shifted   string              // the binary that a deployment shifts to, or ""
	share     float64             // of the invocations that it gets
	blocked   bool                // see Block
	started   int                 // processes so far, for their ids
	processes map[string]*process // living processes, by id
	idle      []*process          // the last used one comes last
}

// New starts the function's Runtime API. Processes start when they are needed. The
// caller ends it with Stop.
func New(cfg Config) (*Function, error) {
	binary, err := filepath.Abs(cfg.Binary)
	if err != nil {
		return nil, fmt.Errorf("locate %s: %w", cfg.Name, err)
	}
	cfg.Binary = binary
	cfg.Timeout = cmp.Or(cfg.Timeout, 3*time.Second)
	cfg.MemoryMB = cmp.Or(cfg.MemoryMB, 128)
	cfg.Physical = cmp.Or(cfg.Physical, cfg.Name)
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
		live:      cfg.Binary,
		address:   listener.Addr().String(),
		pool:      pool,
		stopping:  make(chan struct{}),
		grace:     stopGrace,
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

// Invoke runs the function with one event and returns its response. It is throttled
// at once if the function or the account has reached its concurrency, or too many
// invocations have begun within a second ("Understanding Lambda function scaling").
// The context holds the invocation's place in its chain (see package lineage). When
// ctx ends, Invoke returns; a running function goes on to its end, as on AWS.
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
	if f.blocked || !f.pool.begin(time.Now()) {
		if f.cfg.Throttled != nil {
			f.cfg.Throttled()
		}
		return ErrThrottled
	}
	f.running.Go(func() {
		f.run(inv)
		f.pool.end()
		close(inv.finished)
	})
	return nil
}

// run gives inv to a process, waits for it to end and logs it.
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
	start := "warm"
	told := Invocation{Request: inv.id, Trace: trace.Root(inv.trace), Payload: inv.payload, Begin: time.Now()}
	if f.cfg.Begun != nil {
		f.cfg.Begun(told)
	}
	p, cold, err := f.handOver(inv)
	if cold {
		start = "cold"
	}
	if err == nil {
		inv.response, err = f.finish(p, inv)
	}
	took := time.Since(told.Begin)
	if f.cfg.Invoked != nil {
		told.Took, told.Cold, told.Response, told.Err = took, cold, inv.response, err
		f.cfg.Invoked(told)
	}
	log := f.cfg.Log.With("function", f.cfg.Name, "request", inv.id, "duration", took, "start", start)
	if err == nil {
		log.Info("invocation")
		return
	}
	log.Error("invocation", "error", err.Error())
	inv.err = fmt.Errorf("invoke %s: %w", f.cfg.Name, err)
}

// handOver finds or starts a process and waits until it has asked for its next event
// and received inv.
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
			if cold { // an idle one is replaced
				return nil, true, f.initError(p)
			}
		case <-time.After(initTimeout):
			p.kill()
			<-p.exited
			return nil, cold, newFunctionError("Sandbox.Timedout", "no request for an event after %v: %s", initTimeout, p.output.tail())
		}
	}
}

// finish waits for the result of inv, which p has received.
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
	case r := <-inv.result: // it answered before it died
		return r.response, r.err
	default:
		return nil, newFunctionError("Runtime.ExitError", "%s", p.epitaph())
	}
}

// take returns the most recently used idle process, or a new one.
func (f *Function) take() (p *process, cold bool, err error) {
	p, binary, err := f.takeIdle()
	if p != nil || err != nil {
		return p, false, err
	}
	if f.cfg.ColdStart != nil {
		select {
		case <-time.After(f.cfg.ColdStart()):
		case <-f.stopping:
			return nil, true, ErrStopped
		}
	}
	p, err = f.start(binary)
	return p, true, err
}

// takeIdle chooses the binary, and returns the most recently used idle process of it, or
// nil.
func (f *Function) takeIdle() (*process, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, "", ErrStopped
	}
	binary := f.live
	if f.shifted != "" && rand.Float64() < f.share {
		binary = f.shifted
	}
	for i, p := range slices.Backward(f.idle) {
		if p.cmd.Path == binary {
			f.idle = slices.Delete(f.idle, i, i+1)
			p.busy = true
			return p, binary, nil
		}
	}
	return nil, binary, nil
}

// Shift gives a share of the invocations to another binary, as an alias does with two
// versions ("Implement Lambda canary deployments using a weighted alias"). With a share of 1
// it gets all, and with 0 none. Processes of a binary that gets none end, busy ones after
// their event. That CodeDeploy and an alias's update let them finish is a guess; on AWS,
// environments live on for a while without events.
func (f *Function) Shift(binary string, share float64) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return fmt.Errorf("shift %s: %w", f.cfg.Name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shifted, f.share = binary, share
	if share == 1 {
		f.live = binary
	}
	if share == 0 || share == 1 {
		f.shifted = ""
	}
	f.idle = slices.DeleteFunc(f.idle, func(p *process) bool {
		if f.serves(p) {
			return false
		}
		p.kill()
		return true
	})
	return nil
}

// serves reports whether the process's binary gets invocations.
func (f *Function) serves(p *process) bool { return p.cmd.Path == f.live || p.cmd.Path == f.shifted }

// start starts a process of the binary and marks it busy.
func (f *Function) start(binary string) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, ErrStopped
	}
	f.started++
	cfg := f.cfg
	cfg.Binary = binary
	p := newProcess(cfg, f.address, strconv.Itoa(f.started), f.output)
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

// supervise starts p, reports that it has, and waits until p has exited.
func (f *Function) supervise(p *process, started chan<- error) {
	// The kernel kills p when the thread that started it ends: see ChildAttr.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.cmd.Wait() // cmd.ProcessState has the result
	p.output.flush()
	f.mu.Lock()
	delete(f.processes, p.id)
	f.idle = slices.DeleteFunc(f.idle, func(q *process) bool { return q == p })
	f.mu.Unlock()
	close(p.exited)
}

// release makes a living process idle, or ends it if its binary gets no more events.
func (f *Function) release(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.busy = false
	if !f.serves(p) {
		p.kill()
		return
	}
	if f.processes[p.id] == p {
		f.idle = append(f.idle, p)
	}
}

// Kill kills one process, a busy one if possible, and reports whether there was one.
// It is for chaos tests.
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

// Processes counts the living processes, and those of them that have an event.
func (f *Function) Processes() (warm, busy int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.processes {
		if p.busy {
			busy++
		}
	}
	return len(f.processes), busy
}

// Block throttles every invocation from now on, or none any more, as a reserved concurrency
// of zero does ("Configuring reserved concurrency for a function").
func (f *Function) Block(blocked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocked = blocked
}

// Stop ends all processes. When it returns, nothing of the function is left;
// invocations still running have failed.
func (f *Function) Stop() {
	f.stop.Do(func() {
		f.mu.Lock()
		f.stopped = true
		close(f.stopping)
		f.mu.Unlock()
		f.signalAll(syscall.SIGTERM)
		impatient := time.AfterFunc(f.grace, func() { f.signalAll(syscall.SIGKILL) })
		f.living.Wait()
		impatient.Stop()
		f.server.Close() // after the processes, which would otherwise complain
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
