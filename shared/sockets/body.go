package sockets

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// errCrowded says that the bodies of other requests have taken all the memory there is for
// them.
var errCrowded = errors.New("too much is being received")

// memory is what bodies of one kind may take together.
type memory struct {
	taken atomic.Int64
	most  int64
}

// readBody reads a body within the set's MessageTimeout: up to limit bytes, or one more if
// it is longer. What it takes is reserved in m: a client's body may be anybody's. The caller
// calls done when it has let go of the body.
// Errors: errCrowded; any other when the client has not sent all.
func (s *Set) readBody(w http.ResponseWriter, r io.Reader, limit int, m *memory) (body []byte, done func(), err error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.MessageTimeout)) // without one it may only last longer
	reserved := int64(0)
	done = func() { m.taken.Add(-reserved) }
	in := io.LimitReader(r, int64(limit)+1)
	for {
		if len(body) == cap(body) {
			size := min(max(2*cap(body), keptBuffer), limit+1)
			more := int64(size - cap(body))
			reserved += more
			if m.taken.Add(more) > m.most {
				return nil, done, fmt.Errorf("read body: %w", errCrowded)
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit: // net/http reads on for a while, within the deadline
			return body, done, nil
		case errors.Is(err, io.EOF):
			_ = control.SetReadDeadline(time.Time{})
			return body, done, nil
		case err != nil:
			return body, done, fmt.Errorf("read body: %w", err)
		}
	}
}
