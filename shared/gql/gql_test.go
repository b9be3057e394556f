package gql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/chat"
	"subwire/shared/gql"
	"subwire/shared/hostile"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/table"
	"subwire/shared/topology"
)

var (
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 5_000_000, time.UTC)
	hello = chat.Message{ID: "01A", ChatID: "lobby", Content: "<hello>", SenderName: "Ada", CreatedAt: noon}
)

// store holds one message, or as many copies as are asked for, and no other.
type store struct {
	table.Store
	err    error
	copies bool
}

func (s store) PutRow(context.Context, topology.Table, table.Row, table.Condition) error {
	return s.err
}

func (s store) QueryRows(_ context.Context, _ topology.Table, q table.Query) ([]table.Row, error) {
	row, err := table.Encode(hello)
	if err != nil {
		return nil, err
	}
	if s.copies {
		return slices.Repeat([]table.Row{row}, q.Limit), s.err
	}
	return []table.Row{row}, s.err
}

func newExecutor(t testing.TB, s store, change func(*gql.Config)) *gql.Executor {
	t.Helper()
	c := chat.New().MustOpen(subwire.Env{Tables: s, Anonymous: true, NewID: func() string { return "01B" },
		Now: func() time.Time { return noon }})
	c.Introspection, c.Log = true, slog.New(slog.NewTextHandler(io.Discard, nil))
	if change != nil {
		change(&c)
	}
	e, err := gql.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func operation(document, variables string) pubsub.Operation {
	return pubsub.Operation{Document: document, Variables: json.RawMessage(variables)}
}

func event(t testing.TB) *pubsub.Event {
	t.Helper()
	root, err := json.Marshal(hello)
	if err != nil {
		t.Fatal(err)
	}
	return &pubsub.Event{ID: hello.ID, Topic: chat.Topic("lobby"), Root: root}
}

func TestSubscriptionsAreExecutedWithTheEvent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		op   pubsub.Operation
		want string
	}{
		"Selection": {operation(`subscription { newMessage(chatId: "lobby") { id content createdAt senderName chatId } }`, ""),
			`{"data":{"newMessage":{"id":"01A","content":"<hello>","createdAt":"2026-11-24T12:00:00.005Z","senderName":"Ada","chatId":"lobby"}}}`},
		"Alias": {operation(`subscription { m: newMessage(chatId: "lobby") { who: senderName } }`, ""),
			`{"data":{"m":{"who":"Ada"}}}`},
		"FragmentAndTypename": {operation(`subscription S { newMessage(chatId: "lobby") { ...F __typename } } fragment F on Message { id }`, ""),
			`{"data":{"newMessage":{"id":"01A","__typename":"Message"}}}`},
		"RootFieldInAFragment": {operation(`subscription { ...F } fragment F on Subscription { newMessage(chatId: "lobby") { id } }`, ""),
			`{"data":{"newMessage":{"id":"01A"}}}`},
		"RootFieldInTwoFragments": {operation(`subscription { ...F ...G } fragment F on Subscription { newMessage(chatId: "lobby") { id } }
			fragment G on Subscription { newMessage(chatId: "lobby") { content } }`, ""), `{"data":{"newMessage":{"id":"01A","content":"<hello>"}}}`},
		"AfterIsNull":   {operation(`subscription { newMessage(chatId: "lobby", after: null) { id } }`, ""), `{"data":{"newMessage":{"id":"01A"}}}`},
		"ChatByDefault": {operation(`subscription ($c: ID! = "lobby") { newMessage(chatId: $c) { id } }`, ""), `{"data":{"newMessage":{"id":"01A"}}}`},
		"VariablesAndDirectives": {operation(`subscription ($c: ID!, $yes: Boolean!) { newMessage(chatId: $c) { id @include(if: $yes) content @skip(if: $yes) } }`,
			`{"c":"lobby","yes":true}`), `{"data":{"newMessage":{"id":"01A"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, err := newExecutor(t, store{}, nil).Prepare(tc.op)
			if err != nil {
				t.Fatal(err)
			}
			if x.Kind != pubsub.KindSubscription || x.Topic != chat.Topic("lobby") {
				t.Errorf("kind %q, topic %q", x.Kind, x.Topic)
			}
			got, err := x.Run(t.Context(), event(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("result differs:\n%s", diff)
			}
		})
	}
}

func TestQueriesAndMutations(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		op   pubsub.Operation
		want string
	}{
		"GetNewMessages": {operation(`{ getNewMessages(chatId: "lobby") { id } }`, ""), `{"data":{"getNewMessages":[{"id":"01A"}]}}`},
		"MergedFields": {operation(`{ b: __typename a: getNewMessages(chatId: "lobby") { senderName ...F id } a: getNewMessages(chatId: "lobby") { content chatId } }
			fragment F on Message { content @skip(if: true) ... on Message { id content } ...G } fragment G on Message { content }`, ""),
			`{"data":{"b":"Query","a":[{"senderName":"Ada","id":"01A","content":"<hello>","chatId":"lobby"}]}}`},
		"PostMessage": {operation(`mutation ($c: String!) { postMessage(chatId: "lobby", content: $c, senderName: "Bob") { id content createdAt } }`, `{"c":"héé"}`),
			`{"data":{"postMessage":{"id":"01B","content":"héé","createdAt":"2026-11-24T12:00:00.005Z"}}}`},
		"NumbersAsIDs": {operation(`mutation ($c: ID!) { postMessage(chatId: $c, content: "x", senderName: "Bob") { chatId } }`, `{"c":123456789}`),
			`{"data":{"postMessage":{"chatId":"123456789"}}}`},
		"TwoOperationsOneChosen": {pubsub.Operation{Document: `query A { __typename } query B { b: __typename }`, Name: "B"}, `{"data":{"b":"Query"}}`},
		"EmptyContent": {operation(`mutation { postMessage(chatId: "lobby", content: "", senderName: "Bob") { id } }`, ""),
			`{"data":null,"errors":[{"message":"content is empty","locations":[{"line":1,"column":12}],"path":["postMessage"],"extensions":{"code":"BAD_USER_INPUT"}}]}`},
		"AfterAndBefore": {operation(`{ getNewMessages(chatId: "lobby", after: "01A", before: "01B") { id } }`, ""),
			`{"data":null,"errors":[{"message":"after and before cannot be given together","locations":[{"line":1,"column":3}],"path":["getNewMessages"],"extensions":{"code":"BAD_USER_INPUT"}}]}`},
		"LimitOutOfRange": {operation(`{ getNewMessages(chatId: "lobby", limit: 101) { id } }`, ""),
			`{"data":null,"errors":[{"message":"limit is 101; 1 to 100 are allowed","locations":[{"line":1,"column":3}],"path":["getNewMessages"],"extensions":{"code":"BAD_USER_INPUT"}}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, err := newExecutor(t, store{}, nil).Prepare(tc.op)
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.Run(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("result differs:\n%s", diff)
			}
		})
	}
}

