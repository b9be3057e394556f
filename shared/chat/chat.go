// Package chat is the sample product: chats, their messages, and the rules for both.
package chat

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"subwire/shared/subwire"
)

// Message is one message of a chat.
type Message struct {
	ID         string    `json:"id" gql:"id"` // a ULID: ids order messages by time
	ChatID     string    `json:"chatId" gql:"id"`
	Content    string    `json:"content"`
	SenderName string    `json:"senderName"`
	SenderID   string    `json:"senderId,omitempty" gql:"-"` // of the viewer who wrote it; "" without a token
	CreatedAt  time.Time `json:"createdAt"`
}

// Limits of a message, in bytes of UTF-8, and of one read.
const (
	MaxChatIDBytes  = 128
	MaxNameBytes    = 128
	MaxContentBytes = 8 << 10
	MaxMessages     = 100
	RowBytes        = MaxContentBytes + 1<<10 // of a message in its table
)

// Topic is where new messages of a chat are announced.
func Topic(chatID string) subwire.Topic { return "newMessage/" + chatID }

// Product is what a deployment of the chat adds to the core.
var (
	Product  = New().Product()
	Messages = Product.Tables[0]
)

// Chat is the product with its table.
type Chat struct {
	*subwire.App
	Messages *subwire.Table[Message]
}

// New returns the product:
//
//	type Query { getNewMessages(chatId: ID!, after: ID, before: ID, limit: Int = 50): [Message!]! }
//	type Mutation { postMessage(chatId: ID!, content: String!, senderName: String): Message! }
//	type Subscription { newMessage(chatId: ID!, after: ID): Message! }
func New() Chat {
	c := Chat{App: subwire.New("chat")}
	c.Claims = []string{"name", "chats_read", "chats_write"}
	c.Paths = []string{"/", "/c/{chat+}"}
	c.Try = subwire.Example{Claims: []string{`chats_write=["lobby"]`},
		Document: `mutation { postMessage(chatId: "lobby", content: "hello", senderName: "Ada") { id } }`}
	c.Messages = subwire.NewTable(c.App, subwire.TableSpec{Name: "messages", Key: "chatId", Sort: "id", Kept: true,
		OnlyInserts: true, RowBytes: RowBytes},
		func(change subwire.Change[Message], emit subwire.Emit) { emit(change.Now, Topic(change.Now.ChatID)) })
	subwire.Field(c.App, "mine", func(_ context.Context, viewer func() subwire.Viewer, m Message) (bool, error) {
		return m.SenderID != "" && m.SenderID == viewer().ID, nil
	}, subwire.Doc("Whether the viewer wrote it. Nobody owns what was written without a token."))
	subwire.Query(c.App, "getNewMessages", c.getNewMessages, subwire.Doc(
		"Messages of a chat, oldest first: those after an id, or those before one, or else the newest."))
	subwire.Mutation(c.App, "postMessage", c.postMessage, subwire.Doc(
		"Writes a message. Every subscriber of the chat gets it."))
	subwire.Subscribe(c.App, "newMessage", subwire.Subscription[newMessageArgs, Message]{
		Doc: "Messages of a chat as they are written, preceded by those since the given id.",
		Topic: func(a newMessageArgs) (subwire.Topic, error) {
			return Topic(a.ChatID), check("chatId", a.ChatID, MaxChatIDBytes)
		},
		Begin: func(_ context.Context, v subwire.Viewer, a newMessageArgs) error { return c.mayRead(v, a.ChatID) },
		Allow: func(v subwire.Viewer, a newMessageArgs, _ Message) error { return c.mayRead(v, a.ChatID) },
		Replay: subwire.ReplayOf(c.Messages, func(a newMessageArgs) string { return a.ChatID },
			func(m Message) (string, Message) { return m.ID, m }),
	})
	return c
}

type newMessageArgs struct {
	ChatID string `json:"chatId" gql:"id"`
	After  string `json:"after" gql:"id,after"`
}

