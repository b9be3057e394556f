package announce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/announce"
	"subwire/shared/memory"
	"subwire/shared/topology"
)

// Whenever an event is queued, the mark lasts for as long as the event may be there.
func TestAMarkLastsAsLongAsWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, until := memory.New(), time.Time{}
		longest := time.Duration(topology.Fanout.MaxReceives)*topology.Fanout.Visibility + 59*time.Second // with wrong clocks
		for range 300 {
			var err error
			if until, err = announce.BeforeQueued(t.Context(), s, "t", until); err != nil {
				t.Fatal(err)
			}
			if left := time.Until(until); left < longest {
				t.Fatalf("a mark lasts for %v", left)
			}
			time.Sleep(time.Minute)
		}
	})
}
