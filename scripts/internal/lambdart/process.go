package lambdart

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"subwire/scripts/internal/lineage"
)

// region is what the function sees, unless Config.Env says otherwise.
const region = "us-east-1"

// invocation is one event on its way through a process.
type invocation struct {
	id      string
	payload []byte
	trace   string      // its tracing header, with its place in its chain of invocations
	result  chan result // takes the process's one answer

	finished chan struct{} // closed when the fields below are valid
	response []byte
	err      error
}

type result struct {
	response []byte
	err      error
}

func newInvocation(payload []byte, hops int) *invocation {
	var id [16]byte
	rand.Read(id[:])
	return &invocation{
		id:       fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		payload:  payload,
		trace:    traceID(time.Now(), hops),
		result:   make(chan result, 1),
		finished: make(chan struct{}),
	}
}

// process is one execution environment: it handles one event at a time.
type process struct {
	id     string // part of its API's path, which identifies its requests
	cmd    *exec.Cmd
	output *lineWriter
	work   chan *invocation // unbuffered: the process has asked for what is sent
	exited chan struct{}    // closed when it has exited
	begun  chan struct{}    // closed by its first event
	begin  sync.Once
	*holder

	// Guarded by Function.mu.
	busy        bool
	current     *invocation    // to be answered
	initFailure *FunctionError // reported before its first event
}

// newProcess prepares a process. Its cmd starts it.
func newProcess(cfg Config, address, id string, output *sharedWriter) *process {
	p := &process{
		id:     id,
		cmd:    exec.Command(cfg.Binary),
		output: &lineWriter{to: output, prefix: cfg.Name + ": "},
		work:   make(chan *invocation),
		exited: make(chan struct{}),
		begun:  make(chan struct{}),
	}
	p.holder = newHolder(p)
	p.cmd.Dir = filepath.Dir(cfg.Binary)
	p.cmd.Env = environment(cfg, address+"/"+id)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = ChildAttr()
	p.cmd.WaitDelay = stopGrace // for its own children that keep the output open
	return p
}

// Base is what the environment of a process begins with, whatever runs it.
func Base() []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"LANG=en_US.UTF-8",
		"TZ=:UTC",
		"TMPDIR=" + os.TempDir(),
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
	}
}

// environment is the process's environment ("Defined runtime environment variables"
// in the Lambda Developer Guide), without ours. HOME is unset, as on AWS, so that
// nobody's AWS profile is read.
func environment(cfg Config, api string) []string {
	env := Base()
	env = append(env, cfg.Env...)
	// Last, as of equal names the last counts and these are reserved.
	return append(env,
		"_HANDLER=bootstrap",
		"AWS_LAMBDA_RUNTIME_API="+api,
		"AWS_LAMBDA_FUNCTION_NAME="+cfg.Physical,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(cfg.MemoryMB),
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"LAMBDA_TASK_ROOT="+filepath.Dir(cfg.Binary),
		"AWS_LAMBDA_LOG_FORMAT=JSON", // as package infra deploys it
		"AWS_LAMBDA_LOG_LEVEL=TRACE",
	)
}

func (p *process) kill() { p.cmd.Process.Kill() } // fails only if it has exited

// epitaph says how an exited process ended, in AWS's words.
func (p *process) epitaph() string {
	if p.cmd.ProcessState.Success() {
		return "Runtime exited without providing a reason"
	}
	return "Runtime exited with error: " + p.cmd.ProcessState.String()
}

// initError is why a process exited before it asked for an event.
func (f *Function) initError(p *process) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.initFailure != nil {
		return p.initFailure
	}
	return newFunctionError("Runtime.ExitError", "during init: %s: %s", p.epitaph(), p.output.tail())
}

// newFunctionError is a failure that the function did not report itself.
func newFunctionError(kind, format string, args ...any) *FunctionError {
	e := &FunctionError{Type: kind, Message: fmt.Sprintf(format, args...)}
	e.Payload, _ = json.Marshal(errorBody{e.Message, e.Type}) // two strings: never fails
	return e
}

// traceID is the value of a trace header that requests no trace and counts the
// chain's invocations.
func traceID(now time.Time, hops int) string {
	var id [12]byte
	rand.Read(id[:])
	return lineage.Header(fmt.Sprintf("Root=1-%08x-%x;Sampled=0", now.Unix(), id), hops)
}