func TestWhatIsWrongIsRefusedBeforeItRuns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		op      pubsub.Operation
		code    string
		message string
	}{
		"Syntax":               {operation(`{ getNewMessages`, ""), pubsub.CodeParse, "Syntax Error"},
		"EmptyDocument":        {operation(``, ""), pubsub.CodeParse, "Unexpected <EOF>"},
		"OnlyFragments":        {operation(`fragment F on Query { __typename }`, ""), pubsub.CodeValidation, "never used"},
		"UnknownField":         {operation(`{ nothing }`, ""), pubsub.CodeValidation, `Cannot query field "nothing"`},
		"UnknownOperation":     {pubsub.Operation{Document: `query A { __typename }`, Name: "B"}, pubsub.CodeValidation, `operation named "B"`},
		"NoOperationChosen":    {operation(`query A { __typename } query B { __typename }`, ""), pubsub.CodeValidation, "several operations"},
		"VariablesNoObject":    {operation(`{ __typename }`, `[1]`), pubsub.CodeInput, "not a JSON object"},
		"SeveralRootFields":    {operation(`subscription { a: newMessage(chatId: "1") { id } b: newMessage(chatId: "2") { id } }`, ""), pubsub.CodeValidation, "exactly one root field"},
		"RootFieldsByFragment": {operation(`subscription { ...F newMessage(chatId: "1") { id } } fragment F on Subscription { b: newMessage(chatId: "2") { id } }`, ""), pubsub.CodeValidation, "exactly one root field"},
		"RootFieldSkipped":     {operation(`subscription ($s: Boolean!) { newMessage(chatId: "1") @skip(if: $s) { id } }`, `{"s":true}`), pubsub.CodeValidation, "@skip"},
		"RootFieldTypename":    {operation(`subscription { __typename }`, ""), pubsub.CodeValidation, "introspection field"},
		"VariableMissing":      {operation(`subscription ($c: ID!) { newMessage(chatId: $c) { id } }`, ""), pubsub.CodeInput, `"$c" of required type "ID!"`},
		"VariableNull":         {operation(`subscription ($c: ID!) { newMessage(chatId: $c) { id } }`, `{"c":null}`), pubsub.CodeInput, `"$c" of required type "ID!"`},
		"ChatIDEmpty":          {operation(`subscription { newMessage(chatId: "") { id } }`, ""), pubsub.CodeInput, "chatId is empty"},
		"ChatIDTooLong":        {operation(`subscription { newMessage(chatId: "`+strings.Repeat("x", 129)+`") { id } }`, ""), pubsub.CodeInput, "129 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newExecutor(t, store{}, nil).Prepare(tc.op)
			checkRefusal(t, err, tc.code, tc.message)
		})
	}
}

