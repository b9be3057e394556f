package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/topology"
)

const carl = `{"courierId":"carl","latitude":52.5,"longitude":13.4}`

// queued is a message as Lambda passes it on ("Using Lambda with Amazon SQS"), with
// attributes: name, value, name, value …
func queued(body string, attributes ...string) events.SQSMessage {
	m := events.SQSMessage{MessageId: "059f36b4-87a3-44ab-83d2-661975830a7d", Body: body,
		Attributes:        map[string]string{"SentTimestamp": "1545082649183"},
		MessageAttributes: map[string]events.SQSMessageAttribute{}}
	for i := 0; i < len(attributes); i += 2 {
		m.MessageAttributes[attributes[i]] = events.SQSMessageAttribute{DataType: "String", StringValue: &attributes[i+1]}
	}
	return m
}

func text(s string) string {
	raw, _ := json.Marshal(s)
	return string(raw)
}

// notice is the message of "Fanout Amazon SNS notifications to Amazon SQS queues for
// asynchronous processing", with another text, and with the message attributes of "Amazon
// SNS raw message delivery".
func notice(message, attributes string) string {
	return `{
   "Type" : "Notification",
   "MessageId" : "63a3f6b6-d533-4a47-aef9-fcf5cf758c76",
   "TopicArn" : "arn:aws:sns:us-west-2:123456789012:MyTopic",
   "Subject" : "Testing publish to subscribed queues",
   "Message" : ` + text(message) + `,
   "Timestamp" : "2012-03-29T05:12:16.901Z",
   "SignatureVersion" : "1",
   "Signature" : "EXAMPLEnTrFPa3...",
   "SigningCertURL" : "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
   "UnsubscribeURL" : "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-west-2:123456789012:MyTopic:c7fe3a54-ab0e-4ec2-88e0-db410a0f2bee"` + attributes + `
}`
}

// happened is the event of "Event structure reference", with a type and detail of ours.
func happened(detailType, detail string) string {
	return `{
  "version": "0",
  "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
  "detail-type": "` + detailType + `",
  "source": "com.example.couriers",
  "account": "111122223333",
  "time": "2017-12-22T18:43:48Z",
  "region": "us-west-1",
  "resources": [
    "arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"
  ],
  "detail": ` + detail + `
}`
}

const attributes = `,
   "MessageAttributes" : {
      "event" : {"Type":"String","Value":"courierMoved"},
      "id" : {"Type":"String","Value":"7"}
   }`

// ofBus is the id of the event that happened.
const ofBus = "2017-12-22T18:43:48.000Z/6a7e8feb-b491-4cf7-a9f1-bf3703467718"

// named are the message attributes of an SNS message that gives its event no id.
const named = `,"MessageAttributes":{"event":{"Type":"String","Value":"courierMoved"}}`

