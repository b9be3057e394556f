package awsproxy

import "testing"

func TestOnlyOneAsksForCapacity(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                                   `{"ReturnConsumedCapacity":"TOTAL"}`,
		`{ "A":1}`:                             `{"ReturnConsumedCapacity":"TOTAL", "A":1}`,
		`{"ReturnConsumedCapacity":"INDEXES"}`: `{"ReturnConsumedCapacity":"INDEXES"}`,
		``:                                     ``,
	} {
		if got := string(AskForCapacity([]byte(body))); got != want {
			t.Errorf("%s becomes %s, want %s", body, got, want)
		}
	}
}
