package chat

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"subwire/shared/gql"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
)

func TestByClaims(t *testing.T) {
	t.Parallel()
	c := New()
	c.MustOpen(subwire.Env{})
	for claims, want := range map[string]string{ // what may be read, then written, of the chats a and b
		`{"chats_read":["a"],"chats_write":["b"]}`: "a b",
		`{"chats_read":["*"]}`:                     "ab ",
		`{"chats_read":"*","chats_write":"a"}`:     "ab a",
		`{"chats_write":["x","*"]}`:                " ab",
		`{"chats_read":[],"chats_write":null}`:     " ",
		`{"chats_read":["a",1]}`:                   " ", // not a list of texts
		`{"chats_read":{"a":true}}`:                " ",
		`{"chats_read":["A","a ","ab"]}`:           " ",
		`{"Chats_Read":["a"]}`:                     " ",
		``:                                         " ",
		`nonsense`:                                 " ",
	} {
		v := pubsub.Viewer{ID: "ada", Claims: claims}
		var got strings.Builder
		for i, may := range []func(pubsub.Viewer, string) error{c.mayRead, c.mayWrite} {
			if i == 1 {
				got.WriteByte(' ')
			}
			for _, chat := range []string{"a", "b"} {
				if may(v, chat) == nil {
					got.WriteString(chat)
				}
				if may(pubsub.Viewer{Claims: claims}, chat) == nil {
					t.Errorf("%s: the anonymous viewer may, too", claims)
				}
			}
		}
		if got.String() != want {
			t.Errorf("%s: may %q, want %q", claims, got.String(), want)
		}
	}
}

func TestWithoutTokensEverybodyMay(t *testing.T) {
	t.Parallel()
	for _, anonymous := range []bool{true, false} {
		c := New()
		c.MustOpen(subwire.Env{Anonymous: anonymous})
		if may := c.mayRead(pubsub.Viewer{}, "a") == nil && c.mayWrite(pubsub.Viewer{}, "a") == nil; may != anonymous {
			t.Errorf("anonymous %t: may %t", anonymous, may)
		}
	}
}

// viewed runs the operation for the viewer and returns the result or the refusal.
func viewed(t *testing.T, e *gql.Executor, v pubsub.Viewer, document string) string {
	t.Helper()
	x, err := e.Prepare(operation(document, ""))
	if err == nil && x.Begin != nil {
		err = x.Begin(t.Context(), v)
	}
	if refused, ok := errors.AsType[pubsub.Errors](err); ok {
		return refused[0].Extensions["code"].(string)
	}
	if err != nil {
		t.Fatal(err)
	}
	result, err := x.Run(pubsub.WithViewer(t.Context(), v), nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(result)
}

func TestTheSendersNameComesFromTheToken(t *testing.T) {
	t.Parallel()
	e := open(t, memory.New())
	for _, tc := range []struct {
		viewer    pubsub.Viewer
		arguments string
		want      string
	}{
		{pubsub.Viewer{}, `, senderName: "Eve"`, `"Eve"`},
		{pubsub.Viewer{}, ``, `senderName is empty`},
		{pubsub.Viewer{ID: "ada"}, `, senderName: "Eve"`, `"ada"`},
		{pubsub.Viewer{ID: "ada", Claims: `{"name":"Ada L."}`}, ``, `"Ada L."`},
		{pubsub.Viewer{ID: "ada", Claims: `{"name":{"first":"Ada"}}`}, ``, `"ada"`},
	} {
		got := viewed(t, e, tc.viewer, `mutation { postMessage(chatId: "1", content: "x"`+tc.arguments+`) { senderName } }`)
		if !strings.Contains(got, tc.want) {
			t.Errorf("%+v, %s: %s", tc.viewer, tc.arguments, got)
		}
	}
}

func TestOnlyMineLooksAtTheViewer(t *testing.T) {
	t.Parallel()
	x, err := gql.MustNew(New().MustOpen(subwire.Env{Tables: memory.New()})).
		Prepare(operation(`subscription ($yes: Boolean!) { newMessage(chatId: "lobby") { id senderName mine @include(if: $yes) } }`, `{"yes":false}`))
	if err != nil {
		t.Fatal(err)
	}
	reader := pubsub.Viewer{ID: "ada", Claims: `{"chats_read":["lobby"]}`}
	e := &pubsub.Event{ID: "1", Root: json.RawMessage(`{"id":"1"}`)}
	if err := errors.Join(x.Begin(t.Context(), reader), x.Allow(reader, e)); err != nil {
		t.Error(err)
	}
	eve := pubsub.Viewer{ID: "eve"}
	for _, err := range []error{x.Begin(t.Context(), eve), x.Allow(eve, e)} {
		checkRefused(t, err, pubsub.CodeForbidden, "You may not read this chat.")
	}
	ctx := pubsub.WithViewer(t.Context(), reader)
	if _, err := x.Run(ctx, e); err != nil || pubsub.ViewerRead(ctx) {
		t.Errorf("a field that is left out looked at the viewer: %v", err)
	}
}

func TestMine(t *testing.T) {
	t.Parallel()
	e := open(t, memory.New())
	const post = `mutation { postMessage(chatId: "1", content: "x", senderName: "x") { mine } }`
	const read = `{ getNewMessages(chatId: "1") { mine } }`
	ada, bob, nobody := pubsub.Viewer{ID: "ada"}, pubsub.Viewer{ID: "bob"}, pubsub.Viewer{}
	for _, v := range []pubsub.Viewer{ada, nobody} {
		if got, want := viewed(t, e, v, post), map[bool]string{true: "true", false: "false"}[v == ada]; !strings.Contains(got, want) {
			t.Errorf("%+v: %s", v, got)
		}
	}
	for viewer, want := range map[pubsub.Viewer]int{ada: 1, bob: 0, nobody: 0} {
		if got := strings.Count(viewed(t, e, viewer, read), `"mine":true`); got != want {
			t.Errorf("%+v owns %d messages, want %d", viewer, got, want)
		}
	}
}
