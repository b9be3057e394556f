package subwire_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"subwire/shared/allowance"
	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
)

// signOut is a product whose viewers can end all their connections.
func signOut() *subwire.App {
	app, _ := letters()
	subwire.Mutation(app, "signOutEverywhere", func(ctx context.Context, v subwire.Viewer, _ struct{}) (bool, error) {
		return true, app.Revoke(ctx, v.ID)
	})
	return app
}

func TestAMutationRevokesItsViewer(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, signOut())
	first, second, bob := cloud.Connect("ada", nil), cloud.Connect("ada", nil), cloud.Connect("bob", nil)
	for _, c := range []*subwiretest.Client{second, bob} {
		c.Subscribe("1", `subscription { letter(to: "all") { text } }`, nil)
	}
	first.Subscribe("2", `mutation { signOutEverywhere }`, nil)
	if first.Connected() || second.Connected() || !bob.Connected() {
		t.Errorf("connected: %t, %t, %t", first.Connected(), second.Connected(), bob.Connected())
	}
	cloud.Publish("letter", "1", letter{To: "all", Text: "x"})
	if got, bobs := second.Got("1"), bob.Got("1"); len(got) > 0 || len(bobs) != 1 {
		t.Errorf("got %q; bob %q", got, bobs)
	}
	if again := cloud.Connect("ada", nil); !again.Connected() {
		t.Error("with a later token it is not connected")
	}
}

func TestRevokeSaysWhatItCannot(t *testing.T) {
	t.Parallel()
	fault := errors.New("throttled")
	for name, tc := range map[string]struct {
		env  subwire.Env
		want string
	}{
		"Anonymous": {subwire.Env{Anonymous: true, Revoke: func(context.Context, string) (int, error) { return 1, nil }}, "no tokens here"},
		"NotHere":   {subwire.Env{}, "no tokens here"},
		"Fault":     {subwire.Env{Revoke: func(context.Context, string) (int, error) { return 0, fault }}, "throttled"},
		"Done":      {subwire.Env{Revoke: func(context.Context, string) (int, error) { return 1, nil }}, ""},
	} {
		app := signOut()
		app.MustOpen(tc.env)
		err := app.Revoke(t.Context(), "ada")
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who may revoke pays for it.
func TestARevocationIsPaidFor(t *testing.T) {
	t.Parallel()
	app := signOut()
	subwiretest.Start(t, app).Connect("ada", nil)
	ctx, tally := allowance.WithTally(t.Context())
	if err := app.Revoke(ctx, "ada"); err != nil {
		t.Fatal(err)
	}
	if got := tally.Take(); got < 40 || got > 60 {
		t.Errorf("it cost %v", got)
	}
}
