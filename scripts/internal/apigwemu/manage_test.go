package apigwemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/wsclient"
)

func TestManagementCallsAreRefusedAsAWSDoes(t *testing.T) {
	t.Parallel()
	type answer struct {
		Status          int
		ErrorType, Body string
	}
	const signed = "AWS4-HMAC-SHA256 Credential=x"
	for name, tt := range map[string]struct {
		method, path, body, authorization string
		want                              answer
	}{
		"unknown id is gone, without JSON": {"POST", "/local/@connections/R1kmxc2VNjMCFIA%3D", "x", signed,
			answer{410, "GoneException", ""}},
		"unknown id is gone for DELETE": {"DELETE", "/local/@connections/R1kmxc2VNjMCFIA%3D", "", signed,
			answer{410, "GoneException", ""}},
		"unknown id is gone for GET": {"GET", "/local/@connections/R1kmxc2VNjMCFIA%3D", "", signed,
			answer{410, "GoneException", ""}},
		"escaped @ is the same": {"POST", "/local/%40connections/R1kmxc2VNjMCFIA=", "x", signed,
			answer{410, "GoneException", ""}},
		"malformed id is a bad request": {"POST", "/local/@connections/nobody", "x", signed,
			answer{400, "BadRequestException", `{"message":"Invalid connectionId: nobody"}` + "\n"}},
		"id with a slash is a bad request": {"POST", "/local/@connections/a%2Fb", "x", signed,
			answer{400, "BadRequestException", `{"message":"Invalid connectionId: a/b"}` + "\n"}},
		"message over 128 KB is too large": {"POST", "/local/@connections/R1kmxc2VNjMCFIA%3D", strings.Repeat("x", 128<<10+1), signed,
			answer{413, "PayloadTooLargeException", `{"message":"Message too long"}` + "\n"}},
		"unsigned call is forbidden": {"POST", "/local/@connections/R1kmxc2VNjMCFIA%3D", "x", "",
			answer{403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}` + "\n"}},
		"path without the stage is forbidden": {"POST", "/@connections/R1kmxc2VNjMCFIA%3D", "x", signed,
			answer{403, "ForbiddenException", `{"message":"Forbidden"}` + "\n"}},
		"other stage is forbidden": {"POST", "/prod/@connections/R1kmxc2VNjMCFIA%3D", "x", signed,
			answer{403, "ForbiddenException", `{"message":"Forbidden"}` + "\n"}},
		"other method is forbidden": {"PUT", "/local/@connections/R1kmxc2VNjMCFIA%3D", "x", signed,
			answer{403, "ForbiddenException", `{"message":"Forbidden"}` + "\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, Config{})
			resp := a.request(tt.method, tt.path, tt.body, tt.authorization)
			body, _ := io.ReadAll(resp.Body)
			got := answer{resp.StatusCode, resp.Header.Get("X-Amzn-ErrorType"), string(body)}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPostsToOneConnectionArriveInOrder(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, id := a.open()
	a.post(id, strings.Repeat("x", 128<<10), 200)
	for i := range 50 {
		a.post(id, fmt.Sprint(i), 200)
	}
	if got := next(t, c); len(got) != 128<<10 {
		t.Errorf("first frame has %d bytes", len(got))
	}
	for i := range 50 {
		if got := next(t, c); got != fmt.Sprint(i) {
			t.Fatalf("frame %d = %q", i, got)
		}
	}
}

func TestAClientThatReadsIsNotLimited(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Limits: Limits{BufferBytes: 1000}})
	c, id := a.open()
	for range 50 {
		a.post(id, strings.Repeat("x", 100), 200)
		next(t, c)
	}
}

func TestDeleteClosesWith1000AndNoReasonAfterWhatWasPosted(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, id := a.open()
	a.post(id, "last", 200)
	if resp := a.call("DELETE", id, ""); resp.StatusCode != 204 {
		t.Errorf("status %d", resp.StatusCode)
	}
	a.post(id, "late", 410)
	if got := next(t, c); got != "last" {
		t.Errorf("frame = %q", got)
	}
	closedWith(t, c, 1000, "")
	a.ended(id, 1000, "Connection Closed Normally")
}

func TestGetTellsAboutTheConnection(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	_, id := a.open()
	var before, after connectionInfo
	for _, info := range []*connectionInfo{&before, &after} {
		resp := a.call("GET", id, "")
		if err := json.NewDecoder(resp.Body).Decode(info); err != nil {
			t.Fatal(err)
		}
		a.post(id, "x", 200)
	}
	if before.Identity != (identity{"127.0.0.1", "Go-http-client/1.1"}) {
		t.Errorf("identity = %+v", before.Identity)
	}
	if before.ConnectedAt.IsZero() || !after.ConnectedAt.Equal(before.ConnectedAt) || !after.LastActiveAt.After(before.LastActiveAt) {
		t.Errorf("times before a post %+v, after %+v", before, after)
	}
}

func TestAClientThatDoesNotReadIsLimitedAndCanBeDeleted(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Limits: Limits{CloseWait: 20 * time.Millisecond}})
	_, id := a.open()
	frame := strings.Repeat("x", 128<<10)
	resp := a.call("POST", id, frame)
	for resp.StatusCode == 200 { // the network's own buffers fill first
		resp = a.call("POST", id, frame)
	}
	if got := resp.Header.Get("X-Amzn-ErrorType"); resp.StatusCode != 429 || got != "LimitExceededException" {
		t.Errorf("status %d, type %q", resp.StatusCode, got)
	}
	a.call("DELETE", id, "")
	a.ended(id, 1000, "Connection Closed Normally")
}

func TestPostFaultsAnswerWithOrWithoutEffect(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, id := a.open()
	fault := func(status int, sent bool) {
		a.SetFaults(Faults{Post: func(context.Context, string) (int, bool) { return status, sent }})
	}
	fault(429, false)
	resp := a.call("POST", id, "lost")
	if got := resp.Header.Get("X-Amzn-ErrorType"); resp.StatusCode != 429 || got != "LimitExceededException" {
		t.Errorf("status %d, type %q", resp.StatusCode, got)
	}
	fault(http.StatusGatewayTimeout, true)
	a.post(id, "sent", 504)
	fault(410, false) // although the socket is there
	a.post(id, "lost", 410)
	fault(400, false)
	resp = a.call("POST", id, "lost")
	body, _ := io.ReadAll(resp.Body)
	if want := `{"message":"Bad Request"}` + "\n"; resp.Header.Get("X-Amzn-ErrorType") != "BadRequestException" || string(body) != want {
		t.Errorf("400 is answered with %s", body)
	}
	fault(408, false)
	if resp := a.call("POST", id, "lost"); resp.StatusCode != 408 || !resp.Close {
		t.Errorf("408 is answered %d and keeps the connection: %t", resp.StatusCode, !resp.Close)
	}
	fault(0, false)
	a.post(id, "plain", 200)
	if first, second := next(t, c), next(t, c); first != "sent" || second != "plain" {
		t.Errorf("frames = %q, %q", first, second)
	}
}

func TestDeleteFaultsAnswerWithOrWithoutEffect(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, id := a.open()
	for _, fault := range []struct {
		status int
		closed bool
	}{{429, false}, {500, true}} {
		a.SetFaults(Faults{Delete: func(context.Context, string) (int, bool) { return fault.status, fault.closed }})
		if resp := a.call("DELETE", id, ""); resp.StatusCode != fault.status || len(a.Connections()) == 1 == fault.closed {
			t.Errorf("status %d, %d open", resp.StatusCode, len(a.Connections()))
		}
	}
	closedWith(t, c, 1000, "")
	a.ended(id, 1000, "Connection Closed Normally")
}

func TestPostsTakeAsLongAsTheyAreToldTo(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{PostLatency: func() time.Duration { return 20 * time.Millisecond }})
	_, id := a.open()
	begin := time.Now()
	a.post(id, "x", 200)
	if took := time.Since(begin); took < 20*time.Millisecond { // the only bound that holds on every machine
		t.Errorf("took %v", took)
	}
}

func TestCutBreaksSocketsWithoutACloseFrame(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	one, oneID := a.open()
	two, twoID := a.open()
	if !a.Cut(oneID) || a.Cut(oneID) {
		t.Error("Cut does not tell open from gone")
	}
	closedWith(t, one, 1006, "")
	a.ended(oneID, 1006, "Connection Closed Abnormally")
	a.post(oneID, "late", 410)
	a.CutAll()
	closedWith(t, two, 1006, "")
	a.ended(twoID, 1006, "Connection Closed Abnormally")
}

func TestDownCutsSocketsAndDropsHandshakesUntilUp(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	var holding atomic.Bool
	a := newAPI(t, Config{Connect: function(func(context.Context, []byte) ([]byte, error) {
		if holding.Load() {
			held <- struct{}{}
			<-hold
		}
		return []byte(ok), nil
	})})
	c, id := a.open()
	pending := make(chan error, 1)
	holding.Store(true)
	go func() {
		c, err := wsclient.DialRaw(t.Context(), a.url(), wsclient.Options{})
		if err == nil {
			_, err = c.Next(t.Context()) // it may see the upgrade first, as the two sides of a lost network may differ
		}
		pending <- err
	}()
	<-held

	a.SetDown(true)
	closedWith(t, c, 1006, "")
	a.ended(id, 1006, "Connection Closed Abnormally")
	a.post(id, "late", 410)
	close(hold)
	if err := <-pending; err == nil {
		t.Error("a handshake that was pending made an open socket")
	}
	if _, err := wsclient.DialRaw(t.Context(), a.url(), wsclient.Options{}); err == nil || errors.As(err, new(*wsclient.RefusedError)) {
		t.Errorf("a handshake while down: %v", err)
	}
	holding.Store(false)
	a.SetDown(false)
	<-a.connected // the pending one's
	a.open()
}

func TestDisconnectCanBeLost(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	c, id := a.open()
	a.SetFaults(Faults{DropDisconnect: func(got string) bool { return got == id }})
	c.Close(1000, "")
	other, otherID := a.open()
	other.Close(1000, "")
	a.ended(otherID, 1000, "")
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(a.disconnected); n != 0 {
		t.Errorf("$disconnect was told %d times more", n)
	}
}
