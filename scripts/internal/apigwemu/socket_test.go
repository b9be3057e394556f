package apigwemu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"subwire/scripts/internal/wsclient"
)

func TestOnlyConnectEventsHaveHeadersAndQuery(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, err := wsclient.DialRaw(t.Context(), a.url()+"?token=a&token=b", wsclient.Options{
		Header:       http.Header{"Origin": {"https://example.com"}, "User-Agent": {"tester"}},
		Subprotocols: []string{"graphql-transport-ws", "other"},
	})
	if err != nil {
		t.Fatal(err)
	}
	connect := <-a.connected
	if err := c.Send(t.Context(), `{"type":"ping"}`); err != nil {
		t.Fatal(err)
	}
	message := <-a.messages
	c.Close(4000, "bye")
	disconnect := <-a.disconnected

	for name, want := range map[string]string{
		"Origin": "https://example.com", "Sec-Websocket-Protocol": "graphql-transport-ws,other", // in Go's spelling
		"Sec-Websocket-Version": "13", "X-Forwarded-For": "127.0.0.1", "Host": connect.RequestContext.DomainName,
	} {
		if got := connect.Headers[name]; got != want {
			t.Errorf("CONNECT header %s = %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff(map[string]string{"token": "b"}, connect.QueryStringParameters); diff != "" {
		t.Errorf("CONNECT query (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"token": {"a", "b"}}, connect.MultiValueQueryStringParameters); diff != "" {
		t.Errorf("CONNECT multi-value query (-want +got):\n%s", diff)
	}

	common := events.APIGatewayWebsocketProxyRequestContext{
		Stage: "local", APIID: apiID, MessageDirection: "IN", ConnectionID: connect.RequestContext.ConnectionID,
		ConnectedAt: connect.RequestContext.RequestTimeEpoch, DomainName: strings.TrimPrefix(a.server.URL, "http://"),
		Identity: events.APIGatewayRequestIdentity{SourceIP: "127.0.0.1", UserAgent: "tester"},
	}
	wantConnect, wantMessage, wantDisconnect, reason := common, common, common, "bye"
	wantConnect.EventType, wantConnect.RouteKey = "CONNECT", "$connect"
	wantMessage.EventType, wantMessage.RouteKey = "MESSAGE", "$default"
	wantDisconnect.EventType, wantDisconnect.RouteKey = "DISCONNECT", "$disconnect"
	wantDisconnect.DisconnectStatusCode, wantDisconnect.DisconnectReason = 4000, &reason
	volatile := cmpopts.IgnoreFields(common, "RequestID", "ExtendedRequestID", "RequestTime", "RequestTimeEpoch", "MessageID")

	if diff := cmp.Diff(wantConnect, connect.RequestContext, volatile); diff != "" {
		t.Errorf("CONNECT (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wsRequest{RequestContext: wantMessage, Body: `{"type":"ping"}`}, message, volatile); diff != "" {
		t.Errorf("MESSAGE (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantDisconnect, disconnect.RequestContext, volatile); diff != "" {
		t.Errorf("DISCONNECT (-want +got):\n%s", diff)
	}
	if message.RequestContext.MessageID == nil || message.RequestContext.RequestTimeEpoch < connect.RequestContext.RequestTimeEpoch {
		t.Errorf("MESSAGE has message id %v and time %d", message.RequestContext.MessageID, message.RequestContext.RequestTimeEpoch)
	}
}

func TestConnectionIDsLookRealAndDiffer(t *testing.T) {
	t.Parallel()
	if !wellFormed("R1kmxc2VNjMCFIA=") {
		t.Error("a real id is taken for ill-formed")
	}
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		if len(id) != 16 || !strings.HasSuffix(id, "=") || !wellFormed(id) || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func TestEachMessageIsAnInvocationOfItsOwnAndMayBeOvertaken(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	release := make(chan struct{})
	a.SetFaults(Faults{Message: func(ctx context.Context, _, body string) {
		if body == "first" {
			<-release
		}
	}})
	c, _ := a.open()
	for _, text := range []string{"first", "second", "third"} {
		if err := c.Send(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	later := []wsRequest{<-a.messages, <-a.messages}
	bodies := []string{later[0].Body, later[1].Body}
	slices.Sort(bodies)
	if diff := cmp.Diff([]string{"second", "third"}, bodies); diff != "" {
		t.Errorf("messages handled while the first is held (-want +got):\n%s", diff)
	}
	for time.Now().UnixMilli() <= later[1].RequestContext.RequestTimeEpoch {
		runtime.Gosched() // a time taken after this would be later
	}
	close(release)
	first := <-a.messages
	if first.Body != "first" {
		t.Fatalf("last message = %q", first.Body)
	}
	for _, e := range later {
		if first.RequestContext.RequestTimeEpoch > e.RequestContext.RequestTimeEpoch {
			t.Errorf("%q was received before the first, by their times", e.Body)
		}
	}
}

func TestTheAnswerOfAFunctionDoesNotReachTheClient(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Message: returns(`{"statusCode":200,"body":"route response"}`)})
	c, id := a.open()
	if err := c.Send(t.Context(), "{}"); err != nil {
		t.Fatal(err)
	}
	<-a.messages
	a.post(id, "posted", 200)
	if got := next(t, c); got != "posted" {
		t.Errorf("frame = %q", got)
	}
}

func TestAFailedMessageIsAnErrorFrameAndTheSocketStaysOpen(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Invoker{
		"function error":            function(fails),
		"throttled function":        function(throttled),
		"time-out":                  function(hangs),
		"statusCode 500":            returns(`{"statusCode":500}`),
		"answer without statusCode": returns(`{"body":"x"}`),
		"answer that is no JSON":    returns(`nope`),
		"null":                      returns(`null`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{Message: f, Limits: Limits{IntegrationTimeout: 50 * time.Millisecond}})
			c, id := a.open()
			if err := c.Send(t.Context(), "{}"); err != nil {
				t.Fatal(err)
			}
			var got map[string]string
			if err := json.Unmarshal([]byte(next(t, c)), &got); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"message": "Internal server error", "connectionId": id,
				"requestId": (<-a.messages).RequestContext.RequestID,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("frame (-want +got):\n%s", diff)
			}
			a.post(id, "still here", 200)
			if got := next(t, c); got != "still here" {
				t.Errorf("frame = %q", got)
			}
		})
	}
}

func TestTheClientsEndIsToldOnceWithCodeAndReason(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code       int
		reason     string
		wantReason string
	}{
		"normal":                 {1000, "done", "done"},
		"page left":              {1001, "", ""},
		"private code":           {4004, "bad response", "bad response"},
		"frame without a status": {1005, "", "Client-side close frame status not set"},
		"no close frame":         {1006, "", "Connection Closed Abnormally"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{})
			c, id := a.open()
			c.Close(tt.code, tt.reason)
			a.ended(id, int64(tt.code), tt.wantReason)
			a.post(id, "late", 410)
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := len(a.disconnected); n != 0 {
				t.Errorf("$disconnect was told %d times more", n)
			}
		})
	}
}

