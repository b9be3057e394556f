package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"subwire/shared/transportws"
)

const (
	socketFrames     = 200 // kept of a connection
	socketOperations = 200 // whose documents are
)

// socket is a client's connection.
type socket struct {
	id, viewer, agent, closed string
	claimed                   string // viewer that its token names, until it is acknowledged
	since                     time.Time
	operations                map[string]string // documents by id
	in, out                   int
	frames                    []frame
}

// frame is a message of the protocol. What many get shares its text.
type frame struct {
	at     time.Time
	in     bool
	id     string // with result
	result *result
	text   string
	bytes  int
	took   time.Duration
	status int
}

// head is the beginning of a server's message, which is written by hand and so in this order.
type head struct{ id, kind string }

const (
	kindNext     = "next"
	kindError    = "error"
	kindComplete = "complete"
	kindAck      = "connection_ack"
)

// headOf reads id, type and payload of a message.
func headOf(text []byte) (h head, payload []byte) {
	rest, hasID := bytes.CutPrefix(text, []byte(`{"id":"`))
	end := bytes.IndexByte(rest, '"')
	if hasID && end >= 0 && bytes.IndexByte(rest[:end], '\\') < 0 {
		h.id, rest = string(rest[:end]), rest[end+1:]
		if rest, ok := bytes.CutPrefix(rest, []byte(`,"type":"`)); ok {
			if end = bytes.IndexByte(rest, '"'); end >= 0 {
				h.kind, rest = string(rest[:end]), rest[end+1:]
				payload, _ = bytes.CutPrefix(rest, []byte(`,"payload":`))
				return h, bytes.TrimSuffix(payload, []byte("}"))
			}
		}
	}
	var m struct {
		ID, Type string
		Payload  json.RawMessage
	}
	_ = json.Unmarshal(text, &m) // API Gateway's own messages are others
	return head{m.ID, m.Type}, m.Payload
}

