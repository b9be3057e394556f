package wsevent

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"subwire/shared/connection"
	"subwire/shared/session"
)

func read(t *testing.T, name string) Event {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	want := connection.Handshake{ConnectionID: "TWegAf_YCYcCJ9w=", At: time.UnixMilli(1795504302000), Address: "192.0.2.1",
		Origin: "https://chat.example", Subprotocols: "foo,graphql-transport-ws"}
	e := read(t, "connect.json")
	if diff := cmp.Diff(want, Handshake(e)); diff != "" {
		t.Error(diff)
	}
	e.MultiValueQueryStringParameters = map[string][]string{"token": {"a", "b"}, "x": {"c"}}
	e.MultiValueHeaders["authorization"] = []string{"Bearer a"}
	withTokens := want
	withTokens.QueryTokens, withTokens.Authorization = []string{"a", "b"}, "Bearer a"
	if diff := cmp.Diff(withTokens, Handshake(e)); diff != "" {
		t.Error(diff)
	}
	e.MultiValueQueryStringParameters = nil
	e.MultiValueHeaders = nil // single values suffice
	want.Subprotocols = "foo, graphql-transport-ws"
	if diff := cmp.Diff(want, Handshake(e)); diff != "" {
		t.Error(diff)
	}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	want := session.Frame{ConnectionID: "TWegAf_YCYcCJ9w=", ID: "TWegTd2oiYcCJ9w=",
		Data: []byte(`{"type":"connection_init"}`), At: time.UnixMilli(1795504304123), Address: "192.0.2.1"}
	if diff := cmp.Diff(want, Frame(read(t, "message.json")), cmpopts.IgnoreUnexported(want)); diff != "" {
		t.Error(diff)
	}
}
