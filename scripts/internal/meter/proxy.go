package meter

import (
	"bytes"
	"io"
	"net/http"

	"subwire/scripts/internal/awsproxy"
)

// exchange is one request to DynamoDB or SQS and the answer to it.
type exchange struct {
	operation string
	request   []byte
	status    int
	answer    []byte
}

// DynamoDB returns a handler before that of DynamoDB that counts what calls consume
// according to it. It asks for that in every request.
func (m *Meter) DynamoDB(next http.Handler) http.Handler {
	return before(next, awsproxy.AskForCapacity, m.dynamoDB)
}

// SQS returns a handler before that of SQS that counts requests by their sizes.
func (m *Meter) SQS(next http.Handler) http.Handler {
	return before(next, func(body []byte) []byte { return body }, m.sqs)
}

// before calls see with every exchange. It passes requests on as change returns them,
// and answers unchanged.
func before(next http.Handler, change func([]byte) []byte, see func(exchange)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest) // the caller has gone
			return
		}
		_, operation := awsproxy.Operation(r)
		awsproxy.SetBody(r, change(body))
		a := &answer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(a, r)
		see(exchange{operation, body, a.status, a.body.Bytes()})
	})
}

type answer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.body.Write(p)
	return a.ResponseWriter.Write(p)
}
