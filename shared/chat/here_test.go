package chat

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"subwire/shared/pubsub"
	"subwire/shared/subwiretest"
)

const here = `subscription ($chat: ID!, $as: ID) { here(chatId: $chat, as: $as) { count more } }`

var readers = map[string]any{"chats_read": "*"}

func enter(c *subwiretest.Client, chatID, as string) {
	c.Subscribe("here", here, map[string]any{"chat": chatID, "as": as})
}

// counts are what the client was told since it was last asked, with + for more.
func counts(t *testing.T, c *subwiretest.Client) string {
	t.Helper()
	var all []string
	for _, m := range c.Got("here") {
		var told struct {
			Data struct{ Here pubsub.Presence }
		}
		text, isNext := strings.CutPrefix(m, "next ")
		if err := json.Unmarshal([]byte(text), &told); err != nil || !isNext {
			t.Fatalf("told %s, %v", m, err)
		}
		all = append(all, fmt.Sprint(told.Data.Here.Count)+strings.Repeat("+", map[bool]int{true: 1}[told.Data.Here.More]))
	}
	return strings.Join(all, " ")
}

func told(t *testing.T, c *subwiretest.Client, want string) {
	t.Helper()
	if got := counts(t, c); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestHere(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, bob := cloud.Connect("ada", readers), cloud.Connect("bob", readers)
	enter(ada, "a", "")
	enter(bob, "a", "")
	enter(cloud.Connect("eve", readers), "b", "") // another chat
	told(t, ada, "1 2")
	told(t, bob, "2")

	again := cloud.Connect("ada", readers) // with a second page
	enter(again, "a", "ignored with a token")
	told(t, bob, "2")
	again.Disconnect()
	cloud.PassGrace()
	told(t, bob, "2")
	told(t, ada, "2 2")
	told(t, again, "2")

	bob.Complete("here")
	told(t, ada, "") // he may be back
	cloud.PassGrace()
	told(t, ada, "1")
	told(t, bob, "")
}

// A page that is loaded again was never away.
func TestAReloadIsNoLeave(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, bob := cloud.Connect("ada", readers), cloud.Connect("bob", readers)
	enter(ada, "a", "")
	enter(bob, "a", "")
	counts(t, ada)
	for range 3 {
		bob.Disconnect()
		bob = cloud.Connect("bob", readers)
		enter(bob, "a", "")
		bob.Complete("here") // and the same id at once
		enter(bob, "a", "")
		cloud.PassGrace()
	}
	if got := counts(t, ada); strings.Trim(got, "2 ") != "" || got == "" {
		t.Errorf("told %q, want nothing but 2", got)
	}
	bob.Disconnect()
	cloud.PassGrace()
	told(t, ada, "1")
}

// A crowd is counted up to a bound, and told only when it passes that, or to who comes.
func TestACrowdIsHere(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	var all []*subwiretest.Client
	come := func() *subwiretest.Client {
		c := cloud.Connect(fmt.Sprint("viewer-", len(all)), readers)
		enter(c, "a", "")
		all = append(all, c)
		return c
	}
	for range pubsub.MaxPresent {
		come()
	}
	ada := all[0]
	if got := counts(t, ada); !strings.HasSuffix(got, " 99 100") {
		t.Errorf("told %q", got)
	}
	come()
	told(t, ada, "100+") // it passes the bound
	come()
	told(t, all[len(all)-1], "100+")
	all[1].Disconnect()
	cloud.PassGrace()
	told(t, ada, "") // neither is told to all
	all[2].Disconnect()
	cloud.PassGrace()
	told(t, ada, "100")
}

func TestWhoMayBeHere(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	for name, tc := range map[string]struct {
		claims   map[string]any
		chat, as string
		want     string
	}{
		"NoRights":  {nil, "a", "", "FORBIDDEN"},
		"NoChat":    {readers, "", "", "BAD_USER_INPUT"},
		"LongestAs": {readers, "a", strings.Repeat("x", MaxNameBytes), `"count":`},
		"AsTooLong": {readers, "a", strings.Repeat("x", MaxNameBytes+1), "BAD_USER_INPUT"},
	} {
		c := cloud.Connect("ada", tc.claims)
		enter(c, tc.chat, tc.as)
		if got := c.Got("here"); len(got) != 1 || !strings.Contains(got[0], tc.want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
