package apigwemu

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// manage is the management API. Like the real one it answers 403 to a path without
// its stage and to a request without a signature. It does not check the signature.
func (g *Gateway) manage(w http.ResponseWriter, r *http.Request) {
	defer g.idle(r)
	id, ok := g.connectionID(r)
	switch {
	case !g.quotas.call():
		fail(w, http.StatusTooManyRequests)
	case !ok:
		answer(w, http.StatusForbidden, "ForbiddenException", "Forbidden")
	case r.Header.Get("Authorization") == "":
		answer(w, http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
	case !wellFormed(id):
		answer(w, http.StatusBadRequest, "BadRequestException", "Invalid connectionId: "+id)
	case r.Method == http.MethodPost:
		g.post(w, r, id)
	case r.Method == http.MethodDelete:
		g.delete(w, r, id)
	case r.Method == http.MethodGet:
		g.get(w, id)
	default:
		answer(w, http.StatusForbidden, "ForbiddenException", "Forbidden")
	}
}

// idle asks what happens to the connection that a call came on.
func (g *Gateway) idle(r *http.Request) {
	after := Idle{}
	if fault := g.faults.Load().Idle; fault != nil {
		after = fault()
	}
	g.wire(r).end(after)
}

// connectionID returns the last part of /{stage}/@connections/{id}. It reports
// whether the path has that form.
func (g *Gateway) connectionID(r *http.Request) (id string, ok bool) {
	parts := strings.Split(r.URL.EscapedPath(), "/") // an id may contain an escaped slash
	if len(parts) != 4 || parts[1] != g.cfg.Stage {
		return "", false
	}
	id, err := url.PathUnescape(parts[3])
	return id, err == nil
}

func (g *Gateway) post(w http.ResponseWriter, r *http.Request, id string) {
	noted, begin := &notedWriter{ResponseWriter: w, status: http.StatusOK}, time.Now()
	frame := g.send(noted, r, id)
	g.cfg.Usage.Posted(id, frame, r.Header.Get("X-Amz-Security-Token"), begin, noted.status)
}

// send handles a post and returns its frame.
func (g *Gateway) send(w http.ResponseWriter, r *http.Request, id string) []byte {
	frame, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(g.cfg.Limits.MessageBytes)))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, "PayloadTooLargeException", "Message too long")
		return nil
	}
	if g.cfg.PostLatency != nil {
		time.Sleep(g.cfg.PostLatency()) // even if the caller has gone: the frame is on its way
	}
	if fault := g.faults.Load().Post; fault != nil {
		if status, sent := fault(r.Context(), id); status != 0 {
			if s := g.socket(id); sent && s != nil {
				_ = s.send(frame)
			}
			fail(w, status)
			return frame
		}
	}
	s := g.socket(id)
	if s == nil {
		gone(w)
		return frame
	}
	switch err := s.send(frame); {
	case errors.Is(err, errFull):
		fail(w, http.StatusTooManyRequests)
	case err != nil:
		gone(w)
	}
	return frame
}

func (g *Gateway) delete(w http.ResponseWriter, r *http.Request, id string) {
	if fault := g.faults.Load().Delete; fault != nil {
		if status, closed := fault(r.Context(), id); status != 0 {
			if s := g.socket(id); closed && s != nil {
				s.close(deleted)
			}
			fail(w, status)
			return
		}
	}
	if s := g.socket(id); s == nil || !s.close(deleted) {
		gone(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// connectionInfo is the answer to GET. Times are in RFC 3339.
type connectionInfo struct {
	ConnectedAt  time.Time `json:"connectedAt"`
	Identity     identity  `json:"identity"`
	LastActiveAt time.Time `json:"lastActiveAt"`
}

type identity struct {
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

func (g *Gateway) get(w http.ResponseWriter, id string) {
	s := g.socket(id)
	if s == nil {
		gone(w)
		return
	}
	s.mu.Lock()
	info := connectionInfo{s.connectedAt.UTC(), identity{s.sourceIP, s.userAgent}, s.lastActive.UTC()}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, info)
}

// errorTypes are the types of errors, from the API reference of PostToConnection; the
// others are guesses.
var errorTypes = map[int]string{
	http.StatusBadRequest:            "BadRequestException",
	http.StatusUnauthorized:          "UnauthorizedException",
	http.StatusNotFound:              "NotFoundException",
	http.StatusForbidden:             "ForbiddenException",
	http.StatusGone:                  "GoneException",
	http.StatusRequestEntityTooLarge: "PayloadTooLargeException",
	http.StatusTooManyRequests:       "LimitExceededException",
	http.StatusInternalServerError:   "InternalServerErrorException",
}

// gone answers like the real API: with a type and no JSON.
func gone(w http.ResponseWriter) { fail(w, http.StatusGone) }

// fail answers with an error of the management API or of what precedes it. The body
// of a 400 says nothing about the connection id.
func fail(w http.ResponseWriter, status int) {
	message := http.StatusText(status)
	switch status {
	case http.StatusGone, http.StatusTooManyRequests:
		message = "" // the first as in gone; the second is a guess
	case http.StatusRequestTimeout:
		w.Header().Set("Connection", "close")
	}
	answer(w, status, errorTypes[status], message)
}

// tooMany answers a request over a quota ("Protect your WebSocket APIs in API Gateway").
func tooMany(w http.ResponseWriter) {
	answer(w, http.StatusTooManyRequests, "", "Too Many Requests")
}

// answer writes an error: its type in the header that SDKs read, and the message,
// unless empty, in the body.
func answer(w http.ResponseWriter, status int, errorType, message string) {
	if errorType != "" {
		w.Header().Set("X-Amzn-ErrorType", errorType)
	}
	if message == "" {
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, map[string]string{"message": message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller may have gone
}
