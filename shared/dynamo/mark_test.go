package dynamo

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/shared/pubsub"
)

func TestThePreviousReleasePassesOverMarks(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	m := pubsub.Mark{Name: "a", Expires: time.Now().Add(time.Hour)}
	if err := s.PutMark(t.Context(), "t", m); err != nil {
		t.Fatal(err)
	}
	out, err := s.client.Query(t.Context(), &dynamodb.QueryInput{
		TableName: &s.tables.Subscriptions, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("topic = :topic AND subscriber BETWEEN :from AND :to"),
		ExpressionAttributeValues: attributes{":topic": text("t"), ":from": text("00"), ":to": text("ff$")},
	})
	if err != nil || len(out.Items) > 0 {
		t.Errorf("rows %v, error %v", out.Items, err)
	}
}

func TestATopicOfPresenceHasNoMarks(t *testing.T) {
	t.Parallel()
	s := New(newClient("http://127.0.0.1:1"), Tables{})
	err := s.PutMark(t.Context(), pubsub.PresencePrefix+"t", pubsub.Mark{Name: "a", Expires: time.Now().Add(time.Hour)})
	if !errors.Is(err, errMarkOfPresence) {
		t.Errorf("got error %v", err)
	}
}
