// Package chat is the sample product: chats, their messages, and the rules for both.
package chat

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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

// Typing says that somebody is writing in a chat. It is stored nowhere.
type Typing struct {
	ChatID string `json:"chatId" gql:"id"`
	Who    string `json:"who" gql:"id"`
	Name   string `json:"name"`
}

// ReadMark is how far somebody has read a chat.
type ReadMark struct {
	ChatID    string `json:"chatId" gql:"id"`
	Reader    string `json:"reader" gql:"id"`
	Name      string `json:"name"`
	MessageID string `json:"messageId" gql:"id"`
	Expires   int64  `json:"ttl" gql:"-"` // Unix seconds
}

// Limits of a message, in bytes of UTF-8, of one read, and of a read mark's life.
const (
	MaxChatIDBytes  = 128
	MaxPersonBytes  = 128 // of the id that a viewer without a token goes by
	MaxNameBytes    = 128
	MaxContentBytes = 8 << 10
	MaxMessages     = 100
	RowBytes        = MaxContentBytes + 1<<10 // of a message in its table
	MaxReadMarks    = 100
	readMarkFor     = 90 * 24 * time.Hour
)

// Topic is where new messages of a chat are announced.
func Topic(chatID string) subwire.Topic { return "newMessage/" + chatID }

func typingTopic(chatID string) subwire.Topic { return "typing/" + chatID }
func readTopic(chatID string) subwire.Topic   { return "readMarks/" + chatID }

// Chat is the product with its tables.
type Chat struct {
	*subwire.App
	Messages *subwire.Table[Message]
	Reads    *subwire.Table[ReadMark]
}

