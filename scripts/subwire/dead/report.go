package dead

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
	"subwire/scripts/subwire/cli"
	"subwire/shared/fanout"
)

// count returns the approximate number of messages in the queue, including those
// being looked at.
func count(ctx context.Context, client deployment.QueueClient, q deadQueue, url string) (int, error) {
	d, err := deployment.DepthOf(ctx, client, url)
	if err != nil {
		return 0, fmt.Errorf("count messages of %s: %w", q.name, err)
	}
	return d.Visible + d.InFlight, nil
}

// overview is what list prints about one queue; its JSON is one object.
type overview struct {
	Queue    string         `json:"queue"`
	Messages int            `json:"messages"`
	Seen     int            `json:"seen"` // of them; at most the first ten of a FIFO queue's group
	Oldest   time.Time      `json:"oldest,omitzero"`
	Reasons  map[string]int `json:"reasons"`
}

func (o *overview) add(l letter) {
	o.Seen++
	o.Reasons[l.reason()]++
	if o.Oldest.IsZero() || l.sent.Before(o.Oldest) {
		o.Oldest = l.sent.UTC()
	}
}

func printOverviews(out io.Writer, all []overview, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "QUEUE\tMESSAGES\tOLDEST\tREASONS")
	for _, o := range all {
		oldest := "-"
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(o.Reasons)) {
			reasons = append(reasons, fmt.Sprintf("%d %s", o.Reasons[reason], reason))
		}
		if o.Seen > 0 {
			oldest = age(now.Sub(o.Oldest))
		}
		if o.Messages > o.Seen {
			reasons = append(reasons, fmt.Sprintf("%d not seen", o.Messages-o.Seen))
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", o.Queue, o.Messages, oldest, cmp.Or(strings.Join(reasons, "; "), "-"))
	}
	return table.Flush()
}

// age is a duration without needless precision: 14s, 3m20s, 5h12m, 3d4h.
func age(d time.Duration) string {
	d = max(0, d).Truncate(time.Second)
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return d.String()
}

// line is what show prints about one letter; its JSON is one object.
type line struct {
	Queue     string       `json:"queue"`
	MessageID string       `json:"messageId"`
	Topic     string       `json:"topic,omitempty"`
	EventID   string       `json:"eventId,omitempty"`
	Targets   int          `json:"targets"`
	Attempts  int          `json:"attempts"` // queued attempts before the last; for the stream's, invocations
	Receives  int          `json:"receives"` // including those of list and show
	Sent      time.Time    `json:"sent"`     // to the dead-letter queue or, for standard queues, to the first
	Age       int          `json:"ageSeconds"`
	Reason    string       `json:"reason"`
	Records   *recordRange `json:"records,omitempty"`

	Parked *fanout.Letter `json:"parked,omitempty"` // what the stream function gave up
}

func newLine(l letter, now time.Time) line {
	out := line{Queue: l.queue.name, MessageID: l.id, Topic: l.event().Topic, EventID: l.event().ID,
		Targets: l.batch.Targets(), Attempts: l.batch.Attempt, Receives: l.receives,
		Sent: l.sent.UTC(), Age: int(now.Sub(l.sent) / time.Second), Reason: l.reason()}
	if l.held != nil {
		out.Parked, out.Attempts = l.held, 1
		if l.held.Target != nil {
			out.Targets = 1
		}
	} else if l.waiting != nil {
		out.EventID = l.waiting.id
	} else if l.queue.source == "" && l.err == nil {
		out.Attempts, out.Records = l.records.Attempts, &l.records
	}
	if out.Reason == receivedTooOften {
		out.Reason = "received " + plain.Plural(l.receives, "time")
	}
	return out
}

func (i line) print(out io.Writer, l letter, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(out, i)
	}
	targets := plain.Plural(i.Targets, "target")
	if i.Records != nil {
		targets = plain.Plural(i.Records.Records, "record")
	} else if i.Parked != nil && i.Parked.Target == nil {
		targets = "1 record"
	}
	if l.waiting != nil {
		targets = "1 event"
	}
	_, err := fmt.Fprintf(out, "%s  %s  %s  %s  %s  %s\n",
		i.Queue, l.what(), targets, plain.Plural(i.Attempts, "attempt"), age(time.Duration(i.Age)*time.Second), i.Reason)
	return err
}
