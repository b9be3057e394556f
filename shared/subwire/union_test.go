package subwire_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/subwiretest"
)

// bulletin is announced under its tags.
type bulletin struct {
	Text  string   `json:"text"`
	Tags  []string `json:"tags"`
	Owner string   `json:"owner"`
}

// noted says what to announce of a bulletin.
type noted struct {
	Note  bulletin `json:"note"`
	Twice bool     `json:"twice"` // by two calls, which is two events
	Over  bool     `json:"over"`  // the end of its tags instead
}

type tagArgs struct {
	Tags []string `json:"tags"`
	Text *string  `json:"text" gql:"filter"`
}

// bulletins is a product with a union of tags.
func bulletins() *subwire.App {
	app := subwire.New("bulletins")
	subwire.Query(app, "none", func(context.Context, subwire.Viewer, struct{}) (bool, error) { return true, nil })
	subwire.Inbox(app, "noted", func(noted) string { return "all" }, func(n noted, emit subwire.Emit) {
		switch {
		case n.Over:
			emit.End(n.Note.Tags...)
			return
		case n.Twice:
			emit(n.Note, n.Note.Tags...)
		}
		emit(n.Note, n.Note.Tags...)
	})
	subwire.Subscribe(app, "tagged", subwire.Subscription[tagArgs, bulletin]{
		Topics: func(v subwire.Viewer, a tagArgs) ([]subwire.Topic, error) {
			if v.ID == "eve" {
				return nil, subwire.Forbidden("Not eve.")
			}
			return a.Tags, nil
		},
		Filter:  func(a tagArgs, n bulletin) bool { return a.Text == nil || *a.Text == n.Text },
		Visible: func(v subwire.Viewer, n bulletin) bool { return n.Owner == "" || n.Owner == v.ID },
		Allow: func(v subwire.Viewer, _ tagArgs, n bulletin) error {
			if n.Text == "private" {
				return subwire.Forbidden("It is private.")
			}
			return nil
		},
	})
	subwire.Subscribe(app, "latest", subwire.Subscription[struct{}, bulletin]{
		Topics: func(v subwire.Viewer, _ struct{}) ([]subwire.Topic, error) {
			return []subwire.Topic{"of " + v.ID, "news"}, nil
		},
		Current: func(_ context.Context, v subwire.Viewer, _ struct{}) (bulletin, error) {
			return bulletin{Text: "for " + v.ID}, nil
		},
		Ends: func(n bulletin) bool { return n.Text == "last" },
	})
	return app
}

