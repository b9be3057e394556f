package session_test

import (
	"errors"
	"maps"
	"testing"
	"testing/synctest"

	"subwire/shared/memory"
	"subwire/shared/metrics/metricstest"
)

// counted gives the bench a meter.
func (b *bench) counted(t *testing.T) (sums func() map[string]int) {
	t.Helper()
	b.Metrics, sums = metricstest.New(t)
	return sums
}

func TestAConversationIsCounted(t *testing.T) {
	t.Parallel()
	ping := `{"type":"ping"}`
	stop := `{"id":"1","type":"complete"}`
	for name, tc := range map[string]struct {
		send []string
		want map[string]int
	}{
		"APingIsNot":   {[]string{ping, `{"type":"pong"}`}, nil},
		"Init":         {[]string{initFrame}, map[string]int{"Acknowledged": 1}},
		"Subscribe":    {[]string{initFrame, subscribe("1", "subscription")}, map[string]int{"Acknowledged": 1, "Operations": 1, "Subscribed": 1}},
		"Query":        {[]string{initFrame, subscribe("1", "query")}, map[string]int{"Acknowledged": 1, "Operations": 1}},
		"Complete":     {[]string{initFrame, subscribe("1", "subscription"), stop, stop, ping}, map[string]int{"Acknowledged": 1, "Operations": 1, "Subscribed": 1, "Completed": 1}},
		"BadDocument":  {[]string{initFrame, subscribe("1", "nonsense")}, map[string]int{"Acknowledged": 1, "Operations": 1, "Failed": 1, "Failed GRAPHQL_PARSE_FAILED": 1}},
		"Fault":        {[]string{initFrame, subscribe("1", "fail")}, map[string]int{"Acknowledged": 1, "Operations": 1, "Failed": 1, "Failed UNAVAILABLE": 1}},
		"Panic":        {[]string{initFrame, subscribe("1", "panic")}, map[string]int{"Acknowledged": 1, "Operations": 1, "Failed": 1, "Failed INTERNAL_SERVER_ERROR": 1}},
		"FieldError":   {[]string{initFrame, subscribe("1", "forbidden")}, map[string]int{"Acknowledged": 1, "Operations": 1, "Failed": 1, "Failed FORBIDDEN": 1}},
		"SecondInit":   {[]string{initFrame, initFrame}, map[string]int{"Acknowledged": 1, "Refused": 1, "Refused 4429": 1}},
		"BeforeInit":   {[]string{subscribe("1", "query")}, map[string]int{"Operations": 1, "Refused": 1, "Refused 4401": 1}},
		"NoMessage":    {[]string{`{`}, map[string]int{"Refused": 1, "Refused 4400": 1}},
		"IDInUse":      {[]string{initFrame, subscribe("1", "subscription"), subscribe("1", "query")}, map[string]int{"Acknowledged": 1, "Operations": 2, "Subscribed": 1, "Refused": 1, "Refused 4409": 1}},
		"NoMoreRoom":   {[]string{initFrame, subscribe("1", "subscription"), subscribe("2", "subscription"), subscribe("3", "subscription"), subscribe("4", "query")}, map[string]int{"Acknowledged": 1, "Operations": 4, "Subscribed": 3, "Failed": 1, "Failed TOO_MANY_OPERATIONS": 1}},
		"UnknownStops": {[]string{initFrame, stop, stop}, map[string]int{"Acknowledged": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				sums := b.counted(t)
				_ = b.send(t.Context(), tc.send...) // the panic
				if got := sums(); !maps.Equal(got, tc.want) {
					t.Errorf("counted %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// A step that was tried several times is one, even if a try was applied and answered with
// an error.
func TestWhatIsTriedAgainIsCountedOnce(t *testing.T) {
	t.Parallel()
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
		for _, call := range []string{"Acknowledge", "PutSubscription", "DeleteSubscription", "Connection"} {
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				sums, failed := b.counted(t), map[string]bool{}
				b.store.Fault = func(method string) memory.Fault {
					if method != call || failed[method] {
						return 0
					}
					failed[method] = true
					return fault
				}
				err := b.send(t.Context(), initFrame, subscribe("1", "subscription"), `{"id":"1","type":"complete"}`)
				want := map[string]int{"Acknowledged": 1, "Operations": 1, "Subscribed": 1, "Completed": 1}
				if got := sums(); !maps.Equal(got, want) || err != nil || !failed[call] {
					t.Errorf("%s, %v: counted %v, %v", call, fault, got, err)
				}
			})
		}
	}
}

func TestAReplayIsCounted(t *testing.T) {
	t.Parallel()
	errAway := errors.New("away")
	for name, tc := range map[string]struct {
		missed int
		fail   error
		want   map[string]int
	}{
		"Few":      {3, nil, map[string]int{"Operations": 1, "Subscribed": 1, "Replays": 1, "Replayed": 3}},
		"None":     {0, nil, map[string]int{"Operations": 1, "Subscribed": 1, "Replays": 1}},
		"TooMany":  {501, nil, map[string]int{"Operations": 1, "Subscribed": 1, "Replays": 1, "Failed": 1, "Failed REPLAY_LIMIT": 1}},
		"NotFound": {3, errAway, map[string]int{"Operations": 1, "Subscribed": 1, "Replays": 1, "Failed": 1, "Failed UNAVAILABLE": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := resumable(t, &history{log: events(1, tc.missed), read: func(int) error { return tc.fail }})
				sums := b.counted(t)
				if err := b.send(t.Context(), subscribe("1", "x")); err != nil {
					t.Error(err)
				}
				if got := sums(); !maps.Equal(got, tc.want) {
					t.Errorf("counted %v, want %v", got, tc.want)
				}
			})
		})
	}
}
