package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/story"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/topology"
)

// By the fast way an event is announced twice, by its writer and by the stream, over HTTP and
// over sockets. The queue drops the second: each subscriber gets it once, and a writer's events
// in order. Only what a busy machine had to queue for later may come later or again.
func TestTheFastWay(t *testing.T) {
	t.Parallel()
	m := measured(t, topology.Fast.Env, "true", topology.Direct.Env, "50") // which counts as 0 here
	const events = 20
	in := map[string]string{"chatId": "fast"}
	var all []*wsclient.Subscription
	for i, s := range selections {
		all = append(all, m.subscribe(m.dial(fmt.Sprint("reader", i)), s.query, in))
	}
	await(t, "subscriptions", func() bool { return m.sums()["Subscribed"] == len(all) })

	writer := m.dial("writer")
	for i := range events {
		if content := fmt.Sprint(i); i%2 == 0 {
			m.post("fast", content)
		} else if err := m.query(writer, `mutation { postMessage(chatId: "fast", content: "`+content+`", senderName: "Ada") { id } }`); err != nil {
			t.Fatal(err)
		}
	}
	// Behind all that the stream has sent again.
	await(t, "events of the stream", func() bool { return m.sums()["Events"] == events })
	m.post("fast", "last")
	for i, s := range all {
		var got, want []string
		for n := range events {
			want = append(want, fmt.Sprintf(selections[i].want, fmt.Sprint(n)))
		}
		for last := fmt.Sprintf(selections[i].want, "last"); ; {
			content := next(t, s)
			if content == last {
				break
			}
			got = append(got, content)
		}
		late, again := lateIn(got, want), len(got)-len(slices.Compact(slices.Sorted(slices.Values(got))))
		if retried := m.sums()["Retried"]; late+again > retried {
			t.Errorf("subscriber %d: %d late and %d again, with %d retries", i, late, again, retried)
		}
		got = slices.Compact(slices.Sorted(slices.Values(got)))
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), got); diff != "" && m.sums()["Retried"] == 0 {
			t.Errorf("subscriber %d (-want +got):\n%s", i, diff)
		}
	}
	announced := strings.Count(m.out.String(), story.Announced) // a host tells its metrics later
	if announced == 0 || announced > events+1 {
		t.Errorf("%d events were announced by their writer", announced)
	}
	t.Logf("%d of %d events were announced by their writer", announced, events+1)
}