func TestASilentSocketIsClosedWhenIdle(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Limits: Limits{Idle: 20 * time.Millisecond}})
	c, id := a.open()
	closedWith(t, c, 1001, "Going away")
	a.ended(id, 1001, "Going away")
}

func TestMessagesEitherWayKeepASocketFromBeingIdle(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Limits: Limits{Idle: time.Hour}})
	c, id := a.open()
	s := a.socket(id)
	for name, act := range map[string]func(){
		"from the client": func() { c.Send(t.Context(), "{}"); <-a.messages },
		"to the client":   func() { a.post(id, "{}", 200) },
	} {
		s.mu.Lock()
		s.idle.Stop()
		s.mu.Unlock()
		act()
		if !s.idle.Stop() {
			t.Errorf("a message %s did not begin a new idle time", name)
		}
	}
}

func TestASocketIsClosedAtTheAgeLimit(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Limits: Limits{Age: 20 * time.Millisecond}})
	c, id := a.open()
	closedWith(t, c, 1001, "Going away")
	a.ended(id, 1001, "Going away")
}

// sending opens a socket, writes one message of the frames and returns the close
// code, or 0 if the message was handled.
func sending(t *testing.T, a *api, kind websocket.MessageType, frames ...string) websocket.StatusCode {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), a.url(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if len(frames) == 1 {
		err = conn.Write(t.Context(), kind, []byte(frames[0]))
	} else {
		err = fragments(t.Context(), conn, frames)
	}
	if err != nil {
		t.Logf("write: %v", err) // the gateway may have closed by then
	}
	closed := make(chan websocket.StatusCode, 1)
	go func() {
		_, _, err := conn.Read(t.Context())
		closed <- websocket.CloseStatus(err)
	}()
	select {
	case code := <-closed:
		return code
	case e := <-a.messages:
		if e.Body != strings.Join(frames, "") {
			t.Errorf("message of %d bytes was changed", len(e.Body))
		}
		conn.CloseNow()
		<-closed
		return 0
	}
}

