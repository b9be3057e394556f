package subwire_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
	"subwire/shared/table"
)

type card struct {
	Place  string `json:"place" gql:"-"` // the board, within its tenant
	ID     string `json:"id" gql:"id"`
	Tenant string `json:"tenant" gql:"-"`
	Board  string `json:"board" gql:"id"`
	Text   string `json:"text"`
}

type boardArgs struct {
	Board string  `json:"board" gql:"id"`
	After *string `json:"after" gql:"after"`
}

type newestArgs struct {
	Board string `json:"board" gql:"id"`
}

type noteArgs struct {
	Board string `json:"board" gql:"id"`
	Text  string `json:"text"`
}

// boards has boards with notes, which tenants may call alike.
func boards() *subwire.App {
	app := subwire.New("boards")
	app.Tenant = "tenant"
	board := func(id string) subwire.Topic { return "board/" + id }
	notes := subwire.NewTable(app, subwire.TableSpec{Name: "notes", Key: "place", Sort: "id", OnlyInserts: true},
		func(c subwire.Change[card], emit subwire.Emit) { emit.In(c.Now.Tenant)(*c.Now, board(c.Now.Board)) })
	subwire.Inbox(app, "noted", func(n card) string { return subwire.In(n.Tenant, n.Board) },
		func(n card, emit subwire.Emit) { emit.In(n.Tenant)(n, board(n.Board)) })

	subwire.Query(app, "notes", func(ctx context.Context, v subwire.Viewer, a newestArgs) ([]card, error) {
		tenant, err := app.TenantOf(v)
		if err != nil {
			return nil, err
		}
		return notes.Before(ctx, subwire.In(tenant, a.Board), "", 100)
	})
	subwire.Mutation(app, "addNote", func(ctx context.Context, v subwire.Viewer, a noteArgs) (card, error) {
		tenant, err := app.TenantOf(v)
		if err != nil {
			return card{}, err
		}
		n := card{Place: subwire.In(tenant, a.Board), ID: app.NewID(), Tenant: tenant, Board: a.Board, Text: a.Text}
		return n, notes.Insert(ctx, n)
	})
	subwire.Subscribe(app, "noteAdded", subwire.Subscription[boardArgs, card]{
		Topic:  func(a boardArgs) (subwire.Topic, error) { return board(a.Board), nil },
		Replay: subwire.ReplayOf(notes, func(a boardArgs) string { return a.Board }, func(n card) (string, card) { return n.ID, n }),
	})
	subwire.Subscribe(app, "newest", subwire.Subscription[newestArgs, card]{
		Topic: func(a newestArgs) (subwire.Topic, error) { return board(a.Board), nil },
		Current: func(ctx context.Context, v subwire.Viewer, a newestArgs) (card, error) {
			tenant, err := app.TenantOf(v)
			if err != nil {
				return card{}, err
			}
			newest, err := notes.Before(ctx, subwire.In(tenant, a.Board), "", 1)
			if err != nil || len(newest) == 0 {
				return card{}, errors.Join(err, subwire.ErrNotFound)
			}
			return newest[0], nil
		},
	})
	return app
}

// Two tenants with equal ids of everything, and equal viewers, never see each other's
// events: new ones, those from outside, those that are replayed, and the current state.
func TestATenantSeesItsOwnEventsOnly(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, boards())
	tenants := []string{"acme", "umbrella", "1/acme", "acme/board"}
	clients := map[string]*subwiretest.Client{}
	for _, tenant := range tenants {
		clients[tenant] = cloud.Connect("ada", map[string]any{"tenant": tenant})
		clients[tenant].Subscribe("new", `subscription { noteAdded(board: "1") { text } }`, nil)
	}
	want := map[string]string{}
	for _, tenant := range tenants {
		add := fmt.Sprintf(`mutation { addNote(board: "1", text: "of %s") { text } }`, tenant)
		result := fmt.Sprintf(`next {"data":{"addNote":{"text":"of %s"}}}`, tenant)
		if got := clients[tenant].Do(add, nil); got != result {
			t.Fatalf("%s: %s", tenant, got)
		}
		cloud.Publish("noted", "same-id", card{Place: "1", ID: "1", Tenant: tenant, Board: "1", Text: "noted by " + tenant})
		want[tenant] = fmt.Sprintf(`next {"data":{"noteAdded":{"text":"of %[1]s"}}} next {"data":{"noteAdded":{"text":"noted by %[1]s"}}}`, tenant)
	}
	for _, tenant := range tenants {
		c := clients[tenant]
		if got := strings.Join(c.Got("new"), " "); got != want[tenant] {
			t.Errorf("%s got %s", tenant, got)
		}
		c.Subscribe("all", `subscription { noteAdded(board: "1", after: "00000000000000000000000000") { text } }`, nil)
		c.Subscribe("now", `subscription { newest(board: "1") { text } }`, nil)
		for id, want := range map[string]string{"all": `next {"data":{"noteAdded":{"text":"of %s"}}}`, "now": `next {"data":{"newest":{"text":"of %s"}}}`} {
			if got := strings.Join(c.Got(id), " "); got != fmt.Sprintf(want, tenant) {
				t.Errorf("%s, %s: got %s", tenant, id, got)
			}
		}
		if got, want := c.Do(`{ notes(board: "1") { text } }`, nil), fmt.Sprintf(`next {"data":{"notes":[{"text":"of %s"}]}}`, tenant); got != want {
			t.Errorf("%s reads %s", tenant, got)
		}
	}
}

