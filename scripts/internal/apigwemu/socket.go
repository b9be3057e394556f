package apigwemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/coder/websocket"

	"subwire/scripts/internal/lambdart"
)

// ending is how a socket ended, as $disconnect reports it.
type ending struct {
	code   websocket.StatusCode
	reason string
	silent bool // the close frame has no reason
}

// Endings that the client does not cause. Reasons and codes were seen in recorded
// $disconnect events for 1000, 1001 and 1005; the other reasons are guesses.
var (
	deleted     = ending{code: websocket.StatusNormalClosure, reason: "Connection Closed Normally", silent: true}
	goingAway   = ending{code: websocket.StatusGoingAway, reason: "Going away"} // also at the age limit, a guess
	noStatus    = ending{code: websocket.StatusNoStatusRcvd, reason: "Client-side close frame status not set"}
	abnormal    = ending{code: websocket.StatusAbnormalClosure, reason: "Connection Closed Abnormally"}
	binaryFrame = ending{code: websocket.StatusUnsupportedData, reason: "Binary frames are not supported"}
	invalidText = ending{code: websocket.StatusInvalidFramePayloadData, reason: "Text is not valid UTF-8"}
	tooBig      = ending{code: websocket.StatusMessageTooBig, reason: "Message too long"}
)

// socket is one client's WebSocket. Its handler's goroutine reads; a second one
// writes while there is something to write.
type socket struct {
	g           *Gateway
	id          string
	connectedAt time.Time
	host        string
	sourceIP    string
	userAgent   string

	frames    scanner
	idle, age *time.Timer

	mu         sync.Mutex      // guards the fields below
	conn       *websocket.Conn // set once, when the upgrade is answered; reader and writer use it without the lock
	raw        net.Conn        // the connection below conn
	lastActive time.Time
	queue      [][]byte // frames to write
	queued     int      // bytes of the queue and of the frame being written
	writing    bool     // whether the writer runs
	end        *ending  // nil while open
	linger     *time.Timer
}

// upgrade asks $connect about a new socket and, if accepted, runs it to its end.
func (g *Gateway) upgrade(w http.ResponseWriter, r *http.Request) {
	if g.Down() {
		panic(http.ErrAbortHandler) // net/http drops the connection and logs nothing
	}
	if !g.begin() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer g.wg.Done()
	switch {
	case !g.quotas.handshake():
		g.cfg.Usage.Refused()
		tooMany(w)
		return
	case len("wss://"+r.Host+r.RequestURI) > g.cfg.Limits.URLBytes:
		g.cfg.Usage.Refused()
		answer(w, http.StatusRequestURITooLong, "", "URI Too Long") // a guess
		return
	}
	s := &socket{
		g: g, id: newID(), connectedAt: time.Now(), host: r.Host, sourceIP: sourceIP(r), userAgent: r.UserAgent(),
		frames: scanner{limit: int64(g.cfg.Limits.FrameBytes)},
	}
	protocol, status := g.connect(s.connectEvent(r))
	if status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	g.disconnect(s, s.run(w, r, protocol))
}

// connect invokes $connect. It returns the subprotocol that the function answered,
// unchecked as in the real gateway, or the status that refuses the upgrade. The mapping
// from errors to statuses is in "Handling Lambda errors with an API Gateway API".
func (g *Gateway) connect(e wsRequest) (protocol string, status int) {
	resp, err := g.invoke(g.cfg.Connect, e)
	switch {
	case errors.Is(err, errRefused):
		g.log.Warn("connect was refused", "connection", e.RequestContext.ConnectionID, "error", err)
		return "", http.StatusInternalServerError
	case err != nil:
		g.log.Warn("connect failed", "connection", e.RequestContext.ConnectionID, "error", err)
		return "", http.StatusBadGateway
	case !successful(resp.StatusCode):
		return "", resp.StatusCode
	}
	for name, value := range resp.Headers {
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") {
			protocol = value
		}
	}
	return protocol, http.StatusOK
}

func successful(status int) bool { return status >= 200 && status < 300 }

// run opens the socket, reads until it has ended, and returns how it ended.
func (s *socket) run(w http.ResponseWriter, r *http.Request, protocol string) ending {
	limits := s.g.cfg.Limits
	s.lastActive = time.Now()
	s.idle = time.AfterFunc(limits.Idle, func() { s.close(goingAway) })
	s.age = time.AfterFunc(limits.Age, func() { s.close(goingAway) })
	s.g.cfg.Usage.Opened()
	s.g.cfg.Usage.Began(s.id, s.userAgent)
	defer s.g.cfg.Usage.Closed()
	s.g.add(s) // before the client can know that it is open
	end := abnormal
	if s.open(w, r, protocol) {
		end = s.read()
	}
	s.close(end)
	s.idle.Stop()
	s.age.Stop()
	s.mu.Lock()
	end = *s.end
	s.mu.Unlock()
	s.g.cfg.Usage.Ended(s.id, int(end.code), end.reason)
	return end
}

// open answers the upgrade, and reports whether the client is still there.
func (s *socket) open(w http.ResponseWriter, r *http.Request, protocol string) bool {
	if protocol != "" {
		w.Header().Set("Sec-WebSocket-Protocol", protocol) // Accept would only answer one that was offered
	}
	hijack := &scannedWriter{ResponseWriter: w, scanner: &s.frames}
	conn, err := websocket.Accept(hijack, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return false // Accept has answered
	}
	conn.SetReadLimit(int64(s.g.cfg.Limits.MessageBytes))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.raw = conn, hijack.conn
	s.startWriter()
	return true
}

