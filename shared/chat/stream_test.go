package chat

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/pubsub"
	"subwire/shared/subwire"
)

func readRecord(t testing.TB, name string) events.DynamoDBEventRecord {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var record events.DynamoDBEventRecord
	if err := json.Unmarshal(raw, &record); err != nil {
		t.Fatal(err)
	}
	return record
}

// eventOf is the only event of a record.
func eventOf(record events.DynamoDBEventRecord) (pubsub.Event, error) {
	all, err := New().Events(record)
	if err != nil || len(all) != 1 {
		return pubsub.Event{}, err
	}
	return all[0], nil
}

func TestEventOfAnInsert(t *testing.T) {
	t.Parallel()
	got, err := eventOf(readRecord(t, "insert.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := pubsub.Event{ID: "01KJ0000000000000000000000", Topic: Topic("général")}
	root := got.Root
	got.Root = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	var m Message
	if err := json.Unmarshal(root, &m); err != nil {
		t.Fatal(err)
	}
	wantMessage := Message{ID: want.ID, ChatID: "général", Content: `Hello "world" 😀`, SenderName: "Ada",
		CreatedAt: time.UnixMilli(1790000000123)}
	if diff := cmp.Diff(wantMessage, m); diff != "" {
		t.Errorf("root value (-want +got):\n%s", diff)
	}
}

func TestEventRefuses(t *testing.T) {
	t.Parallel()
	without := func(names ...string) func(*events.DynamoDBEventRecord) {
		return func(r *events.DynamoDBEventRecord) {
			r.Change.NewImage = maps.Clone(r.Change.NewImage)
			for _, name := range names {
				delete(r.Change.NewImage, name)
			}
		}
	}
	with := func(name string, value events.DynamoDBAttributeValue) func(*events.DynamoDBEventRecord) {
		return func(r *events.DynamoDBEventRecord) { r.Change.NewImage[name] = value }
	}
	for _, tt := range []struct {
		name  string
		file  string
		spoil func(*events.DynamoDBEventRecord)
	}{
		{"a removal", "remove.json", without()},
		{"a change", "insert.json", func(r *events.DynamoDBEventRecord) { r.EventName = "MODIFY" }},
		{"no image", "insert.json", func(r *events.DynamoDBEventRecord) { r.Change.NewImage = nil }},
		{"no chat id", "insert.json", without("chatId")},
		{"no id", "insert.json", without("id")},
		{"no content", "insert.json", without("content")},
		{"no sender", "insert.json", without("senderName")},
		{"no time", "insert.json", without("createdAt")},
		{"an empty id", "insert.json", with("id", events.NewStringAttribute(""))},
		{"an id of another type", "insert.json", with("id", events.NewNumberAttribute("1"))},
		{"null content", "insert.json", with("content", events.NewNullAttribute())},
		{"a time of another type", "insert.json", with("createdAt", events.NewStringAttribute("now"))},
		{"a time that is no number", "insert.json", with("createdAt", events.NewNumberAttribute("x"))},
		{"a time that JSON cannot write", "insert.json", with("createdAt", events.NewNumberAttribute("999999999999999"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			record := readRecord(t, tt.file)
			tt.spoil(&record)
			if got, err := eventOf(record); !errors.Is(err, subwire.ErrUndecodable) {
				t.Errorf("got %+v, error %v, want ErrUndecodable", got, err)
			}
		})
	}
}

func FuzzEvent(f *testing.F) {
	for _, name := range []string{"insert.json", "remove.json"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var record events.DynamoDBEventRecord
		if err := json.Unmarshal(raw, &record); err != nil {
			t.Skip("no record")
		}
		event, err := eventOf(record)
		if err != nil {
			if !errors.Is(err, subwire.ErrUndecodable) {
				t.Errorf("got error %v, want ErrUndecodable", err)
			}
			return
		}
		var m Message
		if err := json.Unmarshal(event.Root, &m); err != nil {
			t.Fatalf("root value %s: %v", event.Root, err)
		}
		if event.ID == "" || event.Topic != Topic(record.Change.NewImage["chatId"].String()) {
			t.Errorf("event has id %q and topic %q", event.ID, event.Topic)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	record, app := readRecord(b, "insert.json"), New()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := app.Events(record); err != nil {
			b.Fatal(err)
		}
	}
}