func checkRefusal(t *testing.T, err error, code, message string) {
	t.Helper()
	var refused pubsub.Errors
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, not a refusal", err)
	}
	if got := refused[0].Extensions["code"]; got != code {
		t.Errorf("code %v, want %s", got, code)
	}
	if !strings.Contains(refused[0].Message, message) {
		t.Errorf("message %q does not say %q", refused[0].Message, message)
	}
	body, err := json.Marshal(refused)
	if err != nil || strings.Contains(string(body), "null") {
		t.Errorf("encoded as %s, %v", body, err)
	}
}

func TestAQueryWhoseVariablesDoNotFitIsRefused(t *testing.T) {
	t.Parallel()
	_, err := newExecutor(t, store{}, nil).Prepare(operation(`query ($n: Int!) { getNewMessages(chatId: "1", limit: $n) { id } }`, `{"n":"many"}`))
	checkRefusal(t, err, pubsub.CodeInput, "$n")
}

func TestErrorsOfTheServerAreHidden(t *testing.T) {
	t.Parallel()
	x, err := newExecutor(t, store{err: errors.New("table secret-table is throttled")}, nil).Prepare(operation(`{ getNewMessages(chatId: "1") { id } }`, ""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); strings.Contains(s, "secret") || !strings.Contains(s, pubsub.CodeUnavailable) {
		t.Errorf("got %s", s)
	}
}

func TestAPanicOfAResolverIsAnErrorOfItsField(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, store{}, func(c *gql.Config) {
		s := c.Subscriptions["newMessage"]
		s.Root = func(json.RawMessage) (any, error) { panic("secret") }
		c.Subscriptions["newMessage"] = s
	})
	x, err := e.Prepare(operation(`subscription { newMessage(chatId: "1") { id } }`, ""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Run(t.Context(), event(t))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); strings.Contains(s, "secret") || !strings.Contains(s, pubsub.CodeInternal) || !strings.Contains(s, `"data":null`) {
		t.Errorf("got %s", s)
	}
}

func TestIntrospectionCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	for _, document := range []string{`{ __schema { queryType { name } } }`, `{ ...F } fragment F on Query { __type(name: "Message") { name } }`} {
		if _, err := newExecutor(t, store{}, nil).Prepare(operation(document, "")); err != nil {
			t.Errorf("on: %v", err)
		}
		e := newExecutor(t, store{}, func(c *gql.Config) { c.Introspection = false })
		_, err := e.Prepare(operation(document, ""))
		checkRefusal(t, err, pubsub.CodeValidation, "Introspection is off")
	}
}

