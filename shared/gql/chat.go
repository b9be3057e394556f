package gql

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/graphql-go/graphql"
	"github.com/oklog/ulid/v2"

	"subwire/shared/allowance"
	"subwire/shared/chat"
	"subwire/shared/pubsub"
)

// Chat is what the chat's schema needs.
type Chat struct {
	Store  chat.Store
	Policy Policy           // nil for Open
	NewID  func() string    // makes message ids; nil for ULIDs, which replays need
	Now    func() time.Time // nil for time.Now

	Audiences *allowance.Audiences // the listeners that a message's writer pays for
}

// Schema fills the schema of the chat into a Config:
//
//	type Message { id: ID! chatId: ID! content: String! createdAt: String! senderName: String! mine: Boolean! }
//	type Query { getNewMessages(chatId: ID!, after: ID, before: ID, limit: Int = 50): [Message!]! }
//	type Mutation { postMessage(chatId: ID!, content: String!, senderName: String): Message! }
//	type Subscription { newMessage(chatId: ID!, after: ID): Message! }
func (c Chat) Schema() Config {
	if c.Policy == nil {
		c.Policy = Open{}
	}
	if c.NewID == nil {
		c.NewID = func() string { return ulid.Make().String() }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	id, text := graphql.NewNonNull(graphql.ID), graphql.NewNonNull(graphql.String)
	message := graphql.NewObject(graphql.ObjectConfig{Name: "Message", Fields: graphql.Fields{
		"id":         messageField(id, func(m chat.Message) string { return m.ID }),
		"chatId":     messageField(id, func(m chat.Message) string { return m.ChatID }),
		"content":    messageField(text, func(m chat.Message) string { return m.Content }),
		"createdAt":  messageField(text, func(m chat.Message) string { return m.CreatedAt.UTC().Format(time.RFC3339Nano) }),
		"senderName": messageField(text, func(m chat.Message) string { return m.SenderName }),
		"mine": &graphql.Field{Type: graphql.NewNonNull(graphql.Boolean), Resolve: mine,
			Description: "Whether the viewer wrote it. Nobody owns what was written without a token."},
	}})
	chatID := &graphql.ArgumentConfig{Type: id}
	return Config{
		Query: graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{
			"getNewMessages": {
				Type:        graphql.NewNonNull(graphql.NewList(graphql.NewNonNull(message))),
				Description: "Messages of a chat, oldest first: those after an id, or those before one, or else the newest.",
				Args: graphql.FieldConfigArgument{"chatId": chatID, "after": {Type: graphql.ID},
					"before": {Type: graphql.ID}, "limit": {Type: graphql.Int, DefaultValue: chat.DefaultMessages}},
				Resolve: c.getNewMessages,
			},
		}}),
		Mutation: graphql.NewObject(graphql.ObjectConfig{Name: "Mutation", Fields: graphql.Fields{
			"postMessage": {
				Type:        graphql.NewNonNull(message),
				Description: "Writes a message. Every subscriber of the chat gets it.",
				Args: graphql.FieldConfigArgument{"chatId": chatID, "content": {Type: text},
					"senderName": {Type: graphql.String, Description: "Required without a token; with one, its name counts."}},
				Resolve: c.postMessage,
			},
		}}),
		Subscriptions: map[string]Subscription{
			"newMessage": {
				Type:        graphql.NewNonNull(message),
				Description: "Messages of a chat as they are written, preceded by those since the given id.",
				Args:        graphql.FieldConfigArgument{"chatId": chatID, "after": {Type: graphql.ID}},
				Topic:       newMessageTopic,
				Allow:       c.allowNewMessage,
				Root:        newMessageRoot,
				Replay:      &Replay{Argument: "after", Missed: c.missedMessages},
			},
		},
	}
}

func messageField(t graphql.Output, get func(chat.Message) string) *graphql.Field {
	return &graphql.Field{Type: t, Resolve: func(p graphql.ResolveParams) (any, error) {
		return get(p.Source.(chat.Message)), nil
	}}
}

func newMessageTopic(args map[string]any) (string, error) {
	chatID := argument(args, "chatId")
	if after, ok := args["after"].(string); ok {
		if _, err := readFrom(after, time.Time{}); err != nil {
			return "", refuseInput(chat.InputError("after is not the id of a message"))
		}
	}
	return chat.Topic(chatID), refuseInput(chat.CheckChatID(chatID))
}

func (c Chat) allowNewMessage(v pubsub.Viewer, args map[string]any) error {
	if !c.Policy.MayRead(v, argument(args, "chatId")) {
		return errForbidden("read")
	}
	return nil
}

// mine is the field in which two viewers of a message differ.
func mine(p graphql.ResolveParams) (any, error) {
	sender := p.Source.(chat.Message).SenderID
	return sender != "" && sender == pubsub.ViewerOf(p.Context).ID, nil
}

func newMessageRoot(root json.RawMessage) (any, error) {
	var m chat.Message
	if err := json.Unmarshal(root, &m); err != nil {
		return nil, fmt.Errorf("decode chat message: %w", err)
	}
	return m, nil
}

