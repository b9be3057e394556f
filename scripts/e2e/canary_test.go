package e2e

import (
	"strings"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/issuer"
	"subwire/scripts/subwire/doctor"
	"subwire/shared/chat"
	"subwire/shared/metrics"
	"subwire/shared/topology"
)

// The deployed function tries the cloud, and says how long the event took.
func TestTheCanarySings(t *testing.T) {
	t.Parallel()
	if _, err := local.Functions[topology.Canary.Name].Invoke(within(t), []byte("{}")); err != nil {
		t.Fatalf("%v\nfunctions' logs:\n%s", err, logs.String())
	}
	awaitLog(t, `"`+metrics.CanaryLatency.Name+`":[`)
}

// awaitLog waits for a line with the text: a function prints some after it has answered.
func awaitLog(t *testing.T, text string) {
	t.Helper()
	await(t, text, func() bool { return strings.Contains(logs.String(), text) })
}

// Without a token it is refused like anybody, which fails its invocation.
func TestACanaryThatIsRefusedFails(t *testing.T) {
	t.Parallel()
	c := secure(t)
	_, err := c.Functions[topology.Canary.Name].Invoke(within(t), []byte("{}"))
	if err == nil || !strings.Contains(err.Error(), "canary: connect: "+refusedWith("4403 Forbidden")) {
		t.Errorf("got %v", err)
	}
	awaitLog(t, `"`+metrics.CanaryFailed.Name+`":1`)
}

// subwire doctor tries a running deployment in the same way. With a token of the claims that
// the product names it is let in, and without it says why not. (Other tests leave dead
// letters, so not all is ok.)
func TestTheDoctorTriesTheCloud(t *testing.T) {
	t.Parallel()
	c := secure(t)
	forget, err := c.Announce(".")
	if err != nil {
		t.Fatal(err)
	}
	defer forget()
	for token, want := range map[string]string{
		canaryToken(t, c): "ok       canary: connected in ",
		"":                "error    canary: connect: " + refusedWith("4403 Forbidden"),
	} {
		var out strings.Builder
		cmd := doctor.Command()
		cmd.SetArgs([]string{"--local", "--token", token})
		cmd.SetOut(&out)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		err := cmd.ExecuteContext(within(t))
		if !strings.Contains(out.String(), want) || token == "" && err == nil {
			t.Errorf("it ended with %v and said\n%s", err, &out)
		}
		if healthy := strings.Count(out.String(), "ok       table "); healthy != len(c.Tables) {
			t.Errorf("%d of %d tables are well:\n%s", healthy, len(c.Tables), &out)
		}
	}
}

// refusedWith is what the canary says of a refusal, which API Gateway cannot close with.
func refusedWith(why string) string {
	if onHost {
		return "closed: " + why
	}
	return "connection_error: " + why
}

// canaryToken has the claims that the product names.
func canaryToken(t *testing.T, c *cloud.Cloud) string {
	t.Helper()
	claims := issuer.Claims{Viewer: "canary", Life: time.Hour, More: map[string]any{}}
	for _, claim := range chat.New().Canary.Claims {
		name, value, _ := strings.Cut(claim, "=")
		claims.More[name] = value
	}
	token, err := c.Issuer.Token(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
