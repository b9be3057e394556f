package chaos

import (
	"context"
	"encoding/json"
	"fmt"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/dynamo"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// chats is the chat. Its subscriptions resume, so that they miss nothing.
type chats struct{ Setup }

func (*chats) app() topology.Product { return chattest.Product }
func (*chats) subject(i int) string  { return fmt.Sprint("chat-", i) }
func (*chats) end() []string         { return nil }

func (c *chats) open(_ context.Context, _ *dynamo.Store, s Setup) error {
	c.Setup = s
	return nil
}

func (*chats) post(chatID, mark string) wsclient.Operation {
	return wsclient.Operation{
		Query: `mutation ($chatId: ID!, $content: String!) {
			postMessage(chatId: $chatId, content: $content, senderName: "Ada") { id } }`,
		Variables: map[string]string{"chatId": chatID, "content": mark}}
}

func (*chats) event(row table.Row) (e Event, mark string, err error) {
	var m chat.Message
	err = table.Decode(row, &m)
	return Event{ID: m.ID, Record: m.ID, Subject: m.ChatID}, m.Content, err
}

// lowest is the id to resume after in a chat without a known message.
const lowest = "00000000000000000000000000"

// selections make different operations on the same events.
var selections = []string{
	`{ id content }`,
	`{ ...F } } fragment F on Message { senderName id`,
	`{ id createdAt __typename }`,
}

func (c *chats) feeds(client int) (all []feed) {
	for k := range max(c.Listens, 1) {
		chatID, fields := c.subject((client+k)%c.Subjects), selections[(client+k)%len(selections)]
		variables := func(after string) map[string]string {
			return map[string]string{"chatId": chatID, "after": max(after, lowest)}
		}
		all = append(all, feed{of: chatID, topic: chat.Topic(chatID), id: messageID, ids: messageIDs,
			wants: func(e Event) bool { return e.Subject == chatID },
			operation: func(after string) wsclient.Operation {
				return wsclient.Operation{Variables: variables(after),
					Query: `subscription ($chatId: ID!, $after: ID) { newMessage(chatId: $chatId, after: $after) ` + fields + ` }`}
			},
			missed: func(after string) wsclient.Operation {
				return wsclient.Operation{Variables: variables(after),
					Query: `query ($chatId: ID!, $after: ID) { getNewMessages(chatId: $chatId, after: $after) { id } }`}
			}})
	}
	return all
}

func (c *chats) sweep(ctx context.Context, h *Harness) error {
	for i := range c.Subjects {
		if _, err := h.PostMany(ctx, c.subject(i), 1); err != nil {
			return err
		}
	}
	return nil
}

// messageID is the id of the message in a result, or the result after a word that makes
// it no id.
func messageID(result []byte) string {
	var next struct {
		Data struct{ NewMessage struct{ ID string } }
	}
	if err := json.Unmarshal(result, &next); err != nil || next.Data.NewMessage.ID == "" {
		return "nothing: " + string(result)
	}
	return next.Data.NewMessage.ID
}

// messageIDs are the ids in the result of a query.
func messageIDs(result []byte) (ids []string) {
	var page struct {
		Data struct{ GetNewMessages []struct{ ID string } }
	}
	if json.Unmarshal(result, &page) != nil {
		return nil // it failed and is retried
	}
	for _, m := range page.Data.GetNewMessages {
		ids = append(ids, m.ID)
	}
	return ids
}
