package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// What the benchmarks know of the sample domain, the chat, is in this file. Only the
// ways in of bench abuse know more.

// benchChat is the chat of benchmarks that need only one.
const benchChat = "bench"

func topicOf(chatID string) string { return chat.Topic(chatID) }

// executor runs operations on events, which takes no store.
func executor() *gql.Executor { return gql.MustNew(chat.New().MustOpen(subwire.Env{Anonymous: true})) }

// passes decides which filters let an event pass.
func passes() func(pubsub.Event) func(filter string, v pubsub.Viewer) bool {
	app := chat.New()
	app.MustOpen(subwire.Env{Anonymous: true})
	return app.Passes
}

// operation is the i-th of different operations on the events of a chat.
func operation(i int, chatID string) pubsub.Operation {
	return pubsub.Operation{
		Document: fmt.Sprintf(`subscription Op%d($chatId: ID!) `+
			`{ newMessage(chatId: $chatId) { id content createdAt senderName } }`, i),
		Variables: json.RawMessage(fmt.Sprintf(`{"chatId":%q}`, chatID)),
	}
}

// mutation is the body of a request that posts a message.
func mutation(chatID, content string) ([]byte, error) {
	return json.Marshal(map[string]any{
		"query": `mutation Post($chatId: ID!, $content: String!) ` +
			`{ postMessage(chatId: $chatId, content: $content, senderName: "Ada") { id } }`,
		"variables": map[string]string{"chatId": chatID, "content": content}})
}

// eventID is as long as any.
const eventID = "01M85WT11137WCG62A1WHZ1ZR6"

// chatEvent is the event of a message with that text to benchChat.
func chatEvent(id, text string) pubsub.Event {
	return pubsub.Event{ID: id, Topic: topicOf(benchChat), Root: json.RawMessage(fmt.Sprintf(
		`{"id":%q,"chatId":%q,"content":%q,"senderName":"Ada","createdAt":"2026-11-24T04:25:15.041Z"}`, id, benchChat, text))}
}

// eventOf is the event with that root value.
func eventOf(root []byte) (pubsub.Event, error) {
	var m chat.Message
	if err := json.Unmarshal(root, &m); err != nil {
		return pubsub.Event{}, fmt.Errorf("read event: %w", err)
	}
	return pubsub.Event{ID: m.ID, Topic: topicOf(m.ChatID), Root: append([]byte(nil), root...)}, nil
}

// eventsTable is the table whose new items become events.
func eventsTable() topology.Table { return chattest.Table }

// storedBytes is the size of the item that becomes the event.
func storedBytes(e pubsub.Event) (int, error) {
	var m chat.Message
	if err := json.Unmarshal(e.Root, &m); err != nil {
		return 0, fmt.Errorf("read event: %w", err)
	}
	row, err := table.Encode(m)
	if err != nil {
		return 0, err
	}
	return table.Bytes(row), nil
}

// resultOf is the result for a subscriber who asks for all of the event.
func resultOf(e pubsub.Event) []byte { return fmt.Appendf(nil, `{"data":{"newMessage":%s}}`, e.Root) }

// Kinds of messages, at the beginning of their texts.
const (
	warmUp = "warm-up"
	counts = "message"
)

// text is the content of a message, padded to size bytes.
func text(kind string, number, size int) string {
	s := kind + " " + strconv.Itoa(number) + " "
	return s + strings.Repeat("x", max(0, size-len(s)))
}

// readResult is kind and number of the message in the result of an operation.
func readResult(payload []byte) (kind string, number int, err error) {
	var result struct {
		Data struct{ NewMessage struct{ Content string } }
	}
	if err := json.Unmarshal(payload, &result); err != nil {
		return "", 0, err
	}
	parts := strings.SplitN(result.Data.NewMessage.Content, " ", 3)
	if len(parts) != 3 {
		return "", 0, errors.New("not a message of this benchmark: " + string(payload))
	}
	number, err = strconv.Atoi(parts[1])
	return parts[0], number, err
}
