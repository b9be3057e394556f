package chat

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
	"subwire/shared/table"
)

func TestMessageRules(t *testing.T) {
	t.Parallel()
	good := Message{ChatID: "lobby", Content: "hi", SenderName: "Ada"}
	for name, tc := range map[string]struct {
		change func(*Message)
		want   string // in the error; "" for none
	}{
		"Good":               {func(*Message) {}, ""},
		"LongestContent":     {func(m *Message) { m.Content = strings.Repeat("x", MaxContentBytes) }, ""},
		"ContentTooLong":     {func(m *Message) { m.Content = strings.Repeat("é", MaxContentBytes/2+1) }, "content has 8194 bytes; at most 8192 are allowed"},
		"ContentEmpty":       {func(m *Message) { m.Content = "" }, "content is empty"},
		"ContentNoUTF8":      {func(m *Message) { m.Content = "a\xff" }, "content is not valid UTF-8"},
		"NameEmpty":          {func(m *Message) { m.SenderName = "" }, "senderName is empty"},
		"NameTooLong":        {func(m *Message) { m.SenderName = strings.Repeat("x", MaxNameBytes+1) }, "senderName has 129 bytes"},
		"NameNoUTF8":         {func(m *Message) { m.SenderName = "\xc3" }, "senderName is not valid UTF-8"},
		"ChatIDEmpty":        {func(m *Message) { m.ChatID = "" }, "chatId is empty"},
		"ChatIDTooLong":      {func(m *Message) { m.ChatID = strings.Repeat("x", MaxChatIDBytes+1) }, "chatId has 129 bytes"},
		"ChatIDNoUTF8":       {func(m *Message) { m.ChatID = "\xed\xa0\x80" }, "chatId is not valid UTF-8"},
		"AnyCharacterIsFine": {func(m *Message) { m.Content, m.ChatID = "\x00 \u202e 👩‍👩‍👧", "#/ ." }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := good
			tc.change(&m)
			checkError(t, m.Check(), tc.want)
		})
	}
}

func TestWhatMayBeRead(t *testing.T) {
	t.Parallel()
	for args, want := range map[getNewMessagesArgs]string{
		{Limit: 1}:                              "",
		{Limit: MaxMessages, After: "01A"}:      "",
		{Limit: 1, Before: "01A"}:               "",
		{}:                                      "limit is 0",
		{Limit: -1}:                             "limit is -1",
		{Limit: MaxMessages + 1}:                "limit is 101",
		{Limit: 1, After: "01A", Before: "01B"}: "after and before",
	} {
		checkError(t, args.check(), want)
	}
}

func TestAMessageIsWrittenOnceForItsKey(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, New().App)
	rights := map[string]any{"chats_read": "*", "chats_write": "*"}
	ada, bob := cloud.Connect("ada", rights), cloud.Connect("bob", rights)
	bob.Subscribe("new", `subscription { newMessage(chatId: "a") { content } }`, nil)
	write := func(c *subwiretest.Client, chatID, content, key string) string {
		return c.Do(`mutation ($c: ID!, $t: String!, $k: ID) { postMessage(chatId: $c, content: $t, key: $k) { id content } }`,
			map[string]string{"c": chatID, "t": content, "k": key})
	}
	first := write(ada, "a", "hi", "k")
	if again := write(ada, "a", "hi", "k"); again != first || !strings.Contains(first, `"content":"hi"`) {
		t.Errorf("got %s, again %s", first, again)
	}
	for _, other := range []string{write(bob, "a", "hi", "k"), write(ada, "a", "hi", "l"), write(ada, "b", "hi", "k")} {
		if other == first || strings.Contains(other, "errors") {
			t.Errorf("another message is %s, the first %s", other, first)
		}
	}
	if got := bob.Got("new"); len(got) != 3 {
		t.Errorf("a subscriber got %q", got)
	}
	for key, want := range map[string]string{"k": "Another message was sent with this key.", "": "The key has 0 bytes",
		strings.Repeat("k", 65): "The key has 65 bytes"} {
		if got := write(ada, "a", "not hi", key); !strings.Contains(got, want) || !strings.Contains(got, pubsub.CodeInput) {
			t.Errorf("%s: got %s", key, got)
		}
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("got %v", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestTopicsOfDifferentChatsDiffer(t *testing.T) {
	t.Parallel()
	if Topic("a") == Topic("b") || Topic("") == Topic("a") {
		t.Error("two chats share a topic")
	}
}

// open opens the chat on a store, without tokens.
func open(t testing.TB, s table.Store) *gql.Executor {
	t.Helper()
	c := New().MustOpen(subwire.Env{Tables: s, Anonymous: true})
	c.Log = slog.New(slog.DiscardHandler)
	return gql.MustNew(c)
}

// put stores a message as it is, whatever its id says of the time.
func put(ctx context.Context, s table.Store, m Message) error {
	row, err := table.Encode(m)
	if err != nil {
		return err
	}
	return s.PutRow(ctx, New().Product().Tables[0], row, table.Condition{})
}

func operation(document, variables string) pubsub.Operation {
	return pubsub.Operation{Document: document, Variables: json.RawMessage(variables)}
}

func checkRefused(t *testing.T, err error, code, message string) {
	t.Helper()
	refused, ok := errors.AsType[pubsub.Errors](err)
	if !ok || refused[0].Extensions["code"] != code || !strings.Contains(refused[0].Message, message) {
		t.Errorf("got %v, want %s: %s", err, code, message)
	}
}