// Who has no tenant, or none that is a text, gets nothing, even from a product that asks
// for none.
func TestAViewerWithoutATenantIsForbidden(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, boards())
	for name, claims := range map[string]map[string]any{"None": nil, "Empty": {"tenant": ""}, "Number": {"tenant": 1}, "List": {"tenant": []string{"acme"}}} {
		c := cloud.Connect(name, claims)
		for _, document := range []string{`subscription { noteAdded(board: "1") { text } }`, `subscription { newest(board: "1") { text } }`,
			`subscription { noteAdded(board: "1", after: "00000000000000000000000000") { text } }`} {
			c.Subscribe(document, document, nil)
			if got := strings.Join(c.Got(document), " "); !strings.HasPrefix(got, "error ") || !strings.Contains(got, "Your token names no tenant.") {
				t.Errorf("%s: %s: got %s", name, document, got)
			}
		}
	}
}

// An event that is emitted without its tenant, or with one in an App that has none, reaches
// nobody: its record is parked.
func TestAnEventOfNoTenantIsParked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tenant string // the App's
		emit   func(n card, emit subwire.Emit)
		want   int // topics
	}{
		"In":          {"tenant", func(n card, emit subwire.Emit) { emit.In("a")(n, "t", "u") }, 2},
		"InEnds":      {"tenant", func(_ card, emit subwire.Emit) { emit.In("a").End("t") }, 1},
		"Without":     {"tenant", func(n card, emit subwire.Emit) { emit(n, "t") }, 0},
		"EndsWithout": {"tenant", func(_ card, emit subwire.Emit) { emit.End("t") }, 0},
		"OneWithout":  {"tenant", func(n card, emit subwire.Emit) { emit.In("a")(n, "t"); emit(n, "u") }, 0},
		"Empty":       {"tenant", func(n card, emit subwire.Emit) { emit.In("")(n, "t") }, 0},
		"Twice":       {"tenant", func(n card, emit subwire.Emit) { emit.In("a").In("b")(n, "t") }, 0},
		"NoTenants":   {"", func(n card, emit subwire.Emit) { emit(n, "t") }, 1},
		"NotAsked":    {"", func(n card, emit subwire.Emit) { emit.In("a")(n, "t") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := subwire.New("notes")
			app.Tenant = tc.tenant
			subwire.NewTable(app, subwire.TableSpec{Name: "notes", Key: "id"}, func(c subwire.Change[card], emit subwire.Emit) { tc.emit(*c.Now, emit) })
			row, err := table.Encode(card{ID: "1"})
			if err != nil {
				t.Fatal(err)
			}
			all, err := app.Changed("notes", "1", nil, row)
			if (err == nil) != (tc.want > 0) || len(all) != tc.want {
				t.Fatalf("got %+v, %v", all, err)
			}
			for _, e := range all {
				if inside := strings.HasPrefix(e.Topic, "1/a/"); inside != (tc.tenant != "") || strings.Contains(string(e.Root), "tenant\":\"a\"") {
					t.Errorf("got %+v", e)
				}
			}
		})
	}
	image := map[string]events.DynamoDBAttributeValue{}
	for _, name := range []string{"place", "id", "tenant", "board", "text"} {
		image[name] = events.NewStringAttribute("")
	}
	image["place"], image["id"] = events.NewStringAttribute("p"), events.NewStringAttribute("1")
	_, err := boards().Events(events.DynamoDBEventRecord{EventName: "INSERT", EventSourceArn: "arn:aws:dynamodb:::table/x-notes/stream/1",
		Change: events.DynamoDBStreamRecord{NewImage: image}})
	if !errors.Is(err, subwire.ErrUndecodable) {
		t.Errorf("a row without its tenant: %v", err)
	}
}

// Different tenants and names make different texts.
func FuzzIn(f *testing.F) {
	f.Add("a", "b/c", "a/b", "c")
	f.Add("1/a", "b", "1", "a/b")
	f.Add("", "1/a/b", "a", "b")
	f.Fuzz(func(t *testing.T, tenant, name, otherTenant, otherName string) {
		same := tenant == otherTenant && name == otherName
		if equal := subwire.In(tenant, name) == subwire.In(otherTenant, otherName); equal != same {
			t.Errorf("%q in %q and %q in %q: %t", name, tenant, otherName, otherTenant, equal)
		}
	})
}

func TestTheClaimOfTheTenantIsKept(t *testing.T) {
	t.Parallel()
	app := boards()
	app.Claims = []string{"name"}
	if got := fmt.Sprint(app.Product().Claims, app.Claims); got != "[name tenant] [name]" {
		t.Errorf("kept are %s", got)
	}
}