// New returns the product:
//
//	type Query { getNewMessages(chatId: ID!, after: ID, before: ID, limit: Int = 50): [Message!]! }
//	type Mutation { postMessage(chatId: ID!, content: String!, senderName: String, key: ID): Message! }
//	type Subscription { newMessage(chatId: ID!, after: ID): Message! }
//
// and what addPresence, addTyping and addReadMarks say.
func New() Chat {
	c := Chat{App: subwire.New("chat")}
	c.Fast = true // its clients know messages by their ids
	c.Claims = []string{"name", "chats_read", "chats_write"}
	c.Paths = []string{"/", "/c/{chat+}"}
	c.Try = subwire.Example{Claims: []string{`chats_write=["lobby"]`},
		Subscribe: `subscription { newMessage(chatId: "lobby") { id content senderName } }`,
		Document:  `mutation { postMessage(chatId: "lobby", content: "hello", senderName: "Ada") { id } }`}
	c.Canary = subwire.Canary{Subscribe: `subscription { newMessage(chatId: "canary") { id } }`,
		Post:   `mutation { postMessage(chatId: "canary", content: "canary", senderName: "canary") { id } }`,
		Claims: []string{"chats_read=canary", "chats_write=canary"}}
	c.Messages = subwire.NewTable(c.App, subwire.TableSpec{Name: "messages", Key: "chatId", Sort: "id", Kept: true,
		OnlyInserts: true, Once: true, RowBytes: RowBytes},
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
	c.addPresence()
	c.addTyping()
	c.addReadMarks()
	return c
}

// addTyping adds who is writing:
//
//	type Mutation { typing(chatId: ID!, name: String, as: ID): Typing! }
//	type Subscription { typing(chatId: ID!): Typing! }
//
// An event is the latest of its chat and person, so two who write do not replace each
// other.
func (c *Chat) addTyping() {
	subwire.Inbox(c.App, "typing", func(t Typing) string { return fmt.Sprintf("%q %s", t.ChatID, t.Who) },
		func(t Typing, emit subwire.Emit) { emit.Latest(t, typingTopic(t.ChatID)) })
	subwire.Mutation(c.App, "typing", c.typing, subwire.Doc("Tells the chat that the viewer is writing."))
	subwire.Subscribe(c.App, "typing", subwire.Subscription[chatArgs, Typing]{
		Doc:   "Who is writing in a chat, each time it is said.",
		Topic: func(a chatArgs) (subwire.Topic, error) { return typingTopic(a.ChatID), a.check() },
		Begin: func(_ context.Context, v subwire.Viewer, a chatArgs) error { return c.mayRead(v, a.ChatID) },
		Allow: func(v subwire.Viewer, a chatArgs, _ Typing) error { return c.mayRead(v, a.ChatID) },
	})
}

// addReadMarks adds how far the readers of a chat are:
//
//	type Query { readMarks(chatId: ID!): [ReadMark!]! }
//	type Mutation { markRead(chatId: ID!, messageId: ID!, name: String, as: ID): ReadMark! }
//	type Subscription { readMarks(chatId: ID!): ReadMark! }
func (c *Chat) addReadMarks() {
	c.Reads = subwire.NewTable(c.App, subwire.TableSpec{Name: "reads", Key: "chatId", Sort: "reader", TTL: "ttl",
		Indexes: map[string][2]string{"byMessage": {"chatId", "messageId"}}, RowBytes: 1 << 10},
		func(change subwire.Change[ReadMark], emit subwire.Emit) {
			if change.Now != nil {
				emit.Latest(change.Now, readTopic(change.Now.ChatID))
			}
		})
	subwire.Query(c.App, "readMarks", c.readMarks, subwire.Doc(
		"How far readers of a chat are: the 100 who are furthest, those who are furthest last."))
	subwire.Mutation(c.App, "markRead", c.markRead, subwire.Doc(
		"Says how far the viewer has read. An older message changes nothing. The answer is the mark as it is then."))
	subwire.Subscribe(c.App, "readMarks", subwire.Subscription[chatArgs, ReadMark]{
		Doc:   "Read marks of a chat as they move.",
		Topic: func(a chatArgs) (subwire.Topic, error) { return readTopic(a.ChatID), a.check() },
		Begin: func(_ context.Context, v subwire.Viewer, a chatArgs) error { return c.mayRead(v, a.ChatID) },
		Allow: func(v subwire.Viewer, a chatArgs, _ ReadMark) error { return c.mayRead(v, a.ChatID) },
	})
}

type chatArgs struct {
	ChatID string `json:"chatId" gql:"id"`
}

func (a chatArgs) check() error { return check("chatId", a.ChatID, MaxChatIDBytes) }

// addPresence adds how many are here:
//
//	type Subscription { here(chatId: ID!, as: ID): Presence! }
func (c *Chat) addPresence() {
	subwire.Presence(c.App, "here", subwire.PresenceOf[hereArgs]{
		Doc:   "How many are here, at first and when that changes. Who leaves counts for ten seconds more.",
		Topic: func(a hereArgs) (subwire.Topic, error) { return a.ChatID, a.check() },
		Begin: func(_ context.Context, v subwire.Viewer, a hereArgs) error { return c.mayRead(v, a.ChatID) },
		Who:   func(v subwire.Viewer, a hereArgs) string { return cmp.Or(v.ID, a.As) },
	})
}

type hereArgs struct {
	ChatID string `json:"chatId" gql:"id"`
	As     string `json:"as" gql:"id,who" doc:"Without a token: the same for what is one person, such as two pages."`
}

func (a hereArgs) check() error {
	if a.As != "" {
		if err := check("as", a.As, MaxNameBytes); err != nil {
			return err
		}
	}
	return check("chatId", a.ChatID, MaxChatIDBytes)
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
	ChatID     string  `json:"chatId" gql:"id"`
	Content    string  `json:"content"`
	SenderName string  `json:"senderName" gql:"optional" doc:"Required without a token; with one, its name counts."`
	Key        *string `json:"key" gql:"id" doc:"Of the client's choice. Sent again with it, the message is written once."`
}

func (c Chat) postMessage(ctx context.Context, v subwire.Viewer, a postMessageArgs) (Message, error) {
	build := func(id string) Message {
		return Message{ID: id, ChatID: a.ChatID, Content: a.Content, SenderName: senderName(v, a.SenderName),
			SenderID: v.ID, CreatedAt: c.Now()}
	}
	m := build(c.NewID())
	if err := cmp.Or(m.Check(), c.mayWrite(v, m.ChatID)); err != nil {
		return Message{}, err
	}
	if a.Key == nil {
		return m, c.Messages.Insert(ctx, m)
	}
	m, err := c.Messages.InsertOnce(ctx, *a.Key, build)
	if err == nil && m.Content != a.Content {
		return m, subwire.Invalid("Another message was sent with this key.")
	}
	return m, err
}

func (c Chat) typing(ctx context.Context, v subwire.Viewer, a struct {
	ChatID string `json:"chatId" gql:"id"`
	Name   string `json:"name" gql:"optional" doc:"Required without a token; with one, its name counts."`
	As     string `json:"as" gql:"id,optional" doc:"Required without a token; with one, its viewer counts."`
}) (Typing, error) {
	t := Typing{ChatID: a.ChatID, Who: cmp.Or(v.ID, a.As), Name: senderName(v, a.Name)}
	if err := cmp.Or(checkPerson(v, t.ChatID, t.Who, t.Name), c.mayWrite(v, t.ChatID)); err != nil {
		return Typing{}, err
	}
	return t, c.Publish(ctx, "typing", c.NewID(), t)
}

func (c Chat) readMarks(ctx context.Context, v subwire.Viewer, a chatArgs) ([]ReadMark, error) {
	if err := cmp.Or(a.check(), c.mayRead(v, a.ChatID)); err != nil {
		return nil, err
	}
	return c.Reads.By(ctx, "byMessage", a.ChatID, MaxReadMarks)
}

func (c Chat) markRead(ctx context.Context, v subwire.Viewer, a struct {
	ChatID    string `json:"chatId" gql:"id"`
	MessageID string `json:"messageId" gql:"id"`
	Name      string `json:"name" gql:"optional" doc:"Required without a token; with one, its name counts."`
	As        string `json:"as" gql:"id,optional" doc:"Required without a token; with one, its viewer counts."`
}) (ReadMark, error) {
	mark := ReadMark{ChatID: a.ChatID, Reader: cmp.Or(v.ID, a.As), Name: senderName(v, a.Name), MessageID: a.MessageID,
		Expires: c.Now().Add(readMarkFor).Unix()}
	if err := cmp.Or(checkPerson(v, mark.ChatID, mark.Reader, mark.Name), c.mayRead(v, mark.ChatID)); err != nil {
		return ReadMark{}, err
	}
	// A mark beyond all messages could never be moved again.
	if _, err := c.Messages.Get(ctx, mark.ChatID, mark.MessageID); errors.Is(err, subwire.ErrNotFound) {
		return ReadMark{}, subwire.Invalid("The chat has no such message.")
	} else if err != nil {
		return ReadMark{}, err
	}
	return c.moveForward(ctx, mark)
}

// errRead ends the update of a mark that is as far already.
var errRead = errors.New("it is read")

// moveForward stores the mark, unless the reader's is as far. It returns what is stored.
func (c Chat) moveForward(ctx context.Context, mark ReadMark) (ReadMark, error) {
	for {
		stored, err := c.Reads.Update(ctx, func(m *ReadMark) error {
			if m.MessageID >= mark.MessageID {
				return errRead
			}
			*m = mark
			return nil
		}, mark.ChatID, mark.Reader)
		if errors.Is(err, subwire.ErrNotFound) {
			stored, err = mark, c.Reads.Insert(ctx, mark)
		}
		switch {
		case errors.Is(err, errRead):
			return stored, nil
		case !errors.Is(err, subwire.ErrExists): // another came first; it may be less far
			return stored, err
		}
	}
}

// checkPerson checks what names somebody in a chat. The id in a token is within limits.
func checkPerson(v subwire.Viewer, chatID, id, name string) error {
	err := check("chatId", chatID, MaxChatIDBytes)
	if v.ID == "" {
		err = cmp.Or(err, check("as", id, MaxPersonBytes))
	}
	return cmp.Or(err, check("name", name, MaxNameBytes))
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
