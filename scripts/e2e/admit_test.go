package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/issuer"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/connection"
	"subwire/shared/dynamo"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// A token at the handshake decides before the socket opens, whichever way it comes, and
// connection_init needs no other.
func TestATokenAtTheHandshake(t *testing.T) {
	t.Parallel()
	c := secure(t)
	other, err := issuer.New(c.IssuerURL)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := other.Token(issuer.Claims{Viewer: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	good, eves := sign(t, c, claims("ada", "handshake-", time.Hour)), sign(t, c, claims("eve", "handshake-", time.Hour))
	ways := map[string]func(token string) (url string, o wsclient.Options){
		"Query": func(token string) (string, wsclient.Options) { return c.WSURL + "?token=" + token, wsclient.Options{} },
		"Subprotocol": func(token string) (string, wsclient.Options) {
			return c.WSURL, wsclient.Options{Subprotocols: []string{"bearer." + token, wsclient.Subprotocol}}
		},
		"Header": func(token string) (string, wsclient.Options) {
			return c.WSURL, wsclient.Options{Header: http.Header{"Authorization": {"Bearer " + token}}}
		},
	}
	for name, with := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, bad := range map[string]string{"forged": forged, "expired": sign(t, c, claims("ada", "", -time.Minute)), "nonsense": "nonsense"} {
				url, o := with(bad)
				_, err := wsclient.DialRaw(within(t), url, o)
				if refused, ok := errors.AsType[*wsclient.RefusedError](err); !ok || refused.Status != http.StatusUnauthorized {
					t.Errorf("%s: %v", what, err)
				}
			}
			url, o := with(good)
			raw, err := wsclient.DialRaw(within(t), url, o)
			if err != nil || raw.Subprotocol() != wsclient.Subprotocol {
				t.Fatalf("got %v", err)
			}
			defer raw.Close(1000, "")
			send(t, raw, `{"type":"connection_init"}`)
			if got := receive(t, raw); got != `{"type":"connection_ack"}` {
				t.Errorf("got %s", got)
			}
		})
	}
	for _, tc := range []struct {
		name string
		init any
		code int
	}{{"NoOther", nil, 0}, {"TheSame", map[string]string{"Authorization": "Bearer " + good}, 0}, {"Another's", map[string]string{"Authorization": "Bearer " + eves}, 4403}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			client, err := wsclient.Dial(within(t), c.WSURL+"?token="+good, wsclient.Options{Init: tc.init})
			if tc.code != 0 {
				if closed, ok := errors.AsType[*wsclient.ClosedError](err); !ok || closed.Code != tc.code {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			p := &person{cloud: c, name: "ada", client: client}
			if got := p.overSocket(t, chatOperation(writeChat, "handshake-"+tc.name, "text")); !strings.Contains(got, `"senderName":"ADA"`) {
				t.Errorf("got %s", got)
			}
		})
	}
}

// The most used client with a token in its URL: a refusal has no reason for it, so it tries
// again, with the token that it is given then.
func TestAClientWithATokenInItsURL(t *testing.T) {
	t.Parallel()
	const prefix = "inurl-"
	c := secure(t)
	ada := newPerson(t, "ada", prefix)
	client := startNode(t, "handshake.mjs", c.WSURL, prefix+"red", sign(t, c, claims("ada", prefix, -time.Minute)), ada.token)
	if got := client.line(t); got != `{"closed":1006}` {
		t.Errorf("with an expired token it says %s", got)
	}
	awaitSecuredSubscribers(t, c, prefix+"red", 1)
	ada.overHTTP(t, chatOperation(writeChat, prefix+"red", "hello"))
	if got := client.line(t); !strings.Contains(got, `"content":"hello","mine":true`) {
		t.Errorf("with a good one it says %s", got)
	}
}

func revoker(c *cloud.Cloud) connection.Revoker {
	return connection.Revoker{
		Quotas: dynamo.New(dynamo.NewClient(c.Backend.AWS()), dynamo.Tables{Connections: c.Tables[topology.Connections.Name]}),
		Checks: queue.New(sqs.NewFromConfig(c.Backend.AWS()), c.Queues[topology.ConnectionChecks.Name]),
	}
}

// All sockets of a revoked viewer end, and nobody else's. Its tokens open no others, by
// either way; one that was issued later does.
func TestARevokedViewerIsGone(t *testing.T) {
	t.Parallel()
	const prefix, sockets = "revoked-", 40
	c := secure(t)
	dial := func(signed string) (*wsclient.Client, error) {
		return wsclient.Dial(within(t), c.WSURL, wsclient.Options{Init: map[string]string{"Authorization": "Bearer " + signed}})
	}
	signed := func(viewer string, issued time.Time) string {
		all, err := c.Issuer.Token(issuer.Claims{Viewer: viewer, Read: []string{"*"}, More: map[string]any{"iat": issued.Unix()}})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := signed("zoe", time.Now().Add(-time.Minute))
	listen := func(signed string) *wsclient.Subscription {
		client, err := dial(signed)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return subscribe(t, client, `subscription ($chatId: ID!) { newMessage(chatId: $chatId) { content } }`, prefix+"red")
	}
	var hers, others []*wsclient.Subscription
	for range sockets {
		hers = append(hers, listen(before))
	}
	for i := range 5 {
		others = append(others, listen(signed(fmt.Sprint("zo", i), time.Now().Add(-time.Minute))))
	}
	node := startNode(t, "handshake.mjs", c.WSURL, prefix+"red", before)
	awaitSecuredSubscribers(t, c, prefix+"red", sockets+6)

	began := time.Now()
	n, err := revoker(c).Revoke(t.Context(), "zoe")
	if err != nil { // as on a machine without time
		t.Log("revoked again after:", err)
		_, err = revoker(c).Revoke(t.Context(), "zoe")
	}
	if err != nil || n != sockets+1 {
		t.Fatalf("%d connections, %v", n, err)
	}
	called := time.Since(began)
	for _, s := range hers {
		_, err := s.Next(within(t))
		if closed, ok := errors.AsType[*wsclient.ClosedError](err); !ok || closed.Code != 4401 || closed.Reason != "Connection revoked" {
			t.Errorf("a subscription ended with %v", err)
		}
	}
	t.Logf("revoked in %s, %d sockets ended after %s", called, sockets, time.Since(began))
	if got := []string{node.line(t), node.line(t)}; !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "4401 Connection revoked") }) {
		t.Errorf("the client says %q", got)
	}
	awaitSecuredSubscribers(t, c, prefix+"red", 5)

	if _, err := dial(before); err == nil || !strings.Contains(err.Error(), "4403 Token revoked") {
		t.Errorf("with the same token: %v", err)
	}
	_, err = wsclient.DialRaw(within(t), c.WSURL+"?token="+before, wsclient.Options{})
	if refused, ok := errors.AsType[*wsclient.RefusedError](err); !ok || refused.Status != http.StatusUnauthorized {
		t.Errorf("with it at the handshake: %v", err)
	}
	ada := newPerson(t, "ada", prefix)
	ada.overHTTP(t, chatOperation(writeChat, prefix+"red", "for the others"))
	for _, s := range others {
		if got := next(t, s); !strings.Contains(got, "for the others") {
			t.Errorf("another got %s", got)
		}
	}
	await(t, "a new token", func() bool { // a second is the finest that tokens tell
		client, err := dial(signed("zoe", time.Now()))
		if err == nil {
			client.Close()
		}
		return err == nil
	})
}
