package announce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/announce"
	"subwire/shared/memory"
	"subwire/shared/topology"
)

// Whenever an event is queued, the mark lasts for as long as the event may be there. It is
// written once each half hour.
func TestAMarkLastsAsLongAsWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, until := memory.New(), time.Time{}
		written := 0
		s.Fault = func(string) memory.Fault { written++; return memory.NoFault }
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
		if written != 10 {
			t.Errorf("in five hours it is written %d times", written)
		}
	})
}
