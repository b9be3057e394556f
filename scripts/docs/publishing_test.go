package docs

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"subwire/scripts/internal/billing"
	"subwire/shared/topology"
)

// What a million events cost by each way, for a row of one write unit and 10 ms of the
// function per event. At best ten messages share each request to the queue, and their
// writes go side by side.
func TestWhatPublishingCosts(t *testing.T) {
	t.Parallel()
	p := billing.USEast1()
	const events, best = 1e6, 10
	row := p.Write.Of(events)
	run := p.GBSecond.Of(events * 0.010 * float64(topology.Publish.MemoryMB) / 1024)
	request := p.Request.Of(events) + p.Invocation.Of(events)
	queued := 3*p.Standard.Of(events) + p.Invocation.Of(events) + run // sent, received, deleted
	pollers := p.Standard.Of(30 * 24 * 3600 / 20)                     // long polls of one, of 20 s
	says(t, "docs/publishing.md",
		fmt.Sprintf("| when it returns | has it | $%.2f |", row),
		fmt.Sprintf("| `-c publishers` | $%.2f, in lists of 25 $%.2f |", row+run+request, row+run+request/topology.MostEvents),
		fmt.Sprintf("| `-c publishers` | $%.2f to $%.2f |", row+queued/best, row+queued),
		fmt.Sprintf("$%.2f to $%.2f a month", 2*pollers, 5*pollers),
	)
}

// says checks that the document has each of the texts.
func says(t *testing.T, name string, texts ...string) {
	t.Helper()
	document, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if !strings.Contains(string(document), text) {
			t.Errorf("%s does not say %s", name, text)
		}
	}
}
