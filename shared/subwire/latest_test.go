package subwire_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// step is an event of a walk. Its positions replace each other; its end counts.
type step struct {
	Walker string `json:"walker"`
	At     int    `json:"at"`
	Home   bool   `json:"home"`
}

type walker struct {
	ID   string `json:"id" gql:"id"`
	Club string `json:"club"`
}

func walks() (*subwire.App, *subwire.Table[walker]) {
	app := subwire.New("walks")
	subwire.Inbox(app, "stepped", func(s step) string { return s.Walker }, func(s step, emit subwire.Emit) {
		if s.Home {
			emit(s, "walks")
			emit.End("walks")
			return
		}
		emit.Latest(s, "walks")
	})
	subwire.Inbox(app, "rested", func(s step) string { return s.Walker }, func(s step, emit subwire.Emit) {
		emit.Latest(s, "rests")
		emit(s, "diary")
	})
	walkers := subwire.NewTable(app, subwire.TableSpec{Name: "walkers", Key: "id", Sort: "club"},
		func(c subwire.Change[walker], emit subwire.Emit) {
			if c.Now != nil {
				emit.Latest(c.Now, "walkers")
			}
		})
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Subscribe(app, "walks", subwire.Subscription[struct{}, step]{
		Topic: func(struct{}) (subwire.Topic, error) { return "walks", nil },
	})
	return app, walkers
}

var inboxTable = topology.Table{Name: subwire.InboxTable, Key: "group", Sort: "id", TTL: "ttl"}