func TestEachFormOfAMessage(t *testing.T) {
	t.Parallel()
	const (
		plain  = `{"event":"courierMoved","id":"7","data":` + carl + `}`
		ofSQS  = "2018-12-17T21:37:29.183Z/059f36b4-87a3-44ab-83d2-661975830a7d"
		ofSNS  = "2012-03-29T05:12:16.901Z/63a3f6b6-d533-4a47-aef9-fcf5cf758c76"
		onlyID = "6a7e8feb-b491-4cf7-a9f1-bf3703467718"
	)
	late := strings.Replace(happened("courierMoved", carl), "18:43:48Z", "20:43:48+02:00", 1)
	timeless := strings.Replace(happened("courierMoved", carl), "2017-12-22T18:43:48Z", "yesterday", 1)
	for name, tc := range map[string]struct {
		message events.SQSMessage
		id      string // of the event
	}{
		"Plain":                {queued(plain), "7"},
		"PlainWithAnAttribute": {queued(plain, "reason", "it was throttled"), "7"},
		"DataWithAttributes":   {queued(carl, "event", "courierMoved", "id", "7"), "7"},
		"DataWithoutAnID":      {queued(carl, "event", "courierMoved"), ofSQS},
		"EventBridge":          {queued(happened("courierMoved", carl)), ofBus},
		"EventBridgeElsewhere": {queued(late), ofBus},
		"EventBridgeNoTime":    {queued(timeless), onlyID},
		"SNSWithAttributes":    {queued(notice(carl, attributes)), "7"},
		"SNSWithTheEventsName": {queued(notice(carl, named)), ofSNS},
		"SNSOfAPlainOne":       {queued(notice(plain, "")), "7"},
		"SNSRawOfAPlainOne":    {queued(plain, "trace", "1"), "7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeMessage(tc.message)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(event{"courierMoved", tc.id, json.RawMessage(carl)}, got); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMessageOfNoFormIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		message events.SQSMessage
		want    string // part of the reason
	}{
		"Nothing":          {queued(""), "EOF"},
		"NoJSON":           {queued("carl"), "invalid character 'c'"},
		"AList":            {queued(`[{"event":"courierMoved","id":"7","data":` + carl + `}]`), "cannot unmarshal array"},
		"NoEvent":          {queued(`{"id":"7","data":{}}`), "it has no event"},
		"NoID":             {queued(`{"event":"courierMoved","data":{}}`), "it has no id"},
		"NoData":           {queued(`{"event":"courierMoved","id":"7"}`), "it has no data"},
		"ANumberAsID":      {queued(`{"event":"courierMoved","id":7,"data":{}}`), "cannot unmarshal number"},
		"AnUnknownMember":  {queued(`{"event":"courierMoved","id":"7","data":{},"groups":"x"}`), `unknown field "groups"`},
		"TwoInOne":         {queued(`{"event":"a","id":"7","data":{}}{"event":"b","id":"8","data":{}}`), "something follows"},
		"NoUTF8":           {queued("{\"event\":\"courierMoved\",\"id\":\"\xff\",\"data\":{}}"), "UTF-8"},
		"HalfACharacter":   {queued(`{"event":"courierMoved","id":"\ud83d","data":{}}`), "UTF-8"},
		"TextAsData":       {queued("carl", "event", "courierMoved"), "its data is no JSON"},
		"SNSOfText":        {queued(notice("Hello world!", "")), "invalid character 'H'"},
		"SNSOfHalf":        {queued(notice(`{"courierId":"\ud83d"}`, attributes)), "UTF-8"},
		"AnUnconfirmedOne": {queued(`{"Type":"SubscriptionConfirmation","TopicArn":"arn:aws:sns:us-west-2:123456789012:MyTopic","Token":"2336412f37"}`), `unknown field "Type"`},
		"EventBridgeNoID":  {queued(`{"detail-type":"courierMoved","detail":{}}`), "it has no id"},
		"NoDetail":         {queued(`{"detail-type":"courierMoved","id":"7"}`), "its data is no JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if e, err := decodeMessage(tc.message); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %+v, %v; want %q", e, err, tc.want)
			}
		})
	}
}

// Whatever comes, an event is whole, and what is parked of it is read as the same event.
func FuzzMessage(f *testing.F) {
	f.Add(carl, "courierMoved", "7")
	f.Add(`{"event":"courierMoved","id":"7","data":`+carl+`}`, "", "")
	f.Add(notice(carl, attributes), "", "")
	f.Add(happened("courierMoved", carl), "", "")
	f.Add(`[{"event":"a"}] {}`, "", "")
	f.Fuzz(func(t *testing.T, body, name, id string) {
		name, id = strings.ToValidUTF8(name, "?"), strings.ToValidUTF8(id, "?") // as Lambda's JSON has them
		e, err := decodeMessage(queued(body, topology.EventAttribute, name, topology.IDAttribute, id))
		if err != nil {
			return
		}
		parked, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%+v cannot be parked: %v", e, err)
		}
		again, err := decodeMessage(queued(string(parked)))
		if err != nil || again.Event != e.Event || again.ID != e.ID {
			t.Errorf("%q is %+v, and then %+v, %v", body, e, again, err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`[{"event":"courierMoved","id":"7","data":` + carl + `}]`))
	f.Add([]byte(`{"event":"courierMoved","id":"7","data":null}`))
	f.Add([]byte(` [`))
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := decodeRequest(body)
		if err == nil && len(all) == 0 {
			t.Error("neither events nor an error")
		}
		for _, e := range all {
			if e.whole() != nil || !json.Valid(e.Data) {
				t.Errorf("%+v", e)
			}
		}
	})
}
