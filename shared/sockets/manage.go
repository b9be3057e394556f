package sockets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/sigv4"
)

// forwardedHeader is on a request that a node passes to another, which does not pass it on.
const forwardedHeader = "Subwire-Forwarded"

// refusal is an answer of the management API, in the words of API Gateway's.
type refusal struct {
	status int
	kind   string
	says   string
}

var (
	refusedSignature = refusal{http.StatusForbidden, "ForbiddenException", "Forbidden"}
	refusedID        = refusal{http.StatusBadRequest, "BadRequestException", "Invalid connectionId"}
	refusedEvent     = refusal{http.StatusBadRequest, "BadRequestException", "Invalid event"}
	refusedMethod    = refusal{http.StatusMethodNotAllowed, "BadRequestException", "Method not allowed"}
	refusedSize      = refusal{http.StatusRequestEntityTooLarge, "PayloadTooLargeException", "Message too long"}
	isGone           = refusal{http.StatusGone, "GoneException", "Gone"}
	isBusy           = refusal{http.StatusServiceUnavailable, "LimitExceededException", "Busy"}
)

// serveManagement is the management API of API Gateway ("Use @connections commands in your
// backend service"), for the sockets of this process, for the process itself, which takes
// events, and once removed for those of other processes.
func (s *Set) serveManagement(w http.ResponseWriter, r *http.Request) {
	hash, ok := s.Verify(r)
	if !ok { // before anything is read, as the path is open to everybody
		_ = http.NewResponseController(w).SetReadDeadline(time.Now())
		w.Header().Set("Connection", "close")
		refuse(w, refusedSignature)
		return
	}
	body, done, err := s.readBody(w, r.Body, s.MaxFrame, &s.managing)
	defer done()
	switch {
	case errors.Is(err, errCrowded):
		refuse(w, isBusy)
		return
	case len(body) > s.MaxFrame:
		refuse(w, refusedSize)
		return
	case err != nil || sigv4.Hash(body) != hash:
		refuse(w, refusedSignature)
		return
	}
	id := strings.TrimPrefix(r.URL.Path, node.ManagementPath)
	address, ok := node.Parse(id)
	self := s.Self()
	switch {
	case !ok:
		refuse(w, refusedID)
	case r.Method != http.MethodPost && r.Method != http.MethodDelete:
		refuse(w, refusedMethod)
	case address.HostPort != self.HostPort:
		s.forward(w, r, address.HostPort, body)
	case address.Boot != self.Boot && r.Method == http.MethodPost:
		refuse(w, isGone)
	case address.Socket == "" && r.Method == http.MethodPost:
		s.takeEvent(w, r, body)
	case r.Method == http.MethodPost:
		answer(w, s.Post(r.Context(), id, body), http.StatusOK)
	case address.Socket == "": // the process finds that its lease is gone
		w.WriteHeader(http.StatusNoContent)
	default:
		answer(w, s.Delete(r.Context(), id), http.StatusNoContent)
	}
}

func (s *Set) takeEvent(w http.ResponseWriter, r *http.Request, body []byte) {
	err := s.Event(r.Context(), body)
	if errors.Is(err, node.ErrUndecodable) {
		refuse(w, refusedEvent)
		return
	}
	if err != nil {
		s.Log.WarnContext(r.Context(), "event not taken", "error", err)
	}
	answer(w, err, http.StatusOK)
}

// answer says what err means. What is not known to be final is busy: the caller tries again.
func answer(w http.ResponseWriter, err error, success int) {
	switch {
	case err == nil:
		w.WriteHeader(success)
	case errors.Is(err, pubsub.ErrGone):
		refuse(w, isGone)
	case errors.Is(err, pubsub.ErrTooLarge):
		refuse(w, refusedSize)
	default:
		refuse(w, isBusy)
	}
}

func refuse(w http.ResponseWriter, r refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", r.kind)
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(`{"message":"` + r.says + `"}`)) // nobody is left to be told
}

// maxForwarded is how much of another node's answer is passed back, in bytes.
const maxForwarded = 4 << 10

// forward passes a request to the process that its id names, and back what that answers.
// Whatever goes wrong is busy, never gone: only the process itself, or the end of its lease,
// says that it is gone. A request that another node has passed on goes no further.
func (s *Set) forward(w http.ResponseWriter, r *http.Request, hostPort string, body []byte) {
	if s.Client == nil || r.Header.Get(forwardedHeader) != "" || !plainAddress(hostPort) {
		refuse(w, isBusy)
		return
	}
	resp, err := s.pass(r, hostPort, body)
	if err != nil {
		s.Log.WarnContext(r.Context(), "request not forwarded", "node", hostPort, "error", err)
		refuse(w, isBusy)
		return
	}
	defer func() { _ = resp.Body.Close() }() // nothing depends on it
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxForwarded))
	if err != nil {
		refuse(w, isBusy)
		return
	}
	for _, name := range []string{"Content-Type", "X-Amzn-ErrorType"} {
		if value := resp.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(said) // nobody is left to be told
}

func (s *Set) pass(r *http.Request, hostPort string, body []byte) (*http.Response, error) {
	to := url.URL{Scheme: "http", Host: hostPort, Path: r.URL.Path}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	req.Header.Set(forwardedHeader, "1")
	if err := s.Sign(req, body); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	return resp, nil
}

// plainAddress reports whether a node's address is a name or IP address and a port, and
// nothing else that a URL could hold.
func plainAddress(hostPort string) bool {
	host, port, err := net.SplitHostPort(hostPort)
	n, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && n != 0 && host != "" && !strings.ContainsAny(host, "/?#@%\\ \t\r\n[]")
}
