package sample

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/subwiretest"
)

const (
	put    = `mutation ($id: ID!, $text: String!) { putItem(id: $id, text: $text) { text } }`
	read   = `query ($id: ID!) { item(id: $id) { text } }`
	follow = `subscription ($id: ID!) { itemChanged(id: $id) { text } }`
)

func item(id, text string) map[string]any { return map[string]any{"id": id, "text": text} }

func TestFollowersOfAnItemGetItsChanges(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, bob := cloud.Connect("ada", nil), cloud.Connect("bob", nil)
	bob.Do(put, item("1", "first"))
	ada.Subscribe("one", follow, map[string]any{"id": "1"})
	ada.Subscribe("two", follow, map[string]any{"id": "2"})
	bob.Do(put, item("1", "second"))
	bob.Do(put, item("2", "other"))
	for id, want := range map[string][]string{
		"one": {`next {"data":{"itemChanged":{"text":"first"}}}`, `next {"data":{"itemChanged":{"text":"second"}}}`},
		"two": {`next {"data":{"itemChanged":{"text":"other"}}}`},
	} {
		if diff := cmp.Diff(want, ada.Got(id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

func TestAnItemIsRead(t *testing.T) {
	t.Parallel()
	ada := subwiretest.Start(t, New().App).Connect("ada", nil)
	ada.Do(put, item("1", "first"))
	for id, want := range map[string]string{
		"1": `next {"data":{"item":{"text":"first"}}}`,
		"2": `next {"data":{"item":null}}`,
	} {
		if got := ada.Do(read, map[string]any{"id": id}); got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}
