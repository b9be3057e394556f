package cloud

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"subwire/scripts/internal/deployment"
)

// keptLines is how many lines of the functions' logs are kept.
const keptLines = 10_000

// lines are the latest lines of the functions' logs, as CloudWatch Logs keeps them.
type lines struct {
	mu   sync.Mutex
	kept []deployment.Line
}

// of passes on what the function writes, in whole lines each with its name before it, and
// keeps it.
func (l *lines) of(function string, to io.Writer) io.Writer { return keeper{l, function, to} }

type keeper struct {
	*lines
	function string
	to       io.Writer
}

func (k keeper) Write(p []byte) (int, error) {
	k.add(deployment.Line{At: time.Now(), Function: k.function, Text: string(p[min(len(p), len(k.function+": ")):])})
	return k.to.Write(p)
}

func (l *lines) add(line deployment.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept = append(l.kept, line); len(l.kept) == 2*keptLines {
		l.kept = append([]deployment.Line(nil), l.kept[keptLines:]...)
	}
}

// ServeHTTP answers with the lines as JSON, the oldest first.
func (l *lines) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	kept := l.kept[:len(l.kept):len(l.kept)]
	l.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(kept) // fails only if the reader has gone
}
