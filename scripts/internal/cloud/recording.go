package cloud

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/awsproxy"
	"subwire/scripts/internal/faults"
	"subwire/scripts/internal/lambdart"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

// What the parts of the cloud tell the console's recorder. Without a console each passes on what it gets.

// begun tells the console that a function gets an event.
func (c *Cloud) begun(function string) func(lambdart.Invocation) {
	if c.Console == nil {
		return nil
	}
	return func(i lambdart.Invocation) { c.Console.Begun(function, i) }
}

// watchSockets adds the console to the gateway's observer.
func (c *Cloud) watchSockets(o apigwemu.Observer) apigwemu.Observer {
	if c.Console == nil {
		return o
	}
	o.Began, o.Ended, o.Handled, o.Posted = c.Console.Opened, c.Console.Closed, c.Console.Received, c.Console.Posted
	requested := o.Requested
	o.Requested = func(size int) {
		if requested != nil {
			requested(size)
		}
		c.Console.Requested()
	}
	return o
}

// toConsole gives the console what a function logs, and passes it on.
func (c *Cloud) toConsole(function string, to io.Writer) io.Writer {
	if c.Console == nil {
		return to
	}
	prefix := []byte(function + ": ")
	return writer(func(line []byte) (int, error) {
		c.Console.Line(bytes.TrimPrefix(line, prefix))
		if c.debugs(function) && bytes.Contains(line, []byte(`"level":"DEBUG"`)) {
			return len(line), nil // nobody else asked for it
		}
		return to.Write(line)
	})
}

// debugs reports whether the function logs at level debug for the console alone: of an event
// that the stream function delivers itself, nothing else says whom it goes to.
func (c *Cloud) debugs(function string) bool {
	return c.Console != nil && function == topology.Stream.Name && c.cfg.Settings[topology.LogLevel.Env] == ""
}

// watchCalls tells the console of the functions' requests to AWS, by the trace that the SDK
// puts into their headers.
func (c *Cloud) watchCalls(next http.Handler) http.Handler {
	if c.Console == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := trace.Root(r.Header.Get("X-Amzn-Trace-Id"))
		if id == "" {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest) // the caller has gone
			return
		}
		awsproxy.SetBody(r, body)
		_, what := awsproxy.Operation(r)
		on := valueOf(body, "TableName")
		if url := valueOf(body, "QueueUrl"); url != "" {
			on = url[strings.LastIndex(url, "/")+1:]
		}
		what = strings.TrimSpace(what + " " + strings.TrimPrefix(on, c.prefix))
		noted, begin := &statusWriter{ResponseWriter: w, status: http.StatusOK}, time.Now()
		next.ServeHTTP(noted, r)
		c.Console.Called(id, what, begin, time.Since(begin), noted.status >= http.StatusMultipleChoices)
	})
}

// valueOf finds the first member with the name and a text without escapes; "" for none.
func valueOf(body []byte, name string) string {
	_, rest, found := bytes.Cut(body, []byte(`"`+name+`":"`))
	value, _, ends := bytes.Cut(rest[:min(len(rest), 200)], []byte(`"`))
	if !found || !ends {
		return ""
	}
	return string(value)
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// watchBatches tells the console what came of a sender's messages, whoever failed them.
func (c *Cloud) watchBatches(m topology.QueueMapping, next faults.Invoker) faults.Invoker {
	if c.Console == nil || m.Function.Name != topology.Sender.Name {
		return next
	}
	return invoker(func(ctx context.Context, payload []byte) ([]byte, error) {
		response, err := next.Invoke(ctx, payload)
		c.Console.Returned(payload, response, err, m.Queue.MaxReceives)
		return response, err
	})
}

type invoker func(ctx context.Context, payload []byte) ([]byte, error)

func (i invoker) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return i(ctx, payload) }
