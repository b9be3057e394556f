package chat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
	"subwire/shared/table"
	"subwire/shared/topology"
)

func claims(read, write string) map[string]any {
	return map[string]any{"name": "Ada L.", "chats_read": []string{read}, "chats_write": []string{write}}
}

// Typing reaches those who may read the chat, and nobody else's chat.
func TestTypingReachesTheChat(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	ada, bob, eve := cloud.Connect("ada", claims("lobby", "lobby")), cloud.Connect("bob", claims("*", "")), cloud.Connect("eve", claims("x", "x"))
	const hear = `subscription ($c: ID!) { typing(chatId: $c) { chatId who name } }`
	bob.Subscribe("lobby", hear, map[string]string{"c": "lobby"})
	bob.Subscribe("other", hear, map[string]string{"c": "other"})
	eve.Subscribe("lobby", hear, map[string]string{"c": "lobby"})
	const typing = `mutation { typing(chatId: "lobby", name: "forged", as: "bob") { who name } }`
	for range 2 {
		if got := ada.Do(typing, nil); got != `next {"data":{"typing":{"who":"ada","name":"Ada L."}}}` {
			t.Error(got)
		}
	}
	for name, c := range map[string]*subwiretest.Client{"bob": bob, "eve": eve} {
		if got := c.Do(typing, nil); !strings.Contains(got, "FORBIDDEN") {
			t.Errorf("%s types: %s", name, got)
		}
	}
	want := `next {"data":{"typing":{"chatId":"lobby","who":"ada","name":"Ada L."}}}`
	if diff := cmp.Diff([]string{want, want}, bob.Got("lobby")); diff != "" {
		t.Errorf("bob (-want +got):\n%s", diff)
	}
	if got := bob.Got("other"); got != nil {
		t.Errorf("of another chat: %q", got)
	}
	if got := eve.Got("lobby"); len(got) != 1 || !strings.Contains(got[0], "FORBIDDEN") {
		t.Errorf("eve got %q", got)
	}
}

// In a chat, each person's typing replaces its own alone, whatever their names.
func TestTypingIsTheLatestOfItsPerson(t *testing.T) {
	t.Parallel()
	store := memory.New()
	executor := open(t, store)
	tables := New().Product().Tables
	inbox := tables[slices.IndexFunc(tables, func(t topology.Table) bool { return t.Name == subwire.InboxTable })]
	rows := map[string]bool{}
	for _, chatID := range []string{"a", "a b", `a" "b`} {
		for _, who := range []string{"b c", "c", `b" c`} {
			for range 2 {
				got := viewed(t, executor, pubsub.Viewer{}, fmt.Sprintf(`mutation { typing(chatId: %q, name: "x", as: %q) { who } }`, chatID, who))
				if strings.Contains(got, "errors") {
					t.Fatal(got)
				}
			}
			group := fmt.Sprintf("typing/%q %s", chatID, who)
			rows[group] = true
			found, err := store.QueryRows(t.Context(), inbox, table.Query{Partition: group, Limit: 10, RowBytes: 1 << 10})
			if err != nil || len(found) != 1 {
				t.Errorf("%s has %d rows, %v", group, len(found), err)
			}
		}
	}
	if len(rows) != 9 {
		t.Errorf("%d groups", len(rows))
	}
}

