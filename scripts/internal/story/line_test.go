package story_test

import (
	"testing"
	"time"

	"subwire/scripts/internal/story"
)

// TestLinesOfTwoReleasesHaveTheirTime under the names that each gives it.
func TestLinesOfTwoReleasesHaveTheirTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 11, 29, 20, 0, 0, 5e6, time.UTC)
	for name, key := range map[string]string{"ThisOne": "timestamp", "TheOneBefore": "time"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, ok := story.Parse([]byte(`{"` + key + `":"2026-11-29T20:00:00.005Z","msg":"event sent","event":"01A"}`))
			if !ok || !l.At.Equal(want) || l.Event != "01A" {
				t.Errorf("%+v, %v", l, ok)
			}
		})
	}
	for _, other := range []string{"panic: no JSON", `{"_aws":{}}`,
		`{"time":"2026-11-29T20:00:00.005Z","type":"platform.report","record":{"requestId":"1","status":"timeout"}}`} {
		if l, ok := story.Parse([]byte(other)); ok {
			t.Errorf("%s is taken for %+v", other, l)
		}
	}
}
