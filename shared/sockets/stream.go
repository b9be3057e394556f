package sockets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"subwire/shared/accept"
	"subwire/shared/graphqlhttp"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/transportws"
)

const streamType = "text/event-stream"

// serveStream is the "distinct connections mode" of graphql-sse (its PROTOCOL.md): one
// request is one operation, and its results come as server-sent events. To the handlers it
// is a socket like any other, whose client sends a connection_init with the request's
// Authorization, and one subscribe.
func (s *Set) serveStream(w http.ResponseWriter, r *http.Request) {
	for name, value := range graphqlhttp.CORS(s.AllowedOrigins, r.Header.Get("Origin"), r.Method) {
		w.Header().Set(name, value)
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", streamMethods)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := screen(r); err != nil {
		answerRefusal(w, err)
		return
	}
	done, full := s.begin()
	if full != nil {
		s.refuseStream(w, *full)
		return
	}
	sock := s.newSocket(r)
	if status := s.open(r, sock, transportws.Name); status != http.StatusOK {
		done()
		s.refuseHandshake(w, status)
		return
	}
	control := http.NewResponseController(w)
	st := &stream{pen: pen{sock: sock, to: control}, w: w, control: control,
		acknowledged: make(chan struct{}, 1), done: make(chan struct{})}
	sock.transport = st
	sock.spoke.Store(true)
	s.list(sock)
	done()
	ctx := context.WithoutCancel(r.Context())
	refused := s.converse(ctx, st, r)
	if refused != nil {
		sock.end(vanished) // says nothing: what does follows
	}
	select {
	case <-st.done:
	case <-r.Context().Done():
		sock.end(normal)
		<-st.done // until then the response is used
	}
	if refused != nil && !st.started {
		answerRefusal(w, refused)
	}
	go s.forget(ctx, sock) // the client sees the end of the response without it
}

const streamMethods = "GET, POST, OPTIONS"

// screen refuses a request for what its headers say, which costs nothing.
func screen(r *http.Request) error {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return graphqlhttp.StatusError{Status: http.StatusMethodNotAllowed, Header: map[string]string{"Allow": streamMethods},
			Code: pubsub.CodeInput, Message: "method must be GET or POST"}
	case accept.Media(strings.Join(r.Header.Values("Accept"), ","), streamType).Weight == 0:
		return graphqlhttp.StatusError{Status: http.StatusNotAcceptable,
			Code: pubsub.CodeInput, Message: "only " + streamType + " is served"}
	}
	return graphqlhttp.Screen(head(r))
}

func head(r *http.Request) graphqlhttp.Request {
	return graphqlhttp.Request{Method: r.Method, ContentType: r.Header.Get("Content-Type"),
		ContentEncoding: strings.Join(r.Header.Values("Content-Encoding"), ",")}
}

// converse is the client's part of the conversation: it says who it is, and once it is
// acknowledged, what it wants. Not before that is the operation read and looked at: a
// stranger would have it parsed for nothing, and learn the schema from what is refused.
// The error is why the operation is refused: a graphqlhttp.StatusError or pubsub.Errors.
func (s *Set) converse(ctx context.Context, st *stream, r *http.Request) error {
	if r.Body == http.NoBody { // net/http waits for its end already, and takes a time-out for a client that is gone
		_ = st.control.SetReadDeadline(time.Time{})
	}
	s.say(ctx, st.sock, initFrame(r))
	if !st.admitted(r.Context()) {
		return nil
	}
	op, err := s.operation(st.w, r, whileOpen{st.sock, r.Body})
	if err == nil && s.Refuse != nil {
		err = s.Refuse(r.Context(), r.Method, op)
	}
	if err != nil {
		return err
	}
	st.accepted.Store(true)
	st.ping() // begins the response
	s.say(ctx, st.sock, subscribeFrame(op))
	return nil
}

// say gives the handlers a message of the client.
func (s *Set) say(ctx context.Context, sock *socket, frame []byte) {
	sock.busy.Store(true)
	defer sock.busy.Store(false)
	if !sock.ended() {
		s.Handlers.Receive(ctx, session.Frame{ConnectionID: sock.id, Data: frame, At: time.Now(), Address: sock.address})
	}
}

// whileOpen reads for a socket until it ends. One that is aborted before the time-out of the
// body is set would not notice otherwise.
type whileOpen struct {
	sock *socket
	io.Reader
}

func (r whileOpen) Read(p []byte) (int, error) {
	if r.sock.ended() {
		return 0, net.ErrClosed
	}
	return r.Reader.Read(p)
}

