package fanout

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inQueue is the size of a message as package queue sends it.
func inQueue(body []byte) int {
	return len(strings.NewReplacer("\uFFFE", `\ufffe`, "\uFFFF", `\uffff`).Replace(string(body)))
}

func TestALetterKeepsItsRecord(t *testing.T) {
	t.Parallel()
	record := func(content string) string {
		return `{"eventID":"e","eventName":"INSERT","dynamodb":{"Keys":{"id":{"S":"1"}},"SequenceNumber":"7","NewImage":{"x":{"S":"` + content + `"}}}}`
	}
	const cut = `{"eventID":"e","eventName":"INSERT","dynamodb":{"Keys":{"id":{"S":"1"}},"SequenceNumber":"7"}}`
	for name, tc := range map[string]struct {
		letter Letter
		want   Letter
	}{
		"Whole":     {Letter{Record: json.RawMessage(record("hi"))}, Letter{Record: json.RawMessage(record("hi"))}},
		"OfATarget": {Letter{Record: json.RawMessage(`{}`), Target: &Addressee{"c", "1"}}, Letter{Record: json.RawMessage(`{}`), Target: &Addressee{"c", "1"}}},
		"TooLarge":  {Letter{Record: json.RawMessage(record(strings.Repeat("x", 1000)))}, Letter{Record: json.RawMessage(cut), Cut: true}},
		"Grows":     {Letter{Record: json.RawMessage(record(strings.Repeat("\uFFFE", 100)))}, Letter{Record: json.RawMessage(cut), Cut: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := EncodeLetter(tc.letter, 500)
			if err != nil || inQueue(body) > 500 {
				t.Fatalf("%d bytes, %v", len(body), err)
			}
			got, err := DecodeLetter(body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("letter differs:\n%s", diff)
			}
		})
	}
}

func TestWhatHoldsNoRecordIsNoLetter(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `{}`, `[]`, `{"DDBStreamBatchInfo":{}}`, `{"record":`} {
		if _, err := DecodeLetter([]byte(body)); !errors.Is(err, errNoLetter) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
