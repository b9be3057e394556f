package main

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"subwire/shared/trace"
)

const traceID = "1-5759e988-bd862e3fe1be46a994272793"

// written is an insert by a trace, committed at a time.
func written(sequence, id string, at, committed time.Time) string {
	return strings.Replace(insert(sequence, "lobby"), `"NewImage":{`, fmt.Sprintf(`"ApproximateCreationDateTime":%d,"NewImage":{`+
		`"_trace":{"S":"%s"},"_written":{"N":"%d"},`, committed.Unix(), id, at.UnixMilli()), 1)
}

// Each event has one line, which says into what it was planned, and its batches have its
// trace. That holds for events that share requests, too.
func TestEachEventIsLoggedWithItsTrace(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"Alone": 1, "Together": alone + together} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, out, _ := setup(t, "a", "b")
			var log strings.Builder
			h.log = slog.New(trace.Handler(slog.NewJSONHandler(&log, nil)))
			var records []string
			for i := range n {
				records = append(records, written(strconv.Itoa(100+i), traceID, time.Now(), time.Now()))
			}
			r, err := h.handle(trace.With(t.Context(), "1-00000000-000000000000000000000000"), decode(t, strings.Join(records, ",")))
			if err != nil || len(r.BatchItemFailures) > 0 {
				t.Fatal(r, err)
			}
			for _, b := range out.batches(t) {
				if b.Event.Trace != traceID || b.Event.At.IsZero() {
					t.Errorf("batch of trace %q at %v", b.Event.Trace, b.Event.At)
				}
			}
			lines := 0
			for line := range strings.Lines(log.String()) {
				lines++
				for _, want := range []string{`"msg":"event sent"`, `"event":"01A1`, `"batches":1,"targets":2,"lag":`, `"trace":"` + traceID + `"`} {
					if !strings.Contains(line, want) {
						t.Errorf("no %s in %s", want, line)
					}
				}
			}
			if lines != n || len(out.messages) != n {
				t.Errorf("%d lines and %d messages of %d events", lines, len(out.messages), n)
			}
		})
	}
}

// A row of another writer has no trace: neither the batch nor the log borrows one.
func TestAnEventWithoutATraceHasNone(t *testing.T) {
	t.Parallel()
	for name, record := range map[string]string{
		"None":   insert("1", "lobby"),
		"Copied": written("1", traceID, time.Now().Add(-time.Hour), time.Now()),
		"NoID":   written("1", "nonsense", time.Now(), time.Now()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, out, _ := setup(t, "a")
			var log strings.Builder
			h.log = slog.New(trace.Handler(slog.NewJSONHandler(&log, nil)))
			if _, err := h.handle(trace.With(t.Context(), traceID), decode(t, record)); err != nil {
				t.Fatal(err)
			}
			if b := out.batches(t)[0]; b.Event.Trace != "" || !b.Event.At.IsZero() {
				t.Errorf("batch of trace %q at %v", b.Event.Trace, b.Event.At)
			}
			if !strings.Contains(log.String(), `"event sent"`) || strings.Contains(log.String(), "trace") || strings.Contains(log.String(), "lag") {
				t.Errorf("logged %s", &log)
			}
		})
	}
}

func TestAnEventThatIsLeftOutIsLogged(t *testing.T) {
	t.Parallel()
	h, _, _ := setup(t)
	var log strings.Builder
	h.log = slog.New(trace.Handler(slog.NewJSONHandler(&log, nil)))
	all := []record{{id: "1", sequence: "1"}, {id: "2", sequence: "2"}, {id: "", sequence: "3"}, {id: "4", sequence: "4"}}
	for i := range all {
		all[i].event.ID, all[i].event.Trace = all[i].sequence, traceID
	}
	h.logLeftOut(t.Context(), all, []record{all[1], all[2]})
	for i, want := range []string{"1", "4"} {
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[i], `"msg":"event left out","record":"`+want+`","event":"`+want+`","trace":"`+traceID+`"`) {
			t.Errorf("logged %s", &log)
		}
	}
}

// A row that is deleted, or written by others, says nothing about its time: the record does.
func TestEachEventHasTheTimeOfItsCommit(t *testing.T) {
	t.Parallel()
	const removed = `{"eventID":"1","eventName":"REMOVE","dynamodb":{"ApproximateCreationDateTime":1790000000,` +
		`"Keys":{"chatId":{"S":"a b"},"id":{"S":"01A1"}}}}`
	records := newRecords(tags{}, 0, []byte(removed))
	if len(records) != 2 {
		t.Fatalf("%d records", len(records))
	}
	for _, r := range records {
		if !r.event.Committed.Equal(time.Unix(1_790_000_000, 0)) || !r.event.At.IsZero() {
			t.Errorf("committed at %v, written at %v", r.event.Committed, r.event.At)
		}
	}
	if r := newRecords(tags{}, 0, []byte(insert("1", "a"))); len(r) != 1 || !r[0].event.Committed.IsZero() {
		t.Errorf("without a time there are %+v", r)
	}
}
