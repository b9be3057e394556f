package stored

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

type state string

type old struct {
	ID    string `json:"id" gql:"id"`
	Title string `json:"title"`
	State state  `json:"state"`
}

type oldArgs struct {
	ID    string  `json:"id" gql:"id"`
	State *state  `json:"state"`
	Team  *string `json:"team"`
}

// bare is what is left when most is gone.
type bare struct {
	ID string `json:"id" gql:"id"`
}

// jobs is a product whose subscription has these arguments and events.
func jobs[A, E any](topic func(A) (subwire.Topic, error), states ...state) *subwire.App {
	app := subwire.New("jobs")
	subwire.Enum(app, "State", states...)
	subwire.Query(app, "nothing", func(context.Context, subwire.Viewer, struct{}) (string, error) { return "", nil })
	subwire.Subscribe(app, "job", subwire.Subscription[A, E]{Topic: topic})
	return app
}

func anyTopic[A any](A) (subwire.Topic, error) { return "job", nil }

func before() *subwire.App { return jobs[oldArgs, old](anyTopic, "OPEN", "DONE") }

var now = time.UnixMilli(1_790_000_000_123).UTC()

// kept are the operations as the release before stored them.
func kept(t *testing.T, operations ...pubsub.Operation) iter.Seq2[dynamo.Stored, error] {
	t.Helper()
	executor := gql.MustNew(before().MustOpen(subwire.Env{}))
	var all []dynamo.Stored
	for _, op := range operations {
		x, err := executor.Prepare(op)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, dynamo.Stored{Key: "k", Operation: x.Stored, Expires: now})
	}
	return func(yield func(dynamo.Stored, error) bool) {
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}
}

const document = `subscription Job($id: ID!, $state: State, $team: String) {
  job(id: $id, state: $state, team: $team) { id title state }
}`

var operation = pubsub.Operation{Document: document, Variables: json.RawMessage(`{"id":"secret","state":"DONE","team":"t"}`)}

func TestEachKindOfChange(t *testing.T) {
	t.Parallel()
	type renamed struct {
		ID      string `json:"id" gql:"id"`
		Heading string `json:"heading"`
		State   state  `json:"state"`
	}
	type more struct {
		ID       string `json:"id" gql:"id"`
		Title    string `json:"title" doc:"Deprecated: use heading."`
		State    state  `json:"state"`
		Heading  string `json:"heading"`
		Optional *int   `json:"optional"`
	}
	type required struct {
		ID    string `json:"id" gql:"id"`
		State *state `json:"state"`
		Team  string `json:"team"`
	}
	type added struct {
		ID    string  `json:"id" gql:"id"`
		State *state  `json:"state"`
		Team  *string `json:"team"`
		Extra *string `json:"extra"`
	}
	type number struct {
		ID    string `json:"id" gql:"id"`
		State *state `json:"state"`
		Team  *int   `json:"team"`
	}
	refusing := func(a oldArgs) (subwire.Topic, error) { return "", subwire.Invalid(a.ID + " is no id") }
	for name, tt := range map[string]struct {
		app  *subwire.App
		code string // "" if it still runs
		want string
	}{
		"Nothing":           {before(), "", ""},
		"AFieldIsAdded":     {jobs[oldArgs, more](anyTopic, "OPEN", "DONE"), "", ""},
		"AnArgumentIsAdded": {jobs[added, old](anyTopic, "OPEN", "DONE"), "", ""},
		"AValueIsAdded":     {jobs[oldArgs, old](anyTopic, "OPEN", "DONE", "LATE"), "", ""},
		"AFieldIsGone": {jobs[oldArgs, renamed](anyTopic, "OPEN", "DONE"), pubsub.CodeValidation,
			`Cannot query field "title" on type "renamed".`},
		"AnArgumentIsRequired": {jobs[required, old](anyTopic, "OPEN", "DONE"), pubsub.CodeValidation,
			`Variable "$team" of type "String" used in position expecting type "String!".`},
		"AValueIsGone": {jobs[oldArgs, old](anyTopic, "OPEN"), pubsub.CodeInput,
			`Variable "$state" of type "State" got an invalid value.`},
		"ATypeIsAnother": {jobs[number, old](anyTopic, "OPEN", "DONE"), pubsub.CodeValidation,
			`Variable "$team" of type "String" used in position expecting type "Int".`},
		"ARuleIsStricter": {jobs[oldArgs, old](refusing, "OPEN", "DONE"), pubsub.CodeInput,
			`The product refuses its arguments.`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Check(kept(t, operation), tt.app, topology.Defaults(), now)
			if err != nil {
				t.Fatal(err)
			}
			want := Report{Operations: 1}
			if tt.code != "" {
				want.Outdated = []Outdated{{"k", "subscription Job($id: ID!, $state: State, $team: String) { …", tt.code, tt.want,
					now.Add(topology.HostTTL)}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALowerLimitEndsSubscriptionsToo(t *testing.T) {
	t.Parallel()
	settings, errs := topology.Read(topology.Settings(), func(name string) string {
		return map[string]string{"MAX_SUBSCRIPTION_FIELDS": "3"}[name]
	})
	if errs != nil {
		t.Fatal(errs)
	}
	r, err := Check(kept(t, operation), before(), settings, now)
	if err != nil || len(r.Outdated) != 1 || r.Outdated[0].Code != pubsub.CodeLimit {
		t.Errorf("got %+v, %v", r, err)
	}
}

// An operation stays a day longer than its subscriptions.
func TestWhatNoSubscriptionUsesIsLeftOut(t *testing.T) {
	t.Parallel()
	gone := jobs[oldArgs, bare](anyTopic, "OPEN")
	for late, want := range map[time.Duration]int{topology.HostTTL - time.Second: 1, topology.HostTTL: 0} {
		r, err := Check(kept(t, operation), gone, topology.Defaults(), now.Add(late))
		if err != nil || r.Operations != want || len(r.Outdated) != want {
			t.Errorf("%s later: %+v, %v", late, r, err)
		}
	}
}

func TestWhatCannotBeDecidedIsAnError(t *testing.T) {
	t.Parallel()
	fault := errors.New("throttled")
	reads := func(yield func(dynamo.Stored, error) bool) {
		for s := range kept(t, operation) {
			yield(s, nil)
		}
		yield(dynamo.Stored{}, fault)
	}
	gone := jobs[oldArgs, bare](anyTopic, "OPEN")
	if r, err := Check(reads, gone, topology.Defaults(), now); !errors.Is(err, fault) || len(r.Outdated) != 1 {
		t.Errorf("a read that fails: %+v, %v", r, err)
	}
	panics := func(a oldArgs) (subwire.Topic, error) { panic(a.ID) }
	_, err := Check(kept(t, operation), jobs[oldArgs, old](panics, "OPEN", "DONE"), topology.Defaults(), now)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a rule that panics: %v", err)
	}
	broken := subwire.New("broken") // a schema without a query
	if _, err := Check(kept(t), broken, topology.Defaults(), now); err == nil {
		t.Error("a product without a schema: no error")
	}
}