// operation reads the request, which may be refused with a graphqlhttp.StatusError.
func (s *Set) operation(w http.ResponseWriter, r *http.Request, in io.Reader) (pubsub.Operation, error) {
	body, done, err := s.readBody(w, in, s.MaxMessage, &s.asking)
	defer done()
	switch {
	case errors.Is(err, errCrowded):
		return pubsub.Operation{}, graphqlhttp.StatusError{Status: http.StatusServiceUnavailable,
			Header: map[string]string{"Retry-After": "1"}, Code: pubsub.CodeUnavailable, Message: tooBusy.Reason}
	case err != nil:
		return pubsub.Operation{}, graphqlhttp.StatusError{Status: http.StatusBadRequest,
			Code: pubsub.CodeInput, Message: "body is incomplete"}
	}
	whole := head(r)
	whole.Query, whole.Body = r.URL.Query(), body
	return graphqlhttp.Decode(whole, s.MaxMessage)
}

func initFrame(r *http.Request) []byte {
	m := transportws.Message{Type: transportws.TypeConnectionInit}
	if token := r.Header.Get("Authorization"); token != "" {
		m.Payload = encode(map[string]string{"Authorization": token})
	}
	return m.Append(nil)
}

func subscribeFrame(op pubsub.Operation) []byte {
	payload := map[string]any{"query": op.Document}
	if op.Name != "" {
		payload["operationName"] = op.Name
	}
	if op.Variables != nil {
		payload["variables"] = json.RawMessage(op.Variables)
	}
	if op.DocumentID != "" { // as trusted.DocumentID reads it
		payload["extensions"] = map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": op.DocumentID}}
	}
	return transportws.Message{Type: transportws.TypeSubscribe, ID: "1", Payload: encode(payload)}.Append(nil)
}

// encode returns v as JSON. It is given only what has one.
func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

// stream is a transport. Only the goroutine that writes uses the response, until done.
type stream struct {
	pen
	w            http.ResponseWriter
	control      *http.ResponseController
	acknowledged chan struct{} // has one when the handlers have acknowledged the client
	done         chan struct{} // closed when nothing is written any more
	accepted     atomic.Bool   // the operation is, so that a response may begin

	started  bool // the client has a status
	complete bool // the client knows that nothing follows
}

// admitted waits until the client is acknowledged, and returns false if it is not. The
// handlers have said what they say by now, but it may not be written yet.
func (t *stream) admitted(ctx context.Context) bool {
	patience := time.NewTimer(t.sock.set.InitTimeout)
	defer patience.Stop()
	select {
	case <-t.acknowledged:
		return true
	case <-t.done:
	case <-ctx.Done():
	case <-patience.C: // a fault of theirs
		t.sock.end(tooBusy)
	}
	return false
}

// keepAlive is a frame that only a stream is given. It is sent as a comment, once the
// operation is accepted.
var keepAlive = []byte(nil)

// comment is what clients ignore.
const comment = ":\n\n"

func (t *stream) write(frames [][]byte) error {
	var out []byte
	for _, frame := range frames {
		if t.complete {
			break
		}
		if len(frame) == 0 {
			out = t.keep(out)
			continue
		}
		m, err := transportws.Decode(frame)
		if err != nil {
			return fmt.Errorf("read frame for an event stream: %w", err)
		}
		out = t.append(out, m)
	}
	if err := t.send(out); err != nil {
		return err
	}
	t.sock.heard.Store(time.Now().UnixNano()) // more is not known of a client that only reads
	if t.complete {
		t.sock.end(normal)
	}
	return nil
}

// append appends what a client of graphql-sse is told. An error that ends the operation is a
// result with errors, as the protocol has no other event.
func (t *stream) append(out []byte, m transportws.Message) []byte {
	switch m.Type {
	case transportws.TypeNext:
		return appendEvent(t.start(out), "next", m.Payload)
	case transportws.TypeError:
		out = appendEvent(t.start(out), "next", encode(map[string]any{"errors": m.Payload}))
		t.complete = true
		return appendEvent(out, "complete", nil)
	case transportws.TypeComplete:
		t.complete = true
		return appendEvent(t.start(out), "complete", nil)
	case transportws.TypeConnectionAck:
		select {
		case t.acknowledged <- struct{}{}:
		default: // it is known
		}
		return out
	default: // pings and pongs
		return out
	}
}

// appendEvent appends an event. A browser drops one without a line of data.
func appendEvent(out []byte, name string, data []byte) []byte {
	out = append(append(append(out, "event: "...), name...), "\ndata: "...)
	if bytes.ContainsAny(data, "\r\n") { // between the tokens of JSON; in a string they are escaped
		data = bytes.Map(func(c rune) rune {
			if c == '\r' || c == '\n' {
				return ' '
			}
			return c
		}, data)
	}
	return append(append(out, data...), "\n\n"...)
}