// inboxRows are the rows of a group.
func inboxRows(t *testing.T, store table.Store, group string) []table.Row {
	t.Helper()
	rows, err := store.QueryRows(t.Context(), inboxTable, table.Query{Partition: group, Limit: 100, RowBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestALatestEventOverwritesTheOneBeforeIt(t *testing.T) {
	t.Parallel()
	app, _ := walks()
	store := memory.New()
	app.MustOpen(subwire.Env{Tables: store})
	for _, tc := range []struct {
		id    string
		event step
		want  string // id and place of the row that holds the latest
		rows  int
	}{
		{"03", step{"ada", 3, false}, "03 3", 1},
		{"03", step{"ada", 4, false}, "03 3", 1}, // a repeated call
		{"02", step{"ada", 2, false}, "03 3", 1}, // one that was published before, or comes late
		{"1", step{"ada", 5, false}, "1 5", 1},   // ids are texts
		{"09", step{"bob", 6, false}, "1 5", 1},  // of another group
		{"00", step{"ada", 7, true}, "1 5", 2},   // this one counts for itself, and has its id
		{"00", step{"ada", 8, true}, "1 5", 2},
		{"2", step{"ada", 9, false}, "2 9", 2},
	} {
		before := time.Now()
		if err := app.Publish(t.Context(), "stepped", tc.id, tc.event); err != nil {
			t.Fatal(err)
		}
		rows := inboxRows(t, store, "stepped/ada")
		last := rows[len(rows)-1]
		var p subwire.Published
		var s step
		if err := errors.Join(table.Decode(last, &p), json.Unmarshal([]byte(p.Data), &s)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(p.Newest, " ", s.At); got != tc.want || len(rows) != tc.rows || p.ID != "latest" {
			t.Errorf("after %s of %+v: %d rows, the latest is %s", tc.id, tc.event, len(rows), got)
		}
		if p.Newest == tc.id && time.Unix(p.Expires, 0).After(before.Add(time.Hour+time.Minute)) {
			t.Errorf("the latest is kept until %v", time.Unix(p.Expires, 0))
		}
	}
}

func TestIDsThatDoNotSayWhatIsNewest(t *testing.T) {
	t.Parallel()
	app, _ := walks()
	app.MustOpen(subwire.Env{Tables: memory.New()})
	for id, tc := range map[string]struct {
		event step
		want  string
	}{
		"9b2d1c34-7f0a-4c1e-8d55-0a1b2c3d4e5f": {step{"ada", 1, false}, "ids must ascend"},
		"9B2D1C34-7F0A-4C1E-8D55-0A1B2C3D4E5F": {step{"ada", 1, false}, "ids must ascend"},
		"019acb5e-7f0a-7c1e-8d55-0a1b2c3d4e5f": {step{"ada", 1, false}, ""}, // version 7 ascends
		"9b2d1c34-7f0a-4c1e-8d55-0a1b2c3d4e50": {step{"ada", 1, true}, ""},
		"latest":                               {step{"ada", 1, true}, "reserved"},
		"latest ":                              {step{"ada", 1, true}, ""},
	} {
		err := app.Publish(t.Context(), "stepped", id, tc.event)
		if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, subwire.ErrRefused) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Whether a failed write was applied or not, and whatever is repeated however late: the
// newest remains.
func TestRepeatedPublicationsNeverBringAnOldPositionBack(t *testing.T) {
	t.Parallel()
	const n = 20
	for _, fault := range []memory.Fault{memory.NotApplied, memory.Applied} {
		app, _ := walks()
		store := memory.New()
		var mu sync.Mutex
		failed := map[int]bool{}
		calls := 0
		store.Fault = func(string) memory.Fault {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls%3 == 0 {
				failed[calls] = true
				return fault
			}
			return 0
		}
		app.MustOpen(subwire.Env{Tables: store})
		var publishing sync.WaitGroup
		for i := range n {
			publishing.Go(func() {
				for app.Publish(t.Context(), "stepped", fmt.Sprintf("%02d", i), step{"ada", i, false}) != nil {
				}
			})
		}
		publishing.Wait()
		store.Fault = nil
		if rows := inboxRows(t, store, "stepped/ada"); len(rows) != 1 || table.Text(rows[0], "newest") != fmt.Sprint(n-1) || len(failed) == 0 {
			t.Errorf("fault %d: %v after %d faults", fault, rows, len(failed))
		}
	}
}

func TestEveryLatestEventHasAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	app, _ := walks()
	row := func(id, name, newest string) map[string]events.DynamoDBAttributeValue {
		data := `{"walker":"ada","at":1,"home":false}`
		image := map[string]events.DynamoDBAttributeValue{"ttl": events.NewNumberAttribute("1")}
		for name, text := range map[string]string{"group": name + "/ada", "id": id, "event": name, "data": data, "newest": newest} {
			if text != "" {
				image[name] = events.NewStringAttribute(text)
			}
		}
		return image
	}
	walker := map[string]events.DynamoDBAttributeValue{"id": events.NewStringAttribute("a"), "club": events.NewStringAttribute(`b`)}
	other := map[string]events.DynamoDBAttributeValue{"id": events.NewStringAttribute("ab"), "club": events.NewStringAttribute(`c`)}
	for name, tc := range map[string]struct {
		table, kind string
		image       map[string]events.DynamoDBAttributeValue
		want        []string // ids, topics, and what they are the latest of
	}{
		"New":            {"inbox", "INSERT", row("latest", "stepped", "07"), []string{"r1 walks stepped/ada"}},
		"Overwritten":    {"inbox", "MODIFY", row("latest", "stepped", "08"), []string{"r1 walks stepped/ada"}},
		"OfOldPublisher": {"inbox", "INSERT", row("07", "stepped", ""), []string{"07 walks stepped/ada"}},
		"OneOfTwo":       {"inbox", "INSERT", row("07", "rested", ""), []string{"07 rests rested/ada", "07/1 diary "}},
		"OfATable":       {"walkers", "MODIFY", walker, []string{`r1 walkers "a"b`}},
		"OfAnotherRow":   {"walkers", "MODIFY", other, []string{`r1 walkers "ab"c`}},
	} {
		record := events.DynamoDBEventRecord{EventID: "r1", EventName: tc.kind, EventSourceArn: "arn:aws:dynamodb:x:1:table/subwire-walks-" + tc.table + "/stream/1"}
		record.Change.NewImage = tc.image
		all, err := app.Events(record)
		var got []string
		for _, e := range all {
			got = append(got, e.ID+" "+e.Topic+" "+e.Latest)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestTheStreamBringsWhatOverwrites(t *testing.T) {
	t.Parallel()
	app, _ := walks()
	for _, m := range app.Product().StreamMappings() {
		if m.Table.Name == subwire.InboxTable && !slices.Equal(m.Events, []string{"INSERT", "MODIFY"}) {
			t.Errorf("the mapping of the inbox moves %v", m.Events)
		}
	}
	client := subwiretest.Start(t, app).Connect("ada", nil)
	client.Subscribe("1", `subscription { walks { at } }`, nil)
	for i, s := range []step{{"ada", 1, false}, {"bob", 2, false}, {"ada", 3, false}, {"ada", 4, true}} {
		for range 2 {
			if err := app.Publish(t.Context(), "stepped", fmt.Sprint(i), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	next := func(at int) string { return fmt.Sprintf(`next {"data":{"walks":{"at":%d}}}`, at) }
	if diff := cmp.Diff([]string{next(1), next(2), next(3), next(4), "complete"}, client.Got("1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