func fragments(ctx context.Context, conn *websocket.Conn, frames []string) error {
	w, err := conn.Writer(ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for _, f := range frames {
		if _, err := w.Write([]byte(f)); err != nil {
			return err
		}
	}
	return w.Close()
}

func TestWhatTheGatewayCannotCarryIsClosed(t *testing.T) {
	t.Parallel()
	k := func(n int) string { return strings.Repeat("x", n<<10) }
	for name, tt := range map[string]struct {
		kind   websocket.MessageType
		frames []string
		want   websocket.StatusCode
	}{
		"frame of 32 KB is handled":                     {websocket.MessageText, []string{k(32)}, 0},
		"frame of 32 KB and a byte is a 1009":           {websocket.MessageText, []string{k(32) + "x"}, 1009},
		"frame of 100 KB is a 1009":                     {websocket.MessageText, []string{k(100)}, 1009},
		"message of 40 KB in two frames is handled":     {websocket.MessageText, []string{k(20), k(20)}, 0},
		"message of 128 KB in small frames is handled":  {websocket.MessageText, []string{k(32), k(32), k(32), k(32)}, 0},
		"message over 128 KB in small frames is a 1009": {websocket.MessageText, []string{k(32), k(32), k(32), k(32), "x"}, 1009},
		"second frame too large is a 1009":              {websocket.MessageText, []string{"x", k(33)}, 1009},
		"binary frame is a 1003":                        {websocket.MessageBinary, []string{"x"}, 1003},
		"text that is not UTF-8 is a 1007":              {websocket.MessageText, []string{"\xff"}, 1007},
		"empty text is handled":                         {websocket.MessageText, []string{""}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{})
			if got := sending(t, a, tt.kind, tt.frames...); got != tt.want {
				t.Errorf("close code = %d, want %d", got, tt.want)
			}
			if tt.want != 0 {
				if e := (<-a.disconnected).RequestContext; e.DisconnectStatusCode != int64(tt.want) {
					t.Errorf("$disconnect code = %d, want %d", e.DisconnectStatusCode, tt.want)
				}
			}
		})
	}
}

func TestAMessageBeforeTheFrameThatIsTooLargeIsHandled(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, id := a.open()
	for _, text := range []string{"small", strings.Repeat("x", 33<<10)} {
		if err := c.Send(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if e := <-a.messages; e.Body != "small" {
		t.Errorf("message of %d bytes", len(e.Body))
	}
	closedWith(t, c, 1009, "Message too long")
	a.ended(id, 1009, "Message too long")
}

func TestTheScannerFindsFramesHoweverTheBytesArrive(t *testing.T) {
	t.Parallel()
	masked := func(first, length byte, more ...byte) []byte {
		return append(append([]byte{first, 0x80 | length}, more...), 1, 2, 3, 4)
	}
	var stream []byte
	stream = append(stream, append(masked(0x81, 2), "hi"...)...)                                        // message 1
	stream = append(stream, masked(0x89, 0)...)                                                         // ping
	stream = append(stream, append(masked(0x01, 126, 0, 200), make([]byte, 200)...)...)                 // message 2 begins
	stream = append(stream, append(masked(0x80, 127, 0, 0, 0, 0, 0, 0, 1, 0), make([]byte, 256)...)...) // and ends too large
	stream = append(stream, append(masked(0x81, 126, 1, 1), make([]byte, 257)...)...)                   // message 3 too
	for _, step := range []int{1, 2, 3, 7, 64, len(stream)} {
		s := &scanner{limit: 255}
		for chunk := range slices.Chunk(stream, step) {
			s.scan(chunk)
		}
		if got := s.oversize.Load(); got != 2 || s.message != 3 {
			t.Errorf("in steps of %d: message %d is too large of %d, want 2 of 3", step, got, s.message)
		}
	}
}

func TestPingFramesAreAnswered(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	conn, _, err := websocket.Dial(t.Context(), a.url(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.CloseRead(t.Context())
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestManySocketsComeAndGo(t *testing.T) {
	t.Parallel()
	const n = 200
	a := newAPI(t, Config{})
	clients := make([]*wsclient.Raw, n)
	for i := range clients {
		clients[i], _ = a.open()
	}
	for i, id := range a.Connections() {
		a.post(id, fmt.Sprint(i), 200)
	}
	for _, c := range clients {
		next(t, c)
		c.Close(1000, "")
	}
	for range n {
		<-a.disconnected
	}
	if got := a.Connections(); len(got) != 0 {
		t.Errorf("%d sockets left", len(got))
	}
}

// So what a message stores may arrive after the clean-up of its connection.
func TestAMessageMayBeHandledAfterTheDisconnect(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	release := make(chan struct{})
	a.SetFaults(Faults{Message: func(context.Context, string, string) { <-release }})
	c, id := a.open()
	if err := c.Send(t.Context(), "late"); err != nil {
		t.Fatal(err)
	}
	c.Close(1000, "")
	a.ended(id, 1000, "")
	close(release)
	if e := <-a.messages; e.Body != "late" || e.RequestContext.ConnectionID != id {
		t.Errorf("handled %q of %s", e.Body, e.RequestContext.ConnectionID)
	}
	a.post(id, "answer", 410)
}
