package apigwemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"subwire/scripts/internal/lambdart"
	"subwire/scripts/internal/wsclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// function is an Invoker made of a Go function.
type function func(ctx context.Context, payload []byte) ([]byte, error)

func (f function) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// returns is a function that always gives the same answer.
func returns(answer string) function {
	return func(context.Context, []byte) ([]byte, error) { return []byte(answer), nil }
}

func fails(context.Context, []byte) ([]byte, error) { return nil, errors.New("function failed") }

func throttled(context.Context, []byte) ([]byte, error) {
	return nil, fmt.Errorf("invoke: %w", lambdart.ErrThrottled)
}

func hangs(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// api is a gateway that listens, and what its functions received.
type api struct {
	*Gateway
	t            *testing.T
	server       *httptest.Server
	connected    chan wsRequest
	messages     chan wsRequest
	disconnected chan wsRequest
}

const ok = `{"statusCode":200}`

// newAPI serves cfg. Functions that it lacks answer 200.
func newAPI(t *testing.T, cfg Config) *api {
	t.Helper()
	a := &api{t: t, connected: make(chan wsRequest, 1000), messages: make(chan wsRequest, 1000), disconnected: make(chan wsRequest, 1000)}
	cfg.Connect = a.recorder(a.connected, cfg.Connect)
	cfg.Message = a.recorder(a.messages, cfg.Message)
	cfg.Disconnect = a.recorder(a.disconnected, cfg.Disconnect)
	cfg.Routes = routes
	a.Gateway = New(cfg)
	a.server = httptest.NewUnstartedServer(a.WebSocket())
	a.server.Listener = a.Listen(a.server.Listener)
	a.server.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Error(err)
		}
		a.server.Close()
	})
	return a
}

func (a *api) recorder(to chan<- wsRequest, f Invoker) Invoker {
	if f == nil {
		f = returns(ok)
	}
	return function(func(ctx context.Context, payload []byte) ([]byte, error) {
		var e wsRequest
		if err := json.Unmarshal(payload, &e); err != nil {
			a.t.Error(err)
		}
		to <- e
		return f.Invoke(ctx, payload)
	})
}

func (a *api) url() string { return "ws" + strings.TrimPrefix(a.server.URL, "http") + "/local" }

// open returns an open socket and its connection id.
func (a *api) open() (*wsclient.Raw, string) {
	a.t.Helper()
	c, err := wsclient.DialRaw(a.t.Context(), a.url(), wsclient.Options{Subprotocols: []string{}})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close(1000, "") })
	return c, (<-a.connected).RequestContext.ConnectionID
}

// call makes a signed call of the management API.
func (a *api) call(method, id, body string) *http.Response {
	a.t.Helper()
	return a.request(method, "/local/@connections/"+strings.ReplaceAll(id, "=", "%3D"), body, "AWS4-HMAC-SHA256 Credential=x")
}

// request makes a call and reads the body of the answer.
func (a *api) request(method, path, body, authorization string) *http.Response {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.server.URL+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := a.server.Client().Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	resp.Body.Close()
	resp.Body = io.NopCloser(strings.NewReader(string(text)))
	return resp
}

// post posts a frame and checks the status of the answer.
func (a *api) post(id, frame string, want int) {
	a.t.Helper()
	if resp := a.call("POST", id, frame); resp.StatusCode != want {
		a.t.Errorf("post to %s: status %d, want %d", id, resp.StatusCode, want)
	}
}

// ended checks what $disconnect received.
func (a *api) ended(id string, code int64, reason string) {
	a.t.Helper()
	type end struct {
		ID     string
		Code   int64
		Reason string
	}
	e := (<-a.disconnected).RequestContext
	if diff := cmp.Diff(end{id, code, reason}, end{e.ConnectionID, e.DisconnectStatusCode, *e.DisconnectReason}); diff != "" {
		a.t.Errorf("$disconnect (-want +got):\n%s", diff)
	}
}

