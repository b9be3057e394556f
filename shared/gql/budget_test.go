package gql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/graphql-go/graphql"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/table"
)

// limited is the executor of the largest chat, with other limits.
func limited(t *testing.T, set func(l *gql.Limits)) *gql.Executor {
	t.Helper()
	limits := gql.DefaultLimits
	set(&limits)
	return largeChat(t, limits)
}

func TestWhatAnOperationReadsIsBounded(t *testing.T) {
	t.Parallel()
	page := 0
	for _, m := range largeMessages() {
		row, err := table.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		page += table.Bytes(row)
	}
	e := limited(t, func(l *gql.Limits) { l.ReadBytes = page })
	atLimit := operation(`{a:getNewMessages(chatId:"1",limit:60){id}b:getNewMessages(chatId:"1",limit:40){id}}`, "")
	if result, err := use(e, atLimit, nil); err != nil || strings.Contains(string(result), "errors") {
		t.Errorf("refused at the limit: %v, %.200s", err, result)
	}
	_, err := use(e, operation(`{a:getNewMessages(chatId:"1",limit:60){id}b:getNewMessages(chatId:"1",limit:41){id}}`, ""), nil)
	checkRefusal(t, err, pubsub.CodeLimit, fmt.Sprintf("reads more than %d bytes", page))
}

// Each operation has the whole budget, even when it is run again.
func TestABudgetIsThatOfOneRun(t *testing.T) {
	t.Parallel()
	x, err := largeChat(t, gql.DefaultLimits).Prepare(operation(`{getNewMessages(chatId:"1",limit:100){id}}`, ""))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := x.Run(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
}

func TestAResultStopsWhereItIsTooLarge(t *testing.T) {
	t.Parallel()
	post := `postMessage(chatId:"2",content:"` + strings.Repeat("x", 500) + `",senderName:"y"){content}`
	for name, tc := range map[string]struct{ document, message string }{
		"Content":  {`{getNewMessages(chatId:"1",limit:2){content}}`, "The result is larger than"},
		"Names":    {`{` + strings.Repeat("a", 200) + `:__typename ` + strings.Repeat("b", 200) + `:__typename}`, "The result is larger than"},
		"Errors":   {`{a:getNewMessages(chatId:"",limit:200){id}}`, "The result is larger than"},
		"Mutation": {`mutation{a:` + post + `b:` + post + `}`, "The mutation was executed, but its result is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole, err := use(limited(t, func(*gql.Limits) {}), operation(tc.document, ""), nil)
			if err != nil {
				t.Fatal(err)
			}
			e := limited(t, func(l *gql.Limits) { l.ResultBytes = len(whole) })
			if result, err := use(e, operation(tc.document, ""), nil); err != nil || len(result) != len(whole) {
				t.Errorf("refused at the limit: %v", err)
			}
			e = limited(t, func(l *gql.Limits) { l.ResultBytes = len(whole) - 1 })
			result, err := use(e, operation(tc.document, ""), nil)
			checkRefusal(t, err, pubsub.CodeTooLarge, tc.message)
			if result != nil {
				t.Errorf("there is a result all the same: %.100s", result)
			}
		})
	}
}

