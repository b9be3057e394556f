package langdiff

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// question is an operation: one case for both sides.
type question struct {
	Document  string `json:"document"`
	Operation string `json:"operation,omitempty"`
	Variables string `json:"variables,omitempty"` // the text of a JSON object
}

// verdict is what one side makes of a question.
type verdict struct {
	Stage  string // stage that refused: parse, validate or coerce, ours also limit; or execute
	Kind   string
	Topic  string // the arguments of a subscription, in canonical's form
	Data   string // of an execution: JSON
	Errors []located
}

// located is an error with its places.
type located struct {
	Path      []any
	Locations [][2]int // line and column
	Message   string
	Rule      string // the broken rule of graphql-js
}

// referee is the graphql-js process that all tests share.
type referee struct {
	mutex sync.Mutex
	in    io.WriteCloser
	out   *bufio.Reader
}

var startReferee = sync.OnceValues(func() (*referee, error) {
	const schema, world = "../langdiff/" + schemaFile, "../langdiff/" + worldFile
	cmd := exec.Command("node", "graphql-js.mjs", schema, world) // it ends with its standard input, and so with us
	cmd.Dir, cmd.Stderr = "../clients", os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &referee{in: in, out: bufio.NewReader(out)}, cmd.Start()
})

// askAll writes the requests and calls read with each answer, in order.
func askAll[Q any](t testing.TB, requests []Q, read func(i int, answer []byte)) {
	t.Helper()
	r, err := startReferee()
	if err != nil {
		t.Fatal(err)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	written := make(chan error, 1)
	go func() {
		encoder := json.NewEncoder(r.in)
		for _, request := range requests {
			if err := encoder.Encode(request); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for i := range requests {
		line, err := r.out.ReadBytes('\n')
		if err != nil {
			t.Fatalf("graphql-js answered %d of %d requests: %v", i, len(requests), err)
		}
		read(i, line)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

func ask(t testing.TB, request, answer any) {
	t.Helper()
	askAll(t, []any{request}, func(_ int, line []byte) {
		if err := json.Unmarshal(line, answer); err != nil {
			t.Fatal(err)
		}
	})
}

func theirs(t testing.TB, questions []question) []verdict {
	t.Helper()
	verdicts := make([]verdict, len(questions))
	askAll(t, questions, func(i int, line []byte) {
		if err := json.Unmarshal(line, &verdicts[i]); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
	})
	return verdicts
}
