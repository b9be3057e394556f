package e2e

import (
	"testing"
	"time"

	"subwire/scripts/internal/wsclient"
)

// A new key is published, and a while later tokens are signed with it. Those of the old key
// are good until they expire. No function starts anew.
func TestKeysRotateWhileTheCloudRuns(t *testing.T) {
	t.Parallel()
	c := secure(t)
	chat := "rotation-"
	old := enter(t, c, claims("ada", chat, 0), nil)
	if err := c.Issuer.AddKey("second"); err != nil {
		t.Fatal(err)
	}
	young := claims("bob", chat, 0)
	young.Key = "second"
	token, err := c.Issuer.Token(young)
	if err != nil {
		t.Fatal(err)
	}
	// A process fetches the keys anew when it does not know one, once in 30 seconds at most.
	every := time.NewTicker(time.Second)
	defer every.Stop()
	await(t, "a token of the new key is taken", func() bool {
		<-every.C
		client, err := wsclient.Dial(within(t), c.WSURL, wsclient.Options{Init: map[string]string{"Authorization": "Bearer " + token}})
		if err == nil {
			client.Close()
		}
		return err == nil
	})
	status, body, _ := old.request(t, `{"query":"{ __typename }"}`, "Bearer "+old.token)
	if status != 200 {
		t.Errorf("a token of the old key is answered %d %s", status, body)
	}
	again := enter(t, c, claims("ada", chat, 0), nil)
	if err := again.client.Err(); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
}
