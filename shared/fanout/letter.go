package fanout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// errNoLetter is returned for a message that holds no Letter.
var errNoLetter = errors.New("holds no stream record")

// Letter is a dead letter of the stream function: a record that cannot become an event,
// or whose event some target cannot get. The reason is an attribute of its message.
type Letter struct {
	Record json.RawMessage `json:"record"`           // of the stream, as the function received it
	Cut    bool            `json:"cut,omitempty"`    // without its images, as it was too large
	Event  string          `json:"event,omitempty"`  // id of the only one of its events that was not sent; "" for all
	Target *Addressee      `json:"target,omitempty"` // the only one who did not get the event; nil for everybody
}

// Addressee is one subscription, by its ids.
type Addressee struct {
	ConnectionID string `json:"connection"`
	OperationID  string `json:"operation"`
}

// EncodeLetter returns the queue message of the letter. It has at most that many bytes,
// unless its keys and ids alone take more. If need be the images are cut off: the item
// is still in its table.
func EncodeLetter(l Letter, most int) ([]byte, error) {
	body, err := json.Marshal(l)
	if err != nil || queued(body) <= most {
		return body, wrap("encode letter", err)
	}
	if l.Record, err = cutImages(l.Record); err != nil {
		return nil, wrap("cut record", err)
	}
	l.Cut = true
	body, err = json.Marshal(l)
	return body, wrap("encode letter", err)
}

// queued is how many bytes the JSON takes in a queue: two characters of three bytes are
// escaped there, as SQS does not take them (package queue).
func queued(json []byte) int {
	return len(json) + 3*(bytes.Count(json, []byte("\uFFFE"))+bytes.Count(json, []byte("\uFFFF")))
}

// cutImages keeps only what names a record's item and its place in the stream.
func cutImages(record json.RawMessage) (json.RawMessage, error) {
	var r struct {
		ID     json.RawMessage `json:"eventID,omitempty"`
		Name   json.RawMessage `json:"eventName,omitempty"`
		Source json.RawMessage `json:"eventSourceARN,omitempty"`
		Change struct {
			Arrived  json.RawMessage `json:"ApproximateCreationDateTime,omitempty"`
			Keys     json.RawMessage `json:"Keys,omitempty"`
			Sequence json.RawMessage `json:"SequenceNumber,omitempty"`
			Size     json.RawMessage `json:"SizeBytes,omitempty"`
		} `json:"dynamodb"`
	}
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// DecodeLetter reads a queue message. Its error says that it is none.
func DecodeLetter(body []byte) (Letter, error) {
	var l Letter
	if err := json.Unmarshal(body, &l); err != nil {
		return Letter{}, fmt.Errorf("%w: %v", errNoLetter, err)
	}
	if len(l.Record) == 0 {
		return Letter{}, errNoLetter
	}
	return l, nil
}
