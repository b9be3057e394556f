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

// PutMessage implements chat.Store. A message that is there already stays as
// it is, so that its stream holds it once.
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
	if _, exists := refused(err); err != nil && !exists {
		return fmt.Errorf("put message: %w", err)
	}
	return nil
}

// Messages implements chat.Store. A page ends at 1 MB of messages even below
// the limit, so there may be several.
func (s *Store) Messages(ctx context.Context, chatID, after, before string, limit int) ([]chat.Message, error) {
	in := &dynamodb.QueryInput{
		TableName: &s.tables.Messages, ConsistentRead: aws.Bool(true), Limit: aws.Int32(int32(limit)),
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
	var items []messageItem
	pages := dynamodb.NewQueryPaginator(s.client, in)
	for pages.HasMorePages() && len(items) < limit {
		var page *dynamodb.QueryOutput
		err := retry(ctx, func(ctx context.Context) (err error) { // a page that failed is asked for again
			page, err = pages.NextPage(ctx)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("query messages: %w", err)
		}
		var some []messageItem
		if err := attributevalue.UnmarshalListOfMaps(page.Items, &some); err != nil {
			return nil, fmt.Errorf("decode messages: %w", err)
		}
		items = append(items, some...)
	}
	items = items[:min(limit, len(items))]
	if after == "" {
		slices.Reverse(items)
	}
	messages := make([]chat.Message, len(items))
	for i, item := range items {
		messages[i] = item.message()
	}
	return messages, nil
}
