package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/topology"
)

// A record that cannot be decoded ends in the stream's dead letters, and what
// is written before and after it, even to the same chat, is delivered.
func TestAPoisonRecordIsIsolated(t *testing.T) {
	t.Parallel()
	s := subscribe(t, dial(t), selections[0].query, "e2e-poison")
	awaitSubscribers(t, "e2e-poison", 1)
	post(t, "e2e-poison", "before")
	next(t, s)

	table := local.Tables[topology.Messages.Name]
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

	dead := local.Queues[topology.StreamDead.Name]
	queue := sqs.NewFromConfig(local.Backend.AWS())
	await(t, "dead letter of the record", func() bool {
		out, err := queue.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &dead, WaitTimeSeconds: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			var letter struct {
				DDBStreamBatchInfo struct {
					BatchSize                              int
					StartSequenceNumber, EndSequenceNumber string
				}
			}
			if err := json.Unmarshal([]byte(*m.Body), &letter); err != nil {
				t.Fatal(err)
			}
			b := letter.DDBStreamBatchInfo
			if b.BatchSize != 1 || b.StartSequenceNumber != b.EndSequenceNumber {
				t.Errorf("more than the record was given up: %s", fmt.Sprint(b))
			}
		}
		return len(out.Messages) > 0
	})
}