type getNewMessagesArgs struct {
	ChatID string `json:"chatId" gql:"id"`
	After  string `json:"after" gql:"id,optional"`
	Before string `json:"before" gql:"id,optional"`
	Limit  int    `json:"limit" default:"50"`
}

func (c Chat) getNewMessages(ctx context.Context, v subwire.Viewer, a getNewMessagesArgs) ([]Message, error) {
	if err := cmp.Or(check("chatId", a.ChatID, MaxChatIDBytes), a.check(), c.mayRead(v, a.ChatID)); err != nil {
		return nil, err
	}
	if a.After != "" {
		return c.Messages.After(ctx, a.ChatID, a.After, a.Limit)
	}
	return c.Messages.Before(ctx, a.ChatID, a.Before, a.Limit)
}

func (a getNewMessagesArgs) check() error {
	switch {
	case a.After != "" && a.Before != "":
		return subwire.Invalid("after and before cannot be given together")
	case a.Limit < 1 || a.Limit > MaxMessages:
		return subwire.Invalid(fmt.Sprintf("limit is %d; 1 to %d are allowed", a.Limit, MaxMessages))
	}
	return nil
}

type postMessageArgs struct {
	ChatID     string `json:"chatId" gql:"id"`
	Content    string `json:"content"`
	SenderName string `json:"senderName" gql:"optional" doc:"Required without a token; with one, its name counts."`
}

func (c Chat) postMessage(ctx context.Context, v subwire.Viewer, a postMessageArgs) (Message, error) {
	m := Message{ID: c.NewID(), ChatID: a.ChatID, Content: a.Content, SenderName: senderName(v, a.SenderName),
		SenderID: v.ID, CreatedAt: c.Now()}
	if err := cmp.Or(m.Check(), c.mayWrite(v, m.ChatID)); err != nil {
		return Message{}, err
	}
	return m, c.Messages.Insert(ctx, m)
}

// senderName is the name in a viewer's token, or else its id. An anonymous viewer
// chooses it.
func senderName(v subwire.Viewer, chosen string) string {
	if v.ID == "" {
		return chosen
	}
	var name string
	v.Claim("name", &name)
	return cmp.Or(name, v.ID)
}

// Check returns an error for the client about the first rule that m breaks.
func (m Message) Check() error {
	return cmp.Or(check("chatId", m.ChatID, MaxChatIDBytes), check("senderName", m.SenderName, MaxNameBytes),
		check("content", m.Content, MaxContentBytes))
}

func check(name, text string, max int) error {
	switch {
	case text == "":
		return subwire.Invalid(name + " is empty")
	case len(text) > max:
		return subwire.Invalid(fmt.Sprintf("%s has %d bytes; at most %d are allowed", name, len(text), max))
	case !utf8.ValidString(text):
		return subwire.Invalid(name + " is not valid UTF-8")
	}
	return nil
}

// mayRead allows a viewer the chats that the claim chats_read of its token lists: ids,
// or "*" for every chat. Without tokens everybody may read.
func (c Chat) mayRead(v subwire.Viewer, chatID string) error {
	if c.Anonymous() || lists(v, "chats_read", chatID) {
		return nil
	}
	return subwire.Forbidden("You may not read this chat.")
}

// mayWrite does the same for chats_write. Neither claim implies the other.
func (c Chat) mayWrite(v subwire.Viewer, chatID string) error {
	if c.Anonymous() || lists(v, "chats_write", chatID) {
		return nil
	}
	return subwire.Forbidden("You may not write to this chat.")
}

// lists reports whether a claim, a text or a list of texts, names the chat. A claim of
// another type counts as absent.
func lists(v subwire.Viewer, claim, chatID string) bool {
	var raw json.RawMessage
	var one string
	var many []string
	if !v.Claim(claim, &raw) {
		return false
	}
	if json.Unmarshal(raw, &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(raw, &many) != nil {
		return false
	}
	return slices.Contains(many, chatID) || slices.Contains(many, "*")
}