// read begins an invocation for each message. It returns how the socket ended on the
// client's side.
func (s *socket) read() ending {
	for n := int64(1); ; n++ {
		kind, body, err := s.conn.Read(context.Background())
		at := time.Now()
		switch {
		case s.frames.oversize.Load() == n, errors.Is(err, websocket.ErrMessageTooBig):
			return tooBig
		case err != nil:
			return clientEnding(err)
		case kind == websocket.MessageBinary:
			return binaryFrame
		case !utf8.Valid(body):
			return invalidText
		case s.touch(at):
			s.take(body, at)
		}
	}
}

// take gives a message to its route. A route's own throttle comes before the stage's, and
// does not replace it: a guess ("Protect your WebSocket APIs in API Gateway" says only
// that a route may have one).
func (s *socket) take(body []byte, at time.Time) {
	mock, isMock := s.g.mocks.of(body)
	switch {
	case isMock && !mock.throttle.Take(1), !s.g.quotas.frame():
		s.g.cfg.Usage.Refused()
		s.refuse("Too Many Requests", newID())
	case isMock:
		s.g.cfg.Usage.Received(len(body))
		s.answer(mock, string(body), at)
	default:
		s.g.cfg.Usage.Received(len(body))
		s.g.wg.Go(func() { s.message(string(body), at) })
	}
}

func clientEnding(err error) ending {
	var frame websocket.CloseError
	switch {
	case !errors.As(err, &frame):
		return abnormal
	case frame.Code == websocket.StatusNoStatusRcvd:
		return noStatus
	}
	return ending{code: frame.Code, reason: frame.Reason}
}

// touch restarts the idle time and reports whether the socket is open.
func (s *socket) touch(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return false
	}
	s.lastActive = at
	s.idle.Reset(s.g.cfg.Limits.Idle)
	return true
}

// message runs the integration of one message. Its answer does not reach the client,
// as the route has no route response, but a failure does.
func (s *socket) message(body string, at time.Time) {
	if said := s.g.faults.Load().Time; said != nil {
		at = said(at, body)
	}
	if hold := s.g.faults.Load().Message; hold != nil {
		hold(s.g.ctx, s.id, body)
	}
	e, begin := s.messageEvent(body, at), time.Now()
	resp, err := s.g.invoke(s.g.cfg.Message, e)
	ok := err == nil && successful(resp.StatusCode)
	s.g.cfg.Usage.Handled(s.id, body, at, time.Since(begin), ok)
	if ok {
		return
	}
	s.g.log.Warn("message failed", "connection", s.id, "status", resp.StatusCode, "error", err)
	s.refuse("Internal server error", e.RequestContext.RequestID)
}

// refuse tells the client that its message was not handled: the integration failed,
// Lambda throttled it, or the frame was over a quota. For the last case nothing is
// documented; that the message is lost, and that the client gets the 429 of HTTP as a
// frame, is a guess.
func (s *socket) refuse(message, requestID string) {
	frame, _ := json.Marshal(map[string]string{"message": message, "connectionId": s.id, "requestId": requestID})
	_ = s.send(frame) // a client that is gone or does not read misses it
	s.g.cfg.Usage.Posted(s.id, frame, "", time.Now(), http.StatusOK)
}

// disconnect tells $disconnect how the socket ended. It is best effort: a failure is
// not retried.
func (g *Gateway) disconnect(s *socket, end ending) {
	if drop := g.faults.Load().DropDisconnect; drop != nil && drop(s.id) {
		return
	}
	if _, err := g.invoke(g.cfg.Disconnect, s.disconnectEvent(end, time.Now())); err != nil {
		g.log.Warn("disconnect failed", "connection", s.id, "error", err)
	}
}

// invoke runs a WebSocket integration. An answer that is not a JSON object or has no
// status code is an error.
func (g *Gateway) invoke(f Invoker, e wsRequest) (resp events.APIGatewayProxyResponse, err error) {
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.Limits.IntegrationTimeout)
	defer cancel()
	payload, err := json.Marshal(e)
	if err != nil {
		return resp, err
	}
	out, err := g.run(ctx, f, payload)
	if err == nil {
		err = json.Unmarshal(out, &resp)
	}
	if err == nil && (resp.StatusCode < 200 || resp.StatusCode > 599) {
		err = errMalformed
	}
	if err != nil {
		g.cfg.Usage.Failed() // that a failed function counts, too, is a guess: nobody but it has answered
	}
	return resp, err
}

// run invokes a function within Lambda's limit for events and answers ("Lambda
// quotas"). It is a guess that a larger event is refused like any other.
func (g *Gateway) run(ctx context.Context, f Invoker, payload []byte) ([]byte, error) {
	if len(payload) > g.cfg.Limits.PayloadBytes {
		return nil, fmt.Errorf("%w: event of %d bytes", errRefused, len(payload))
	}
	out, err := f.Invoke(ctx, payload)
	switch {
	case errors.Is(err, lambdart.ErrThrottled):
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	case err == nil && len(out) > g.cfg.Limits.PayloadBytes:
		return nil, fmt.Errorf("answer of %d bytes is too large", len(out))
	}
	return out, err
}

// errRefused is an invocation that Lambda did not begin.
var errRefused = errors.New("invocation was refused")

var errMalformed = errors.New("the function's answer has no valid statusCode")