// start sends the header, once, and appends a comment: some browsers tell nobody of a
// stream before its first byte (graphql-sse's server sends one, too).
func (t *stream) start(out []byte) []byte {
	if t.started {
		return out
	}
	t.started = true
	startStream(t.w)
	return append(out, comment...)
}

// keep appends a comment, or begins the stream, which has one.
func (t *stream) keep(out []byte) []byte {
	switch {
	case t.started:
		return append(out, comment...)
	case t.accepted.Load():
		return t.start(out)
	default:
		return out
	}
}

func startStream(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", streamType+"; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of proxies that look for it
	w.WriteHeader(http.StatusOK)
}

func (t *stream) send(out []byte) error {
	if _, err := t.pen.send(out, flushing{t}); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

// flushing writes to the client, not only to net/http's buffer.
type flushing struct{ *stream }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

// close says why the stream ends, if the client should not ask again: a stream that ends
// without complete is a lost connection to it.
func (t *stream) close(why transportws.CloseError) {
	defer close(t.done)
	switch {
	case why == vanished || t.complete:
	case !t.started:
		t.started = true
		t.sock.set.refuseStream(t.w, why)
	case why.Code >= 3000 && !why.Retry():
		out := appendEvent(nil, "next", encode(map[string]any{"errors": []pubsub.Error{errorOf(why)}}))
		_ = t.send(appendEvent(out, "complete", nil)) // nobody is left to be told
	}
}

func (t *stream) abort() {
	t.pen.abort()
	_ = t.control.SetReadDeadline(time.Now()) // its body may be on its way
}

func (t *stream) ping() { _ = t.sock.post(context.Background(), keepAlive) } // nothing flows, so there is room

// errorOf returns a reason of a close as a GraphQL error.
func errorOf(why transportws.CloseError) pubsub.Error {
	return pubsub.NewError(codeOf(statusOf(why)), why.Reason)
}

// statusOf returns the status that is nearest to a close code.
func statusOf(why transportws.CloseError) int {
	if why.Code/100 == 44 && http.StatusText(why.Code-4000) != "" {
		return why.Code - 4000
	}
	return http.StatusServiceUnavailable
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return pubsub.CodeUnauthenticated
	case http.StatusForbidden:
		return pubsub.CodeForbidden
	case http.StatusTooManyRequests:
		return pubsub.CodeLimit
	case http.StatusServiceUnavailable:
		return pubsub.CodeUnavailable
	default:
		return pubsub.CodeInput
	}
}

// refuseStream answers a request whose stream has not begun.
func (s *Set) refuseStream(w http.ResponseWriter, why transportws.CloseError) {
	s.refuseWith(w, statusOf(why), why.Reason)
}

// refuseHandshake answers a client that the handlers do not let in. A fault of ours is a
// busy server, as to WebSockets.
func (s *Set) refuseHandshake(w http.ResponseWriter, status int) {
	if status >= http.StatusInternalServerError {
		s.refuseStream(w, tooBusy)
		return
	}
	s.refuseWith(w, status, http.StatusText(status))
}

func (s *Set) refuseWith(w http.ResponseWriter, status int, message string) {
	e := graphqlhttp.StatusError{Status: status, Code: codeOf(status), Message: message}
	switch status {
	case http.StatusServiceUnavailable:
		e.Header = map[string]string{"Retry-After": "1"}
	case http.StatusTooManyRequests:
		e.Header = map[string]string{"Retry-After": strconv.Itoa(s.Again())}
	case http.StatusUnauthorized: // has to name a scheme (RFC 9110 section 15.5.2)
		e.Header = map[string]string{"WWW-Authenticate": `Bearer realm="graphql"`}
	}
	send(w, graphqlhttp.Respond("", nil, e))
}

// answerRefusal answers a request that is refused before its stream has begun. An operation
// that is invalid is told so in a stream, as the protocol asks for.
func answerRefusal(w http.ResponseWriter, err error) {
	list, invalid := errors.AsType[pubsub.Errors](err)
	if !invalid {
		send(w, graphqlhttp.Respond("", nil, err))
		return
	}
	startStream(w)
	out := appendEvent(nil, "next", encode(map[string]any{"errors": list}))
	_, _ = w.Write(appendEvent(out, "complete", nil)) // nobody is left to be told
}

func send(w http.ResponseWriter, r graphqlhttp.Response) {
	for name, value := range r.Header {
		if name == "Vary" {
			w.Header().Add(name, value)
			continue
		}
		w.Header().Set(name, value)
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body) // nobody is left to be told
}
