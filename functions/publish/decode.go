package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/jsontext"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// event is an event to be published.
type event struct {
	Event string          `json:"event"` // name of the product's subwire.Inbox
	ID    string          `json:"id"`    // see subwire.App.Publish
	Data  json.RawMessage `json:"data"`
}

// decodeRequest reads a request's body: an event, or a list of them.
func decodeRequest(body []byte) (all []event, err error) {
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		err = decode(body, &all)
	} else {
		all = make([]event, 1)
		err = decode(body, &all[0])
	}
	if err != nil {
		return nil, err
	}
	if len(all) == 0 || len(all) > topology.MostEvents {
		return nil, fmt.Errorf("a list must have 1 to %d events, not %d", topology.MostEvents, len(all))
	}
	for i, e := range all {
		if err := e.whole(); err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
	}
	return all, nil
}

// decodeMessage reads a queue's message, in one of the forms
//
//   - an event as JSON
//   - its data alone, with the attributes topology.EventAttribute and topology.IDAttribute. SNS sends these
//     with a message that it delivers raw ("Amazon SNS raw message delivery")
//   - either of them in the envelope of SNS ("Fanout Amazon SNS notifications to Amazon SQS
//     queues for asynchronous processing")
//   - an event of EventBridge ("Event structure reference")
func decodeMessage(m events.SQSMessage) (event, error) {
	body := []byte(m.Body)
	if !jsontext.IsText(body) {
		return event{}, errNoText
	}
	attribute := func(name string) string {
		if value := m.MessageAttributes[name].StringValue; value != nil {
			return *value
		}
		return ""
	}
	id := cmp.Or(attribute(topology.IDAttribute), idAt(takenBySQS(m.Attributes["SentTimestamp"]), m.MessageId))
	if name := attribute(topology.EventAttribute); name != "" {
		return withData(name, id, body)
	}
	var e envelope
	if json.Unmarshal(body, &e) != nil { // another kind of JSON, or none
		e = envelope{}
	}
	switch name := e.MessageAttributes[topology.EventAttribute].Value; {
	case e.Type == notification && e.TopicARN != "" && name != "":
		id := cmp.Or(e.MessageAttributes[topology.IDAttribute].Value, idAt(takenAt(e.Timestamp), e.MessageID))
		return withData(name, id, []byte(e.Message))
	case e.Type == notification && e.TopicARN != "":
		return decodeEvent([]byte(e.Message))
	case e.DetailType != "":
		return withData(e.DetailType, idAt(takenAt(e.Time), e.ID), e.Detail)
	}
	return decodeEvent(body)
}

// envelope is what AWS puts around an event.
type envelope struct {
	Type              string // of SNS, as the next five
	TopicARN          string `json:"TopicArn"`
	MessageID         string `json:"MessageId"`
	Message           string
	Timestamp         string
	MessageAttributes map[string]struct{ Value string }

	ID         string          `json:"id"` // of EventBridge, as the next three
	Time       string          `json:"time"`
	DetailType string          `json:"detail-type"`
	Detail     json.RawMessage `json:"detail"`
}

const notification = "Notification"

// idAt is the id of an event that its publisher gave none: when AWS took its message, and
// the message's id. Both stay when the message is received again. Without the time it is the
// message's id alone, which a Latest event is refused for.
func idAt(taken time.Time, id string) string {
	if taken.IsZero() || id == "" {
		return id
	}
	return subwire.IDAt(taken, id)
}

// takenBySQS reads SentTimestamp, Unix milliseconds; takenAt a time of SNS or EventBridge.
func takenBySQS(text string) (t time.Time) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		t = time.UnixMilli(ms)
	}
	return t
}

func takenAt(text string) time.Time {
	t, _ := time.Parse(time.RFC3339, text)
	return t
}

var errNoText = errors.New("it is no JSON in UTF-8")

func decodeEvent(body []byte) (event, error) {
	var e event
	if err := decode(body, &e); err != nil {
		return event{}, err
	}
	return e, e.whole()
}

func withData(name, id string, data []byte) (event, error) {
	e := event{name, id, data}
	switch {
	case !json.Valid(data):
		return e, errors.New("its data is no JSON")
	case !jsontext.IsText(data):
		return e, errNoText
	}
	return e, e.whole()
}

// whole returns an error unless the event has all that it needs.
func (e event) whole() error {
	switch {
	case e.Event == "":
		return errors.New("it has no event, the name of what happened")
	case e.ID == "":
		return errors.New("it has no id")
	case len(e.Data) == 0:
		return errors.New("it has no data")
	}
	return nil
}

// decode reads one JSON value without unknown members.
func decode(body []byte, v any) error {
	if !jsontext.IsText(body) {
		return errNoText
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON")
	}
	return nil
}
