package chat

import (
	"errors"
	"strings"
	"testing"
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
			check(t, m.Check(), tc.want)
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]string{1: "", MaxMessages: "", 0: "limit is 0", -1: "limit is -1", MaxMessages + 1: "limit is 101"} {
		check(t, CheckLimit(limit), want)
	}
}

func TestOneEndOfARange(t *testing.T) {
	t.Parallel()
	check(t, CheckRange("", ""), "")
	check(t, CheckRange("01A", ""), "")
	check(t, CheckRange("", "01A"), "")
	check(t, CheckRange("01A", "01B"), "after and before")
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("got %v", err)
		}
		return
	}
	var input InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestTopicsOfDifferentChatsDiffer(t *testing.T) {
	t.Parallel()
	if Topic("a") == Topic("b") || Topic("") == Topic("a") {
		t.Error("two chats share a topic")
	}
}