// A mutation is not undone, so it says which of its fields could not be read.
func TestAMutationTellsWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	var written []string
	write := &graphql.Field{Type: graphql.String, Args: graphql.FieldConfigArgument{"n": {Type: graphql.String}},
		Resolve: func(p graphql.ResolveParams) (any, error) {
			if _, err := pubsub.BudgetOf(p.Context).Reserve(60, 60); err != nil {
				return nil, fmt.Errorf("read: %w", err)
			}
			written = append(written, p.Args["n"].(string))
			return p.Args["n"], nil
		}}
	limits := gql.DefaultLimits
	limits.ReadBytes = 100
	e := gql.MustNew(gql.Config{Limits: limits, Log: slog.New(slog.DiscardHandler),
		Query:    graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{"write": write}}),
		Mutation: graphql.NewObject(graphql.ObjectConfig{Name: "Mutation", Fields: graphql.Fields{"write": write}})})
	result, err := use(e, operation(`mutation{a:write(n:"1")b:write(n:"2")}`, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"data":{"a":"1","b":null},"errors":[{"message":"The operation reads more than 100 bytes. Ask for shorter lists.",` +
		`"locations":[{"line":1,"column":24}],"path":["b"],"extensions":{"code":"LIMIT_EXCEEDED"}}]}`
	if string(result) != want || len(written) != 1 {
		t.Errorf("got %s, and %q written", result, written)
	}
	_, err = use(e, operation(`{a:write(n:"1")b:write(n:"2")}`, ""), nil)
	checkRefusal(t, err, pubsub.CodeLimit, "reads more than 100 bytes")
}

func TestAnAnswerHasTenErrorsAtMost(t *testing.T) {
	t.Parallel()
	for _, failing := range []int{10, 11, 100} {
		item := graphql.NewObject(graphql.ObjectConfig{Name: "Item", Fields: graphql.Fields{"a": {Type: graphql.String,
			Resolve: func(graphql.ResolveParams) (any, error) { return nil, errors.New("no") }}}})
		logged := &counter{}
		e := gql.MustNew(gql.Config{Log: slog.New(logged), Query: graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{
			"items": {Type: graphql.NewList(item), Resolve: func(graphql.ResolveParams) (any, error) { return make([]int, failing), nil }}}})})
		result, err := use(e, operation(`{items{a}}`, ""), nil)
		var got struct {
			Data   struct{ Items []any }
			Errors pubsub.Errors
		}
		if err != nil || json.Unmarshal(result, &got) != nil || len(got.Data.Items) != failing || len(got.Errors) != 10 || logged.n != 10 {
			t.Fatalf("%d fail: got %s, %v, and %d logged", failing, result, err, logged.n)
		}
		if says := strings.Contains(got.Errors[9].Message, "more errors"); says != (failing > 10) {
			t.Errorf("%d fail: the last is %q", failing, got.Errors[9].Message)
		}
	}
}

// counter counts what is logged.
type counter struct{ n int }

func (*counter) Enabled(context.Context, slog.Level) bool { return true }

func (c *counter) Handle(context.Context, slog.Record) error {
	c.n++
	return nil
}

func (c *counter) WithAttrs([]slog.Attr) slog.Handler { return c }

func (c *counter) WithGroup(string) slog.Handler { return c }

// A wrong name is not answered with the right one.
func TestNoErrorSuggestsNamesOfTheSchema(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, store{}, func(c *gql.Config) { c.Introspection = false })
	for _, document := range []string{
		`{getNewMessage(chatId:"1"){id}}`, `{getNewMessages(chatID:"1"){id}}`, `{getNewMessages(chatId:"1"){contents}}`,
		`{getNewMessages(chatId:"1"){...on Messages{id}}}`, `{...F}fragment F on Querys{a}`, `{...F}fragment G on Query{__typename}`,
		`query($a:Strin){__typename}`, `{__typename @skipp(if:true)}`, `{getNewMessages(chatId:ONE){id}}`, `mutation{postMessages{id}}`,
		`subscription{newMessages(chatId:"1"){id}}`,
	} {
		_, err := e.Prepare(operation(document, ""))
		var refused pubsub.Errors
		if !errors.As(err, &refused) {
			t.Fatalf("%s: %v", document, err)
		}
		for _, shown := range refused {
			if strings.Contains(strings.ToLower(shown.Message), "did you mean") {
				t.Errorf("%s: %s", document, shown.Message)
			}
		}
	}
}

func TestALongOperationNameIsCut(t *testing.T) {
	t.Parallel()
	_, err := newExecutor(t, store{}, nil).Prepare(pubsub.Operation{Document: `{__typename}`, Name: strings.Repeat("é", 10_000)})
	checkRefusal(t, err, pubsub.CodeValidation, `"`+strings.Repeat("é", 50)+`…"`)
}
