package lambdart

import (
	"bytes"
	"io"
	"strings"
	"sync"

	"subwire/scripts/internal/plain"
)

const (
	tailLines    = 10
	maxLineBytes = 64 << 10 // longer lines are split, so that memory stays bounded
)

// sharedWriter lets many processes write to w.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// lineWriter passes on what one process writes, with a prefix and one write per line.
// It remembers the last lines.
type lineWriter struct {
	to     io.Writer
	prefix string

	begun []byte   // an unfinished line
	last  []string // at most tailLines
}

// Lines returns a writer for the output of one process, which passes it on to w by lines with
// a prefix. w must be safe for concurrent use if several processes have it.
func Lines(w io.Writer, prefix string) io.Writer {
	return &lineWriter{to: &sharedWriter{w: w}, prefix: prefix}
}

// Write never fails: a process must not die because nobody reads its log.
func (l *lineWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		l.begun = append(l.begun, line...)
		if line[len(line)-1] == '\n' || len(l.begun) >= maxLineBytes {
			l.flush()
		}
	}
	return len(p), nil
}

// flush passes on an unfinished line.
func (l *lineWriter) flush() {
	if len(l.begun) == 0 {
		return
	}
	line := plain.Lines(strings.TrimSuffix(string(l.begun), "\n")) // a function may log text that a client chose
	l.begun = l.begun[:0]
	l.last = append(l.last, line)
	l.last = l.last[max(0, len(l.last)-tailLines):]
	io.WriteString(l.to, l.prefix+line+"\n")
}

// tail returns the last lines. The process must have exited.
func (l *lineWriter) tail() string { return strings.Join(l.last, "\n") }