// Opened notes a new socket.
func (r *Recorder) Opened(id, userAgent string) {
	s := &socket{id: id, agent: shorten(Cut(userAgent), 120), since: time.Now(), operations: map[string]string{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	r.sockets[id] = s
	if r.opened = append(r.opened, s); len(r.opened) > keptConnections {
		i := max(0, slices.IndexFunc(r.opened, func(s *socket) bool { return s.closed != "" }))
		r.drop(r.opened[i])
		delete(r.sockets, r.opened[i].id)
		r.opened = slices.Delete(r.opened, i, i+1)
	}
}

// Closed notes how a socket ended.
func (r *Recorder) Closed(id string, code int, reason string) {
	reason = shorten(Cut(reason), 200)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	if s := r.sockets[id]; s != nil {
		s.closed = strconv.Itoa(code) + " " + reason
		s.operations = nil
	}
}

// Received notes a message of a client, once it was handled.
func (r *Recorder) Received(id, body string, at time.Time, took time.Duration, ok bool) {
	var m struct {
		ID, Type string
		Payload  struct{ Query string }
	}
	_ = json.Unmarshal([]byte(body), &m) // what is none is shown, too
	f := frame{at: at, in: true, bytes: len(body), took: took, status: 200}
	if !ok {
		f.status = 500
	}
	claimed, document := "", ""
	switch m.Type {
	case "subscribe":
		f.text, document = Cut(body), Cut(m.Payload.Query)
	case "ping", "pong", kindComplete:
		f.text = Cut(body)
	default: // or what does not say what it is
		f.text, claimed = cutInit(body), subjectOf(body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate(rateIn).add(time.Now(), 1)
	s := r.sockets[id]
	if s == nil {
		return
	}
	s.in++
	if claimed != "" {
		if s.claimed = claimed; s.acknowledged() {
			s.viewer = cmp.Or(s.viewer, claimed)
		}
	}
	if m.Type == kindComplete {
		delete(s.operations, m.ID)
	}
	if m.Type == "subscribe" && s.operations != nil && len(s.operations) < socketOperations &&
		len(m.ID) <= transportws.MaxIDBytes {
		s.operations[m.ID] = r.same(document)
		for _, f := range s.frames { // the answers may be here before
			if !f.in && f.id == m.ID && f.at.After(at) && (f.text != "") {
				if h, _ := headOf([]byte(f.text)); h.kind == kindComplete || h.kind == kindError {
					delete(s.operations, m.ID)
				}
			}
		}
	}
	r.keep(s, f)
}

func (s *socket) acknowledged() bool {
	return slices.ContainsFunc(s.frames, func(f frame) bool { return !f.in && f.text == `{"type":"connection_ack"}` })
}

// same returns the document as it is kept for another, so that many share it.
func (r *Recorder) same(document string) string {
	for _, known := range r.documents {
		if known == document {
			return known
		}
	}
	return document
}

// Posted notes a post of the function, or a message of the gateway's own, and its answer.
func (r *Recorder) Posted(id string, text []byte, function string, at time.Time, status int) {
	now := time.Now()
	h, payload := headOf(text)
	f := frame{at: at, id: h.id, bytes: len(text), took: now.Sub(at), status: status}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate(rateOut).add(now, 1)
	switch {
	case status == 410:
		r.gone++
	case status >= 300:
		r.refused++
	}
	if h.id != "" {
		f.result = r.posted(function, &post{place: place{id, h.id}, kind: h.kind, payload: payload, begin: at, end: now, status: status})
	}
	s := r.sockets[id]
	if s == nil {
		return
	}
	if status < 300 {
		s.out++
		switch h.kind {
		case kindAck:
			s.viewer = cmp.Or(s.viewer, s.claimed)
		case kindComplete, kindError:
			delete(s.operations, h.id)
		}
	}
	if f.result == nil || h.kind != kindNext || f.result.text == "" {
		f.result, f.text = nil, Cut(string(text))
	}
	r.keep(s, f)
}

// keep adds a frame to the socket's, and drops the oldest ones of all when there are too many.
func (r *Recorder) keep(s *socket, f frame) {
	if len(s.frames) >= 2*socketFrames {
		for _, old := range s.frames[:socketFrames] {
			r.text -= len(old.text)
		}
		r.frames -= socketFrames
		s.frames = append([]frame(nil), s.frames[socketFrames:]...)
	}
	s.frames = append(s.frames, f)
	r.frames++
	r.text += len(f.text)
	for i := 0; (r.frames > keptFrames || r.text > keptText) && i < len(r.opened)-1; i++ {
		r.drop(r.opened[i])
	}
}

func (r *Recorder) drop(s *socket) {
	for _, f := range s.frames {
		r.text -= len(f.text)
	}
	r.frames -= len(s.frames)
	s.frames = nil
}

func (s *socket) summary() Connection {
	return Connection{ID: s.id, Viewer: s.viewer, Client: s.agent, Since: s.since, Operations: len(s.operations),
		In: s.in, Out: s.out, Closed: s.closed}
}

// Log returns the protocol of a connection.
func (r *Recorder) Log(id string) (Log, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sockets[id]
	if s == nil {
		return Log{}, false
	}
	l := Log{Connection: s.summary()}
	for _, f := range s.frames[max(0, len(s.frames)-socketFrames):] {
		out := Frame{At: f.at, In: f.in, Text: f.text, Bytes: f.bytes, TookMS: ms(f.took), Status: f.status}
		if f.result != nil {
			out.Text = `{"id":` + encode(f.id) + `,"type":"next","payload":` + f.result.text + `}`
		}
		l.Frames = append(l.Frames, out)
	}
	slices.SortStableFunc(l.Frames, func(a, b Frame) int { return a.At.Compare(b.At) })
	return l, true
}

// ViewerOf returns who a connection is of; "" for nobody.
func (r *Recorder) ViewerOf(id string) (viewer string, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sockets[id]; s != nil {
		return s.viewer, true
	}
	return "", false
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
