package lambdart

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxResponse is the most that a function may answer, in bytes ("Lambda
// quotas" in the Lambda Developer Guide).
const maxResponse = 6 << 20

// errorBody is how functions report failures.
type errorBody struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

// api serves the Lambda Runtime API ("Using the Lambda runtime API for custom
// runtimes" in the Lambda Developer Guide). The first part of each path is the calling
// process: runtimes put their paths after whatever AWS_LAMBDA_RUNTIME_API holds.
func (f *Function) api() http.Handler {
	const base = "/{process}/2018-06-01/runtime/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"invocation/next", f.next)
	mux.HandleFunc("POST "+base+"invocation/{request}/response", func(w http.ResponseWriter, r *http.Request) {
		f.answer(w, r, func(body []byte) result { return result{response: body} })
	})
	mux.HandleFunc("POST "+base+"invocation/{request}/error", func(w http.ResponseWriter, r *http.Request) {
		f.answer(w, r, func(body []byte) result { return result{err: reported(body)} })
	})
	mux.HandleFunc("POST "+base+"init/error", f.initFailed)
	return mux
}

// next gives the process its next event, as soon as there is one.
func (f *Function) next(w http.ResponseWriter, r *http.Request) {
	p := f.process(r)
	if p == nil {
		http.Error(w, "unknown process", http.StatusForbidden)
		return
	}
	if inv := f.await(r.Context(), p); inv != nil {
		f.mu.Lock()
		p.current = inv
		f.mu.Unlock()
		now := time.Now()
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(now.Add(f.cfg.Timeout).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", fmt.Sprintf("arn:aws:lambda:%s:000000000000:function:%s", region, f.cfg.Name))
		h.Set("Lambda-Runtime-Trace-Id", inv.trace)
		h.Set("Content-Type", "application/json")
		w.Write(inv.payload) // fails only if the process died, which its exit shows
	}
}

// await returns the next event for p, or nil if ctx ends first. A process without an
// event is frozen, as on AWS: its goroutines stop, and others may close its connections
// without its knowledge ("Understanding the Lambda execution environment lifecycle").
func (f *Function) await(ctx context.Context, p *process) *invocation {
	var inv *invocation
	select {
	case inv = <-p.work:
	default:
		if f.cfg.Freeze {
			p.hold(frozen)
			defer p.letGo(frozen)
		}
		select {
		case inv = <-p.work:
		case <-ctx.Done():
			return nil
		}
	}
	p.begin.Do(func() { close(p.begun) })
	return inv
}

// answer ends the invocation that the request names.
func (f *Function) answer(w http.ResponseWriter, r *http.Request, decode func(body []byte) result) {
	inv := f.answered(r)
	if inv == nil {
		http.Error(w, "unknown request id", http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	switch {
	case err != nil: // the process died while sending, which its exit shows
	case len(body) > maxResponse:
		io.Copy(io.Discard, r.Body) // lets the process read the answer
		inv.result <- result{err: newFunctionError("Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse)}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	default:
		inv.result <- decode(body)
		w.WriteHeader(http.StatusAccepted)
	}
}

// initFailed notes why a process gives up before its first event. The process exits
// by itself.
func (f *Function) initFailed(w http.ResponseWriter, r *http.Request) {
	p := f.process(r)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse))
	if p == nil || err != nil {
		http.Error(w, "unknown process or broken body", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	p.initFailure = reported(body)
	f.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// process returns the living process that sent r, or nil.
func (f *Function) process(r *http.Request) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[r.PathValue("process")]
}

// answered returns the invocation that r answers, but only once; else nil.
func (f *Function) answered(r *http.Request) *invocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.processes[r.PathValue("process")]
	if p == nil || p.current == nil || p.current.id != r.PathValue("request") {
		return nil
	}
	inv := p.current
	p.current = nil
	return inv
}

// reported decodes a failure that the function reported.
func reported(body []byte) *FunctionError {
	var e errorBody
	if err := json.Unmarshal(body, &e); err != nil {
		e = errorBody{Type: "Runtime.Unknown", Message: "the error that was reported is no JSON"}
	}
	return &FunctionError{Type: e.Type, Message: e.Message, Payload: body}
}
