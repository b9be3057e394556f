// Package chat is the sample domain: chats, their messages, and the rules for both. It
// knows neither GraphQL nor AWS. To build something else with Subwire, replace it.
package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Message is one message of a chat.
type Message struct {
	ID         string    `json:"id"` // a ULID: ids order messages by time
	ChatID     string    `json:"chatId"`
	Content    string    `json:"content"`
	SenderName string    `json:"senderName"`
	SenderID   string    `json:"senderId,omitempty"` // of the viewer who wrote it; "" without a token
	CreatedAt  time.Time `json:"createdAt"`
}

// Root is the message as the root value of the event that announces it: JSON without
// the escapes for HTML, which turn one byte into six.
func (m Message) Root() (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// StoredBytes is about how much of a read m takes: its texts, and what a store keeps
// around them.
func (m Message) StoredBytes() int {
	const around = 64
	return len(m.ID) + len(m.ChatID) + len(m.Content) + len(m.SenderName) + len(m.SenderID) + around
}

type Store interface {
	// PutMessage stores a new message. One that is already there is not an error, so it
	// may be called again.
	PutMessage(ctx context.Context, m Message) error

	// Messages returns messages of a chat by ascending id, at most limit: the first
	// after the id after, the last before the id before, or the newest. At least one of
	// the two ids is "". It is strongly consistent. What is read comes out of the
	// budget of ctx; if that is not enough, the error is pubsub.ErrBudget.
	Messages(ctx context.Context, chatID, after, before string, limit int) ([]Message, error)
}

// Limits of a message, in bytes of UTF-8, and of one read.
const (
	MaxChatIDBytes  = 128
	MaxNameBytes    = 128
	MaxContentBytes = 8 << 10
	MaxMessages     = 100
	MaxStoredBytes  = MaxContentBytes + 1<<10 // of a message (see StoredBytes)
	DefaultMessages = 50
)

// WriteTime bounds the write of a message from the moment its id is made. Reading a
// chat that much later finds every message with an earlier id.
const WriteTime = 5 * time.Second

// Topic is where new messages of a chat are announced.
func Topic(chatID string) string { return "newMessage/" + chatID }

// InputError says what is wrong with a value. Its text is for the client.
type InputError string

func (e InputError) Error() string { return string(e) }

// CheckChatID returns an InputError for an id that no chat can have.
func CheckChatID(id string) error { return checkText("chatId", id, MaxChatIDBytes) }

// Check returns an InputError for the first rule that m breaks.
func (m Message) Check() error {
	if err := CheckChatID(m.ChatID); err != nil {
		return err
	}
	if err := checkText("senderName", m.SenderName, MaxNameBytes); err != nil {
		return err
	}
	return checkText("content", m.Content, MaxContentBytes)
}

func checkText(name, text string, max int) error {
	switch {
	case text == "":
		return InputError(name + " is empty")
	case len(text) > max:
		return InputError(fmt.Sprintf("%s has %d bytes; at most %d are allowed", name, len(text), max))
	case !utf8.ValidString(text):
		return InputError(name + " is not valid UTF-8")
	}
	return nil
}

// CheckRange returns an InputError if neither of the two ids is "".
func CheckRange(after, before string) error {
	if after != "" && before != "" {
		return InputError("after and before cannot be given together")
	}
	return nil
}

// CheckLimit returns an InputError for a number of messages that cannot be read at
// once.
func CheckLimit(limit int) error {
	if limit < 1 || limit > MaxMessages {
		return InputError(fmt.Sprintf("limit is %d; 1 to %d are allowed", limit, MaxMessages))
	}
	return nil
}