// A mark moves forward only, whoever writes it when.
func TestReadMarksMoveForward(t *testing.T) {
	t.Parallel()
	c := New()
	cloud := subwiretest.Start(t, c.App)
	post := func(id string) string {
		if err := c.Messages.Insert(t.Context(), Message{ID: id, ChatID: "lobby", Content: "x", SenderName: "y", CreatedAt: c.Now()}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	one, two, three := post(c.NewID()), post(c.NewID()), post(c.NewID())
	ada, bob := cloud.Connect("ada", claims("lobby", "")), cloud.Connect("bob", claims("lobby", ""))
	eve := cloud.Connect("eve", claims("", "lobby"))
	bob.Subscribe("marks", `subscription { readMarks(chatId: "lobby") { chatId reader name messageId } }`, nil)
	const mark = `mutation ($m: ID!) { markRead(chatId: "lobby", messageId: $m, as: "bob", name: "forged") { reader messageId } }`
	for _, step := range []struct{ id, want string }{{two, two}, {one, two}, {two, two}, {three, three}, {one, three}} {
		got := ada.Do(mark, map[string]string{"m": step.id})
		if want := `next {"data":{"markRead":{"reader":"ada","messageId":"` + step.want + `"}}}`; got != want {
			t.Errorf("marked %s: %s", step.id, got)
		}
	}
	next := func(id string) string {
		return `next {"data":{"readMarks":{"chatId":"lobby","reader":"ada","name":"Ada L.","messageId":"` + id + `"}}}`
	}
	if diff := cmp.Diff([]string{next(two), next(three)}, bob.Got("marks")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, id := range []string{"", "zzz", c.NewID(), strings.Repeat("x", 2000)} { // no such message
		if got := ada.Do(mark, map[string]string{"m": id}); !strings.Contains(got, "BAD_USER_INPUT") {
			t.Errorf("%.10q: %s", id, got)
		}
	}
	if got := eve.Do(mark, map[string]string{"m": one}); !strings.Contains(got, "FORBIDDEN") {
		t.Errorf("eve marks: %s", got)
	}
	const read = `{ readMarks(chatId: "lobby") { reader messageId } }`
	if got := bob.Do(read, nil); got != `next {"data":{"readMarks":[{"reader":"ada","messageId":"`+three+`"}]}}` {
		t.Error(got)
	}
	if got := eve.Do(read, nil); !strings.Contains(got, "FORBIDDEN") {
		t.Errorf("eve reads: %s", got)
	}
	eve.Subscribe("marks", `subscription { readMarks(chatId: "lobby") { reader } }`, nil)
	if got := eve.Got("marks"); len(got) != 1 || !strings.Contains(got[0], "FORBIDDEN") {
		t.Errorf("eve hears %q", got)
	}
}

// Of many calls at once, some of which fail after they were applied and others before,
// the furthest remains.
func TestReadMarksMoveForwardInARace(t *testing.T) {
	t.Parallel()
	const n = 20
	for _, fault := range []memory.Fault{0, memory.NotApplied, memory.Applied} {
		c, store := New(), memory.New()
		c.MustOpen(subwire.Env{Tables: store, Anonymous: true})
		ids := make([]string, n)
		for i := range ids {
			ids[i] = c.NewID()
		}
		store.Fault = func(string) memory.Fault {
			if rand.IntN(3) == 0 {
				return fault
			}
			return 0
		}
		var marking sync.WaitGroup
		for _, id := range ids {
			marking.Go(func() {
				for {
					mark := ReadMark{ChatID: "lobby", Reader: "ada", Name: "Ada", MessageID: id}
					if got, err := c.moveForward(t.Context(), mark); err == nil {
						if got.MessageID < id {
							t.Errorf("after %s it is %s", id, got.MessageID)
						}
						return
					}
				}
			})
		}
		marking.Wait()
		store.Fault = nil
		if m, err := c.Reads.Get(t.Context(), "lobby", "ada"); err != nil || m.MessageID != ids[n-1] {
			t.Errorf("fault %d: %+v, %v", fault, m, err)
		}
	}
}

// The furthest hundred of many readers, the furthest last.
func TestReadMarksAreBounded(t *testing.T) {
	t.Parallel()
	c, store := New(), memory.New()
	c.MustOpen(subwire.Env{Tables: store, Anonymous: true})
	for _, i := range rand.Perm(300) {
		m := ReadMark{ChatID: "lobby", Reader: fmt.Sprint("r", i), Name: "x", MessageID: fmt.Sprintf("%03d", i)}
		if err := c.Reads.Insert(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	all, err := c.readMarks(t.Context(), subwire.Viewer{}, chatArgs{"lobby"})
	if err != nil || len(all) != 100 || all[0].MessageID != "200" || !slices.IsSortedFunc(all, func(a, b ReadMark) int { return strings.Compare(a.MessageID, b.MessageID) }) {
		t.Errorf("%d marks, %v", len(all), err)
	}
}

func TestWhoIsNamedWithoutAToken(t *testing.T) {
	t.Parallel()
	store := memory.New()
	executor := open(t, store)
	message := Message{ID: "01B", ChatID: "1", Content: "x", SenderName: "Ada"}
	if err := put(t.Context(), store, message); err != nil {
		t.Fatal(err)
	}
	ada := pubsub.Viewer{ID: "ada"}
	long := strings.Repeat("x", 129)
	for _, tc := range []struct {
		viewer          pubsub.Viewer
		arguments, want string
	}{
		{pubsub.Viewer{}, `name: "Eve", as: "eve"`, `"eve","name":"Eve"`},
		{pubsub.Viewer{}, `name: "Eve"`, "as is empty"},
		{pubsub.Viewer{}, `name: "Eve", as: ""`, "as is empty"},
		{pubsub.Viewer{}, `as: "eve"`, "name is empty"},
		{pubsub.Viewer{}, `name: "Eve", as: "` + long + `"`, "as has 129 bytes; at most 128 are allowed"},
		{pubsub.Viewer{}, `name: "` + long + `", as: "eve"`, "name has 129 bytes"},
		{ada, `name: "Eve", as: "eve"`, `"ada","name":"ada"`},
		{ada, `name: null`, `"ada","name":"ada"`},
		{pubsub.Viewer{ID: strings.Repeat("i", 256), Claims: `{"name":"Ada"}`}, `name: null`, `i","name":"Ada"`},
	} {
		for _, field := range []string{`typing(chatId: "1", %s) { id: who name }`, `markRead(chatId: "1", messageId: "01B", %s) { id: reader name }`} {
			got := viewed(t, executor, tc.viewer, fmt.Sprintf("mutation { "+field+" }", tc.arguments))
			if !strings.Contains(got, tc.want) {
				t.Errorf("%s: %s", fmt.Sprintf(field, tc.arguments), got)
			}
		}
	}
	for _, field := range []string{`typing(chatId: "", name: "x", as: "y") { who }`, `markRead(chatId: "", messageId: "1", name: "x", as: "y") { name }`} {
		if got := viewed(t, executor, ada, "mutation { "+field+" }"); !strings.Contains(got, "chatId is empty") {
			t.Error(got)
		}
	}
	if got := viewed(t, executor, ada, `{ readMarks(chatId: "") { name } }`); !strings.Contains(got, "chatId is empty") {
		t.Error(got)
	}
}