func (c Chat) getNewMessages(p graphql.ResolveParams) (any, error) {
	chatID, limit := argument(p.Args, "chatId"), chat.DefaultMessages
	after, before := argument(p.Args, "after"), argument(p.Args, "before")
	if n, ok := p.Args["limit"].(int); ok {
		limit = n
	}
	if err := errors.Join(chat.CheckChatID(chatID), chat.CheckRange(after, before), chat.CheckLimit(limit)); err != nil {
		return nil, refuseInput(err)
	}
	if !c.Policy.MayRead(pubsub.ViewerOf(p.Context), chatID) {
		return nil, errForbidden("read")
	}
	found, err := c.messages(p.Context, chatID, after, before, limit)
	if err != nil {
		return nil, Unavailable(fmt.Errorf("read messages: %w", err))
	}
	return found, nil
}

// messages reads messages, and tallies the cost.
func (c Chat) messages(ctx context.Context, chatID, after, before string, limit int) ([]chat.Message, error) {
	found, err := c.Store.Messages(ctx, chatID, after, before, limit)
	bytes := 0
	for _, m := range found {
		bytes += size(m)
	}
	allowance.Add(ctx, allowance.Read(bytes))
	return found, err
}

// size is about how many bytes a message takes in the store.
func size(m chat.Message) int { return len(m.Content) + len(m.SenderName) + 100 }

func (c Chat) postMessage(p graphql.ResolveParams) (any, error) {
	viewer := pubsub.ViewerOf(p.Context)
	m := chat.Message{
		ID:         c.NewID(),
		ChatID:     argument(p.Args, "chatId"),
		Content:    argument(p.Args, "content"),
		SenderName: senderName(viewer, argument(p.Args, "senderName")),
		SenderID:   viewer.ID,
		CreatedAt:  c.Now().UTC().Truncate(time.Millisecond), // what the store keeps
	}
	if err := m.Check(); err != nil {
		return nil, refuseInput(err)
	}
	if !c.Policy.MayWrite(viewer, m.ChatID) {
		return nil, errForbidden("write to")
	}
	ctx, cancel := context.WithTimeout(p.Context, chat.WriteTime)
	defer cancel()
	defer c.pay(ctx, m)()
	if err := c.Store.PutMessage(ctx, m); err != nil {
		return nil, Unavailable(fmt.Errorf("write message: %w", err))
	}
	return m, nil
}

// pay begins to find out who will get a message, while it is written. The function that
// it returns waits for that, and tallies what the message costs.
func (c Chat) pay(ctx context.Context, m chat.Message) (tally func()) {
	targets := make(chan int, 1)
	go func() { targets <- c.Audiences.Of(ctx, chat.Topic(m.ChatID)) }()
	return func() {
		pushes := float64(<-targets) * allowance.Sent(size(m))
		allowance.Add(ctx, allowance.Stored(size(m))+allowance.FannedOut(size(m))+pushes)
	}
}

// senderName is the name in a viewer's token, or else its id. An anonymous viewer
// chooses it.
func senderName(v pubsub.Viewer, said string) string {
	if v.ID == "" {
		return said
	}
	return cmp.Or(chatClaims(v).Name, v.ID)
}

// lateTime is how much older than its commit a message's id may be, by any clock. Ids
// are made before the write. AWS keeps its clocks within a millisecond; clockSkew also
// covers a write that is on its way when its time is up.
const (
	clockSkew = 2 * time.Second
	lateTime  = chat.WriteTime + clockSkew
)

// readFrom returns the id where a replay begins to read: what a client with the message
// after may have missed and, unless since is zero, was committed since then.
func readFrom(after string, since time.Time) (string, error) {
	id, err := ulid.ParseStrict(after)
	if err != nil {
		return "", fmt.Errorf("parse message id: %w", err)
	}
	begin := ulid.Time(id.Time()).Add(-lateTime - pubsub.SettleTime)
	if later := since.Add(-lateTime); later.After(begin) {
		begin = later
	}
	var from ulid.ULID
	if err := from.SetTime(uint64(max(0, begin.UnixMilli()))); err != nil {
		return "", fmt.Errorf("make message id: %w", err)
	}
	return from.String(), nil
}

// missedMessages implements Replay.Missed. It leaves out the message after itself,
// which the client has.
func (c Chat) missedMessages(ctx context.Context, args map[string]any, since time.Time, read string,
	max int) (missed []pubsub.Event, more bool, err error) {
	after, from := argument(args, "after"), read
	if from == "" {
		if from, err = readFrom(after, since); err != nil {
			return nil, false, err
		}
	}
	found, err := c.messages(ctx, argument(args, "chatId"), from, "", max)
	if err != nil {
		return nil, false, fmt.Errorf("read messages: %w", err)
	}
	for _, m := range found {
		root, err := m.Root()
		if err != nil {
			return nil, false, err
		}
		if m.ID != after {
			missed = append(missed, pubsub.Event{ID: m.ID, Topic: chat.Topic(m.ChatID), Root: root})
		}
	}
	return missed, len(found) == max, nil
}

// argument returns a text argument, or "" if it was not given.
func argument(args map[string]any, name string) string {
	text, _ := args[name].(string)
	return text
}

// refuseInput shows the domain's input errors to the client.
func refuseInput(err error) error {
	if err == nil {
		return nil
	}
	return Refuse(pubsub.CodeInput, err)
}
