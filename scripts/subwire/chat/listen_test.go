package chat

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"subwire/scripts/internal/wsclient"
)

// sockets is a deployment's WebSocket API. Each connection gets the frames of its own list after
// its subscribe, and is then cut. It notes what was subscribed to.
func sockets(t *testing.T, frames ...[]string) (url string, subscribed *[]string) {
	t.Helper()
	var n atomic.Int32
	subscribed = new([]string) // one connection after the other
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wsclient.Subprotocol}})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		for i := range 2 { // connection_init, subscribe
			_, frame, err := conn.Read(r.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if i == 0 {
				_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"connection_ack"}`))
				continue
			}
			*subscribed = append(*subscribed, string(frame))
		}
		for _, frame := range frames[n.Add(1)-1] {
			_ = conn.Write(r.Context(), websocket.MessageText, []byte(frame)) // the client shows what is missing
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http"), subscribed
}

func next(id string) string {
	return fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"newMessage":{"id":%q}}}}`, id)
}

func TestListenSurvivesACut(t *testing.T) {
	t.Parallel()
	url := deployed(t, http.StatusOK, `{"data":{"getNewMessages":[{"id":"A"}]}}`)
	ws, subscribed := sockets(t, []string{next("B"), next("C")}, []string{next("C"), next("D"),
		`{"type":"connection_error: 4403 Forbidden","payload":{"code":4403,"message":"Forbidden"}}`})
	var out, errs strings.Builder
	err := server{http: url + "/graphql", ws: ws}.listen(t.Context(), "lobby", time.Millisecond, &out, &errs)
	if closed, ok := errors.AsType[*wsclient.ClosedError](err); !ok || closed.Code != 4403 {
		t.Errorf("it ended with %v", err)
	}
	got := strings.NewReplacer(`{"data":{"newMessage":{"id":"`, "", `"}}}`, "").Replace(out.String())
	if got != "B\nC\nD\n" || strings.Count(errs.String(), "listening to lobby\n") != 2 || strings.Count(errs.String(), "not connected: ") != 1 {
		t.Errorf("it printed %q and said %q", got, &errs)
	}
	for i, after := range []string{"A", "C"} {
		if len(*subscribed) <= i || !strings.Contains((*subscribed)[i], `"after":"`+after+`"`) {
			t.Errorf("connection %d should go on after %s; they subscribed to %q", i, after, *subscribed)
		}
	}
}

func TestWhatANewConnectionCanHelp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{io.ErrUnexpectedEOF, true},
		{&wsclient.GatewayError{Message: "Internal server error"}, true},
		{&wsclient.ClosedError{Code: 1006}, true},
		{fmt.Errorf("connect: %w", &wsclient.ClosedError{Code: 4401, Reason: "Connection expired"}), true},
		{&wsclient.ClosedError{Code: 4401, Reason: "Token expired"}, false},
		{&wsclient.ClosedError{Code: 4400, Reason: "x"}, false},
		{&wsclient.ClosedError{Code: 4500}, true},
		{&wsclient.RefusedError{Status: 401}, false},
		{&wsclient.RefusedError{Status: 429}, true},
		{&wsclient.RefusedError{Status: 503}, true},
		{&wsclient.OperationError{Errors: []byte(`[{"message":"no"}]`)}, false},
		{&wsclient.OperationError{Errors: []byte(`[{"message":"","extensions":{"code":"UNAVAILABLE"}}]`)}, true},
	} {
		if got := canHelp(tt.err); got != tt.want {
			t.Errorf("%v: %t", tt.err, got)
		}
	}
}