func TestAUnionOnTheWholeWay(t *testing.T) {
	t.Parallel()
	cloud := subwiretest.Start(t, bulletins())
	ada, bob, eve := cloud.Connect("ada", nil), cloud.Connect("bob", nil), cloud.Connect("eve", nil)
	const document = `subscription ($tags: [String!]!, $text: String) { tagged(tags: $tags, text: $text) { text } }`
	follow := func(c *subwiretest.Client, id, text string, tags ...string) {
		variables := map[string]any{"tags": tags}
		if text != "" {
			variables["text"] = text
		}
		c.Subscribe(id, document, variables)
	}
	follow(ada, "ab", "", "b", "a", "b")
	follow(ada, "bc", "", "b", "c")
	follow(ada, "b", "", "b")
	follow(ada, "two", "two", "a", "b", "c")
	follow(bob, "ab", "", "a", "b")
	follow(eve, "ab", "", "a", "b")
	ada.Subscribe("latest", `subscription { latest { text } }`, nil)
	bob.Subscribe("latest", `subscription { latest { text } }`, nil)
	for i, n := range []noted{
		{Note: bulletin{Text: "one", Tags: []string{"b", "a", "b", "x"}}},
		{Note: bulletin{Text: "two", Tags: []string{"c", "b"}}, Twice: true},
		{Note: bulletin{Text: "three", Tags: []string{"c"}}},
		{Note: bulletin{Text: "four", Tags: []string{"b"}, Owner: "bob"}},
		{Note: bulletin{Tags: []string{"b"}}, Over: true},
		{Note: bulletin{Text: "five", Tags: []string{"b", "c", "a"}}},
		{Note: bulletin{Tags: []string{"c", "b"}}, Over: true},
		{Note: bulletin{Text: "six", Tags: []string{"c", "b", "a"}}},
		{Note: bulletin{Text: "private", Tags: []string{"b", "a"}, Owner: "bob"}},
		{Note: bulletin{Text: "seven", Tags: []string{"news", "of ada"}}},
		{Note: bulletin{Text: "last", Tags: []string{"of bob", "news"}}},
		{Note: bulletin{Text: "after", Tags: []string{"a", "b", "c", "news"}}},
	} {
		cloud.Publish("noted", fmt.Sprint(i), n)
	}
	next := func(field string, texts ...string) (all []string) {
		for _, text := range texts {
			all = append(all, `next {"data":{"`+field+`":{"text":"`+text+`"}}}`)
		}
		return all
	}
	got := map[string][]string{
		"ada ab": ada.Got("ab"), "ada bc": ada.Got("bc"), "ada b": ada.Got("b"), "ada two": ada.Got("two"), "bob ab": bob.Got("ab"),
		"ada latest": ada.Got("latest"), "bob latest": bob.Got("latest"),
	}
	want := map[string][]string{
		"ada ab":     next("tagged", "one", "two", "two", "five", "six", "after"),
		"ada bc":     append(next("tagged", "one", "two", "two", "three", "five"), "complete"), // by one End of both
		"ada b":      append(next("tagged", "one", "two", "two"), "complete"),
		"ada two":    next("tagged", "two", "two"),
		"bob ab":     next("tagged", "one", "two", "two", "four", "five", "six"),
		"ada latest": append(next("latest", "for ada", "seven", "last"), "complete"),
		"bob latest": append(next("latest", "for bob", "seven", "last"), "complete"),
	}
	last := len(got["bob ab"]) - 1
	if refusal := got["bob ab"][last]; !strings.Contains(refusal, "FORBIDDEN") || !strings.Contains(refusal, "It is private.") {
		t.Errorf("bob is told %s", refusal)
	}
	got["bob ab"] = got["bob ab"][:last]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := eve.Got("ab"); len(got) != 1 || !strings.Contains(got[0], "Not eve.") {
		t.Errorf("eve got %q", got)
	}
}

func TestTheTopicsOfAUnionAreBounded(t *testing.T) {
	t.Parallel()
	e := executor(t, bulletins())
	names := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("%q", string(rune('a'+i)))
		}
		return strings.Join(all, ",")
	}
	long := strings.Repeat("x", pubsub.MaxTopicBytes-1)
	for name, tc := range map[string]struct{ tags, code string }{
		"None":        {``, pubsub.CodeInput},
		"Most":        {names(pubsub.MaxTopics), ""},
		"SomeTwice":   {names(pubsub.MaxTopics) + "," + names(3), ""},
		"More":        {names(pubsub.MaxTopics + 1), pubsub.CodeInput},
		"OneIsEmpty":  {`"a",""`, pubsub.CodeLimit},
		"LongEnough":  {`"a","` + long + `"`, ""},
		"TooLong":     {`"ab","` + long + `"`, pubsub.CodeLimit},
		"OneOfAPart":  {`"a","` + pubsub.PartPrefix + `0/b"`, pubsub.CodeInput},
		"OneAloneToo": {`"ab` + long + `"`, pubsub.CodeLimit},
	} {
		x, err := e.Prepare(pubsub.Operation{Document: `subscription { tagged(tags: [` + tc.tags + `]) { text } }`})
		if err != nil {
			t.Fatal(name, err)
		}
		topic, union, err := x.TopicOf(pubsub.Viewer{})
		code := ""
		if errs, ok := err.(pubsub.Errors); ok {
			code, _ = errs[0].Extensions["code"].(string)
		}
		if code != tc.code || (err == nil) != (tc.code == "") {
			t.Errorf("%s: got %v, want %s", name, err, tc.code)
		}
		if err == nil && (len(union) < 2 || union[0] != topic || len(union) > pubsub.MaxTopics) {
			t.Errorf("%s: topic %q of %q", name, topic, union)
		}
	}
	x, err := e.Prepare(pubsub.Operation{Document: `subscription { tagged(tags: ["a","a"]) { text } }`})
	if err != nil {
		t.Fatal(err)
	}
	if topic, union, err := x.TopicOf(pubsub.Viewer{}); topic != "a" || union != nil || err != nil {
		t.Errorf("one topic is %q of %q, %v", topic, union, err)
	}
}