// Equal keys must mean equal results: a sender executes once for all subscriptions with
// one key.
func TestOperationsThatDifferHaveDifferentKeys(t *testing.T) {
	t.Parallel()
	ops := []pubsub.Operation{
		operation(`{a}`, ``), operation(`{a}`, `{}`), operation(`{a}`, `{"a":1}`), operation(`{a} `, ``),
		{Document: `{a}`, Name: "a"}, {Document: `{a}a`}, {Document: ``, Name: `{a}a`},
	}
	seen := map[string]int{}
	for i, op := range ops {
		if j, dup := seen[op.Key()]; dup {
			t.Errorf("operations %d and %d have one key", i, j)
		}
		seen[op.Key()] = i
	}
}

func FuzzPrepare(f *testing.F) {
	for _, seed := range []string{`subscription ($c: ID!) { newMessage(chatId: $c) { id } }`, `{ __typename }`, `fragment F on Query { ...F } { ...F }`,
		`subscription { ... on Subscription { newMessage(chatId: 1) { id } } }`, `"`, `{a(b:{c:[1,{d:$e}]})}`, "\xff"} {
		f.Add(seed, `{"c":"lobby"}`)
	}
	f.Add(`{ __typename }`, `{"a":1e999}`)
	for _, op := range hostile.Documents() {
		f.Add(op.Document, string(op.Variables))
	}
	e := newExecutor(f, store{copies: true}, nil)
	f.Fuzz(func(t *testing.T, document, variables string) {
		op := operation(document, variables)
		var payload json.RawMessage
		var err error
		// What the fuzzer allocates at the same time is far below the limit.
		if n := hostile.Allocated(func() { payload, err = use(e, op, event(t)) }); n > hostile.MostMemory {
			t.Errorf("%d MB allocated", n>>20)
		}
		var refused pubsub.Errors
		switch {
		case err != nil && (!errors.As(err, &refused) || len(refused) == 0):
			t.Fatalf("not a refusal: %v", err)
		case err == nil && !json.Valid(payload):
			t.Fatalf("result is not JSON: %q", payload)
		}
		if x, err := e.Prepare(op); err == nil && x.Kind == pubsub.KindSubscription && x.Topic == "" {
			t.Fatal("subscription without a topic")
		}
	})
}

func BenchmarkRun(b *testing.B) {
	x, err := newExecutor(b, store{}, nil).Prepare(operation(`subscription NewMessage($chatId: ID!) { newMessage(chatId: $chatId) { id content createdAt senderName } }`, `{"chatId":"lobby"}`))
	if err != nil {
		b.Fatal(err)
	}
	e := event(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Run(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	e := newExecutor(b, store{}, nil)
	op := operation(`subscription NewMessage($chatId: ID!) { newMessage(chatId: $chatId) { id content createdAt senderName } }`, `{"chatId":"lobby"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Prepare(op); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	e := gql.MustNew(chat.New().MustOpen(subwire.Env{}))
	x, err := e.Prepare(pubsub.Operation{
		Document:  `subscription ($chat: ID!) { newMessage(chatId: $chat) { content } }`,
		Variables: json.RawMessage(`{"chat":"lobby"}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := x.Run(context.Background(), &pubsub.Event{Root: json.RawMessage(`{"content":"hello"}`)})
	fmt.Println(x.Topic, string(result), err)
	// Output: newMessage/lobby {"data":{"newMessage":{"content":"hello"}}} <nil>
}