func next(t *testing.T, c *wsclient.Raw) string {
	t.Helper()
	text, err := c.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func closedWith(t *testing.T, c *wsclient.Raw, code int, reason string) {
	t.Helper()
	_, err := c.Next(t.Context())
	if diff := cmp.Diff(error(&wsclient.ClosedError{Code: code, Reason: reason}), err); diff != "" {
		t.Errorf("close seen by the client (-want +got):\n%s", diff)
	}
}

func TestTheUpgradeIsPendingUntilConnectHasReturned(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	a := newAPI(t, Config{Connect: function(func(ctx context.Context, _ []byte) ([]byte, error) {
		<-release
		return []byte(ok), nil
	})})
	dialled := make(chan *wsclient.Raw)
	go func() {
		c, err := wsclient.DialRaw(t.Context(), a.url(), wsclient.Options{})
		if err != nil {
			t.Error(err)
		}
		dialled <- c
	}()
	id := (<-a.connected).RequestContext.ConnectionID
	a.post(id, "early", 410)
	select {
	case <-dialled:
		t.Error("the socket opened before $connect returned")
	default:
	}
	close(release)
	c := <-dialled
	defer c.Close(1000, "")
	a.post(id, "hello", 200)
	if got := next(t, c); got != "hello" {
		t.Errorf("frame = %q", got)
	}
}

func TestConnectDecidesTheStatusOfTheUpgrade(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		connect Invoker
		want    int
	}{
		"401 from the function is a 401":           {returns(`{"statusCode":401}`), 401},
		"400 from the function is a 400":           {returns(`{"statusCode":400,"body":"no"}`), 400},
		"function error is a 502":                  {function(fails), 502},
		"throttled function is a 500":              {function(throttled), 500},
		"time-out is a 502":                        {function(hangs), 502},
		"answer without statusCode is a 502":       {returns(`{}`), 502},
		"answer that is no JSON is a 502":          {returns(`nope`), 502},
		"statusCode that HTTP forbids is a 502":    {returns(`{"statusCode":42}`), 502},
		"statusCode that is a string (!) is a 502": {returns(`{"statusCode":"200"}`), 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{Connect: tt.connect, Limits: Limits{IntegrationTimeout: 50 * time.Millisecond}})
			_, err := wsclient.DialRaw(t.Context(), a.url(), wsclient.Options{})
			if diff := cmp.Diff(error(&wsclient.RefusedError{Status: tt.want}), err); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if n := len(a.disconnected); n != 0 {
				t.Errorf("$disconnect was told %d times of a socket that never opened", n)
			}
		})
	}
}

func TestOnlyTheSubprotocolHeaderOfConnectReachesTheClient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ header, want string }{
		"in the usual spelling":               {"Sec-WebSocket-Protocol", "graphql-transport-ws"},
		"in lower case":                       {"sec-websocket-protocol", "graphql-transport-ws"},
		"even if the client did not offer it": {"Sec-WebSocket-Protocol", "something-else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{Connect: returns(`{"statusCode":200,"headers":{"X-Secret":"1","` + tt.header + `":"` + tt.want + `"}}`)})
			req, _ := http.NewRequestWithContext(t.Context(), "GET", a.server.URL, nil)
			for name, value := range map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "graphql-transport-ws",
			} {
				req.Header.Set(name, value)
			}
			resp, err := a.server.Client().Do(req) // no WebSocket client would accept all of these answers
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != tt.want {
				t.Errorf("subprotocol = %q, want %q", got, tt.want)
			}
			if got := resp.Header.Get("X-Secret"); got != "" {
				t.Errorf("X-Secret = %q reached the client", got)
			}
		})
	}
}

func TestARequestThatIsNoUpgradeIsRefusedUnasked(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	if resp := a.request("GET", "/local", "", ""); resp.StatusCode != 426 || len(a.connected) != 0 {
		t.Errorf("status %d, $connect asked %d times", resp.StatusCode, len(a.connected))
	}
}

func TestAHandshakeHasAShortURL(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	_, err := wsclient.DialRaw(t.Context(), a.url()+"?"+strings.Repeat("x", 4096), wsclient.Options{})
	if diff := cmp.Diff(error(&wsclient.RefusedError{Status: 414}), err); diff != "" || len(a.connected) > 0 {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}

func TestShutdownClosesEverySocketWith1001AndRefusesMore(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, id := a.open()
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	closedWith(t, c, 1001, "Going away")
	a.ended(id, 1001, "Going away")
	_, err := wsclient.DialRaw(t.Context(), a.url(), wsclient.Options{})
	if diff := cmp.Diff(error(&wsclient.RefusedError{Status: 503}), err); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}

func TestShutdownThatIsOutOfTimeCancelsInvocations(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Message: function(hangs)})
	c, _ := a.open()
	if err := c.Send(t.Context(), "{}"); err != nil {
		t.Fatal(err)
	}
	<-a.messages
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v, want context.Canceled", err)
	}
}

func TestARefusedUpgradeHasNoDisconnect(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Connect: returns(`{"statusCode":403}`)})
	if _, err := wsclient.DialRaw(t.Context(), a.url(), wsclient.Options{}); err == nil {
		t.Fatal("the socket is open")
	}
	a.post((<-a.connected).RequestContext.ConnectionID, "late", 410)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(a.disconnected); n != 0 {
		t.Errorf("$disconnect was told %d times", n)
	}
}

func TestAClientThatLeavesBeforeConnectHasReturnedHasADisconnect(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	a := newAPI(t, Config{Connect: function(func(context.Context, []byte) ([]byte, error) {
		<-release
		return []byte(ok), nil
	})})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		if _, err := wsclient.DialRaw(ctx, a.url(), wsclient.Options{}); err == nil {
			t.Error("the socket is open")
		}
	}()
	id := (<-a.connected).RequestContext.ConnectionID
	leave()
	<-left
	close(release)
	a.ended(id, 1006, "Connection Closed Abnormally")
}
