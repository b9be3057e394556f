package dynamo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/shared/chat"
	"subwire/shared/pubsub"
)

// messageItem is a chat message as it is stored; stream.go reads it as well.
type messageItem struct {
	ChatID     string `dynamodbav:"chatId"`
	ID         string `dynamodbav:"id"`
	Content    string `dynamodbav:"content"`
	SenderName string `dynamodbav:"senderName"`
	SenderID   string `dynamodbav:"senderId,omitempty"`
	CreatedAt  int64  `dynamodbav:"createdAt"` // Unix milliseconds
}

func (i messageItem) message() chat.Message {
	return chat.Message{ID: i.ID, ChatID: i.ChatID, Content: i.Content, SenderName: i.SenderName, SenderID: i.SenderID,
		CreatedAt: time.UnixMilli(i.CreatedAt).UTC()}
}

// PutMessage implements chat.Store. A message that is already there stays as it is, so
// its stream holds it once.
func (s *Store) PutMessage(ctx context.Context, m chat.Message) error {
	item, err := attributevalue.MarshalMap(messageItem{ChatID: m.ChatID, ID: m.ID, Content: m.Content,
		SenderName: m.SenderName, SenderID: m.SenderID, CreatedAt: m.CreatedAt.UnixMilli()})
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	_, err = call(ctx, s.client.PutItem, &dynamodb.PutItemInput{
		TableName: &s.tables.Messages, Item: item,
		ConditionExpression: aws.String("attribute_not_exists(id)"),
	})
	if _, exists := failedCondition(err); err != nil && !exists {
		return fmt.Errorf("put message: %w", err)
	}
	return nil
}

// Messages implements chat.Store. A page ends at 1 MB of messages even below the limit,
// or at what is left of the budget, so there may be several.
func (s *Store) Messages(ctx context.Context, chatID, after, before string, limit int) ([]chat.Message, error) {
	in := &dynamodb.QueryInput{
		TableName: &s.tables.Messages, ConsistentRead: aws.Bool(true),
		ScanIndexForward:          aws.Bool(after != ""), // the others are read backward
		KeyConditionExpression:    aws.String("chatId = :chat"),
		ExpressionAttributeValues: attributes{":chat": text(chatID)},
	}
	switch {
	case after != "":
		in.KeyConditionExpression = aws.String("chatId = :chat AND id > :id")
		in.ExpressionAttributeValues[":id"] = text(after)
	case before != "":
		in.KeyConditionExpression = aws.String("chatId = :chat AND id < :id")
		in.ExpressionAttributeValues[":id"] = text(before)
	}
	messages := []chat.Message{} // not null
	for more := true; more && len(messages) < limit; more = len(in.ExclusiveStartKey) > 0 {
		page, err := s.messagesPage(ctx, in, limit-len(messages))
		if err != nil {
			return nil, err
		}
		messages = append(messages, page...)
	}
	if after == "" {
		slices.Reverse(messages)
	}
	return messages, nil
}

// messagesPage reads up to most messages, as many as the budget of ctx allows if each
// has the greatest length, and moves in to the next page.
func (s *Store) messagesPage(ctx context.Context, in *dynamodb.QueryInput, most int) ([]chat.Message, error) {
	budget := pubsub.BudgetOf(ctx)
	reserved, err := budget.Reserve(chat.MaxStoredBytes, most*chat.MaxStoredBytes)
	if err != nil {
		return nil, fmt.Errorf("query messages: %w", err)
	}
	in.Limit = aws.Int32(int32(reserved / chat.MaxStoredBytes))
	page, err := call(ctx, s.client.Query, in)
	if err != nil {
		return nil, fmt.Errorf("query messages: %w", err)
	}
	in.ExclusiveStartKey = page.LastEvaluatedKey
	var items []messageItem
	if err := attributevalue.UnmarshalListOfMaps(page.Items, &items); err != nil {
		return nil, fmt.Errorf("decode messages: %w", err)
	}
	messages := make([]chat.Message, len(items))
	for i, item := range items {
		messages[i] = item.message()
	}
	budget.Return(reserved - readBytes(messages))
	return messages, nil
}

// unitBytes is what a strongly consistent read unit reads ("Read capacity units").
const unitBytes = 4 << 10

// readBytes is what a page of messages has cost: the size of its items together,
// rounded up to units ("Query").
func readBytes(messages []chat.Message) int {
	bytes := 1 // an empty page also costs a unit
	for _, m := range messages {
		bytes += m.StoredBytes()
	}
	return (bytes + unitBytes - 1) / unitBytes * unitBytes
}
