package connections

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/node"
	"subwire/shared/pubsub"
)

type store struct{ *memory.Store }

func (s store) Connections(context.Context) iter.Seq2[pubsub.Connection, error] {
	return func(yield func(pubsub.Connection, error) bool) {
		for _, c := range s.Contents().Connections {
			if node.IsNode(c.ID) { // as dynamo.Store does
				continue
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// setup has two connections of ada and an anonymous one, with open sockets.
func setup(t *testing.T) (tool, store, *memory.Gateway, *bytes.Buffer) {
	t.Helper()
	s, gateway, out := store{memory.New()}, &memory.Gateway{}, &bytes.Buffer{}
	now := time.Now()
	for id, viewer := range map[string]string{"c1": "ada", "c2": "ada", "c3": ""} {
		gateway.Open(id)
		op := pubsub.Operation{Document: "subscription"}
		if err := errors.Join(
			s.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}),
			s.Acknowledge(t.Context(), id, pubsub.Acknowledgement{Viewer: pubsub.Viewer{ID: viewer}}, now),
			s.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: "s1", Topic: "newMessage/lobby",
				OperationKey: op.Key(), Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 9)); err != nil {
			t.Fatal(err)
		}
	}
	return tool{store: s, gateway: gateway, out: out}, s, gateway, out
}

// The sockets of hosts are closed by their hosts, or nothing is deleted; a node itself is
// no connection.
func TestConnectionsOfHosts(t *testing.T) {
	t.Parallel()
	for _, reached := range []bool{false, true} {
		tool, s, gateway, out := setup(t)
		tool.hosts = reached
		for _, id := range []string{"node~h:1~boot", "node~h:1~boot~s"} {
			gateway.Open(id)
			c := pubsub.Connection{ID: id, Acknowledged: true, Expires: time.Now().Add(time.Hour)}
			if err := s.PutConnection(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		err := tool.close(t.Context(), options{all: true, yes: true})
		want := "node~h:1~boot node~h:1~boot~s"
		if reached {
			want = "node~h:1~boot"
		}
		if got := strings.Join(gateway.Sockets(), " "); got != want || (err == nil) != reached {
			t.Errorf("left %q: %v", got, err)
		}
		if got := len(s.Contents().Connections); got != len(strings.Fields(want)) {
			t.Errorf("%d connections are stored", got)
		}
		if told := strings.Contains(out.String(), "set HOST_URL and HOST_KEY"); told == reached {
			t.Errorf("said %s", out)
		}
	}
}

func TestCloseEndsTheChosenConnections(t *testing.T) {
	t.Parallel()
	revoked := `{"type":"connection_error: 4401 Connection revoked","payload":{"code":4401,"message":"Connection revoked","retry":false}}`
	for name, tc := range map[string]struct {
		options options
		left    string
		said    string
	}{
		"OfAViewer":     {options{viewer: "ada", yes: true}, "c3", "closed 2 connections"},
		"All":           {options{all: true, yes: true}, "", "closed 3 connections"},
		"OfNobodyThere": {options{viewer: "bob", yes: true}, "c1 c2 c3", "closed 0 connections"},
		"NotReally":     {options{viewer: "ada"}, "c1 c2 c3", "would close 2 connections; --yes does it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tool, s, gateway, out := setup(t)
			if err := tool.close(t.Context(), tc.options); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(gateway.Sockets(), " "); got != tc.left || !strings.Contains(out.String(), tc.said) {
				t.Errorf("left %q and said %s", got, out)
			}
			if got := len(s.Contents().Connections); got != len(strings.Fields(tc.left)) || got != len(s.Contents().Subscriptions) {
				t.Errorf("%d connections and %d subscriptions are stored", got, len(s.Contents().Subscriptions))
			}
			for _, id := range []string{"c1", "c2", "c3"} {
				frames := gateway.Frames(id)
				if told := len(frames) == 1 && frames[0] == revoked; told == strings.Contains(tc.left, id) {
					t.Errorf("%s was sent %q", id, frames)
				}
			}
		})
	}
}

// stuck cannot close one socket.
type stuck struct {
	*memory.Gateway
	id string
}

func (s stuck) Delete(ctx context.Context, id string) error {
	if id == s.id {
		return pubsub.ErrBusy
	}
	return s.Gateway.Delete(ctx, id)
}

func TestCloseGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tool, s, gateway, _ := setup(t)
		tool.gateway = stuck{gateway, "c1"}
		if err := tool.close(t.Context(), options{all: true, yes: true}); err == nil || !strings.Contains(err.Error(), "1 could not") {
			t.Errorf("got %v", err)
		}
		if got := gateway.Sockets(); len(got) != 1 || len(s.Contents().Subscriptions) != 0 {
			t.Errorf("open: %v; stored: %+v", got, s.Contents().Subscriptions)
		}
	})
}

