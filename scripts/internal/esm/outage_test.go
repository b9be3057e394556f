package esm

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/chat/chattest"
)

// With the deployed mapping, except for bisecting, an outage of what the stream
// function needs parks nothing, whether the function reports each record or dies, and
// everything is handled when it is over. Hours later a record is given up.
func TestAnOutageParksNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		outage time.Duration
		dies   bool
		parked []string
	}{
		"FiveMinutes":     {5 * time.Minute, false, nil},
		"FiveMinutesDead": {5 * time.Minute, true, nil},
		"FiveHours":       {5 * time.Hour, false, nil},
		"SevenHours":      {7 * time.Hour, false, []string{"1-3 (3) RecordAgeExceeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun, handled := time.Now(), 0
				function := &calls{function: func(sequences []string) ([]byte, error) {
					switch {
					case time.Since(begun) > tt.outage:
						handled += len(sequences)
						return nil, nil
					case tt.dies:
						return nil, errors.New("Unhandled")
					}
					return []byte(`{"batchItemFailures":[{"itemIdentifier":"` + sequences[0] + `"}]}`), nil
				}}
				dead := &fakeDestination{}
				s := stream(&fakeStream{page: 3, shards: []fakeShard{{id: "a", records: inserts(3)}}}, dead, function)
				s.Mapping = chattest.Product.StreamMappings()[0]
				s.Mapping.Bisect = false // a single range is easier to compare
				runFor(t, s, tt.outage+time.Minute)
				if diff := cmp.Diff(tt.parked, dead.ranges(t)); diff != "" {
					t.Errorf("parked (-want +got):\n%s", diff)
				}
				if want := 3; tt.parked == nil && handled != want {
					t.Errorf("%d records were handled, want %d", handled, want)
				}
			})
		})
	}
}
