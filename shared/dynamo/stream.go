package dynamo

import (
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/chat"
	"subwire/shared/pubsub"
)

// ErrUndecodable is a stream record that can never become an event. It belongs in the
// dead letters.
var ErrUndecodable = errors.New("stream record cannot be decoded")

// Event decodes the record of a new chat message to the event that announces it; its
// root value is the chat.Message as JSON. Any record but the INSERT of a whole message
// is an ErrUndecodable. The caller skips the changes and removals that it does not
// want.
func Event(record events.DynamoDBEventRecord) (pubsub.Event, error) {
	if record.EventName != string(events.DynamoDBOperationTypeInsert) {
		return pubsub.Event{}, fmt.Errorf("%w: it is no INSERT", ErrUndecodable)
	}
	image := record.Change.NewImage
	var item messageItem
	for name, field := range map[string]*string{
		"chatId": &item.ChatID, "id": &item.ID, "content": &item.Content, "senderName": &item.SenderName,
	} {
		attribute := image[name]
		if attribute.DataType() != events.DataTypeString || attribute.String() == "" {
			return pubsub.Event{}, fmt.Errorf("%w: it has no %s", ErrUndecodable, name)
		}
		*field = attribute.String()
	}
	if sender, ok := image["senderId"]; ok && sender.DataType() == events.DataTypeString {
		item.SenderID = sender.String()
	}
	createdAt := image["createdAt"]
	if createdAt.DataType() != events.DataTypeNumber {
		return pubsub.Event{}, fmt.Errorf("%w: it has no createdAt", ErrUndecodable)
	}
	var err error
	if item.CreatedAt, err = createdAt.Integer(); err != nil {
		return pubsub.Event{}, fmt.Errorf("%w: createdAt: %w", ErrUndecodable, err)
	}
	root, err := item.message().Root()
	if err != nil { // a year of more than four digits
		return pubsub.Event{}, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	return pubsub.Event{ID: item.ID, Topic: chat.Topic(item.ChatID), Root: root}, nil
}