func TestListAndShow(t *testing.T) {
	t.Parallel()
	tool, _, _, out := setup(t)
	for _, tc := range []struct {
		do   func() error
		want []string
	}{
		{func() error { return tool.list(t.Context(), options{}) }, []string{"c1", "c2", "c3", `"ada"`, `"(anonymous)"`, "3 connections"}},
		{func() error { return tool.list(t.Context(), options{viewer: "ada"}) }, []string{"2 connections"}},
		{func() error { return tool.show(t.Context(), options{id: "c1"}) }, []string{`"ada"`, `"s1"`, "newMessage/lobby"}},
	} {
		out.Reset()
		if err := tc.do(); err != nil {
			t.Error(err)
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is not in\n%s", want, out)
			}
		}
	}
	if err := tool.show(t.Context(), options{id: "c9"}); err == nil {
		t.Error("no error for an unknown connection")
	}
}

func TestListAndShowAsJSON(t *testing.T) {
	t.Parallel()
	tool, s, _, out := setup(t)
	c1, err := s.Connection(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	want := stored{ID: "c1", Viewer: "ada", Acknowledged: true, Expires: c1.Expires.UTC(), Operations: map[string]string{"s1": "newMessage/lobby"}}
	for name, tc := range map[string]struct {
		do    func(context.Context, options) error
		o     options
		lines int
	}{
		"List": {tool.list, options{viewer: "ada", json: true}, 2},
		"Show": {tool.show, options{id: "c1", json: true}, 1},
	} {
		out.Reset()
		if err := tc.do(t.Context(), tc.o); err != nil {
			t.Fatal(err)
		}
		got := map[string]stored{}
		for line := range strings.Lines(out.String()) {
			var c stored
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			got[c.ID] = c
		}
		if diff := cmp.Diff(want, got["c1"]); diff != "" || len(got) != tc.lines {
			t.Errorf("%s: %d lines; the first (-want +got):\n%s", name, len(got), diff)
		}
	}
}

// Clients choose ids, and a terminal obeys what is in them.
func TestNothingThatAClientChoseReachesTheTerminal(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\u009b31m\u202e\r\nc9"
	tool, s, gateway, out := setup(t)
	gateway.Open("c4")
	now, op := time.Now(), pubsub.Operation{Document: "subscription"}
	claims := `{"name":"` + evil + `"}`
	if err := errors.Join(
		s.PutConnection(t.Context(), pubsub.Connection{ID: "c4", InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}),
		s.Acknowledge(t.Context(), "c4", pubsub.Acknowledgement{Viewer: pubsub.Viewer{ID: evil, Claims: claims}, Init: []byte(claims)}, now),
		s.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: "c4", OperationID: evil, Topic: "newMessage/" + evil,
			OperationKey: op.Key(), Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 9)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tool.list(t.Context(), options{}), tool.show(t.Context(), options{id: "c4"}),
		tool.list(t.Context(), options{json: true}), tool.show(t.Context(), options{id: "c4", json: true}),
		tool.close(t.Context(), options{all: true})); err != nil {
		t.Fatal(err)
	}
	if bad := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); bad >= 0 || strings.Contains(out.String(), "\nc9") {
		t.Errorf("printed %q", out)
	}
}

func TestTheManagementAPIIsWhereTheSocketsAre(t *testing.T) {
	t.Parallel()
	for ws, want := range map[string]string{"ws://127.0.0.1:4001/local": "http://127.0.0.1:4001/local", "wss://x.example/live": "https://x.example/live",
		"wss://ws.example/": "https://ws.example"} {
		if got := callback(ws); got != want {
			t.Errorf("%s: %s", ws, got)
		}
	}
}
