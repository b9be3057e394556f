package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/chat/chattest"
	"subwire/shared/fanout"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// A record that cannot be decoded goes to the stream's dead letters at once, with its
// content. What is written before and after it, even to the same chat, is delivered.
func TestAPoisonRecordIsIsolated(t *testing.T) {
	t.Parallel()
	s := subscribe(t, dial(t), selections[0].query, "e2e-poison")
	awaitSubscribers(t, "e2e-poison", 1)
	post(t, "e2e-poison", "before")
	next(t, s)

	table := local.Tables[chattest.Table.Name]
	_, err := dynamodb.NewFromConfig(local.Backend.AWS()).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table,
		Item: map[string]ddb.AttributeValue{
			"chatId": &ddb.AttributeValueMemberS{Value: "e2e-poison"}, "id": &ddb.AttributeValueMemberS{Value: "no-message"}}})
	if err != nil {
		t.Fatal(err)
	}
	post(t, "e2e-poison", "after")
	if got := next(t, s); !strings.Contains(got, "after") {
		t.Errorf("got %s", got)
	}

	const reason = queue.ReasonAttribute
	dead := local.Queues[topology.StreamDead.Name]
	client := sqs.NewFromConfig(local.Backend.AWS())
	await(t, "dead letter of the record", func() bool {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &dead, WaitTimeSeconds: 1, MessageAttributeNames: []string{reason}})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			letter, err := fanout.DecodeLetter([]byte(*m.Body))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(letter.Record), `"no-message"`) || *m.MessageAttributes[reason].StringValue == "" {
				t.Errorf("the letter is %s, %v", letter.Record, m.MessageAttributes)
			}
		}
		return len(out.Messages) > 0
	})
}
