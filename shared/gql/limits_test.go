package gql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"subwire/shared/gql"
	"subwire/shared/hostile"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// Each setting is one limit, for every function that prepares operations.
func TestEachLimitIsOfItsSetting(t *testing.T) {
	t.Parallel()
	for field, setting := range map[string]topology.SettingOf[int]{
		"DocumentBytes": topology.MaxDocumentBytes, "Tokens": topology.MaxTokens, "Depth": topology.MaxDepth, "Fields": topology.MaxFields,
		"Aliases": topology.MaxAliases, "Directives": topology.MaxDirectives, "ListItems": topology.MaxListItems,
		"Complexity": topology.MaxComplexity, "VariablesBytes": topology.MaxVariablesBytes, "Mutations": topology.MaxMutations,
		"ReadBytes": topology.MaxReadBytes, "ResultBytes": topology.MaxResultBytes,
		"SubscriptionBytes": topology.MaxSubscriptionBytes, "SubscriptionFields": topology.MaxSubscriptionFields,
	} {
		least, _, _ := strings.Cut(setting.Bounds, " to ")
		want, err := strconv.Atoi(least)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []topology.Function{topology.Message, topology.GraphQL, topology.Sender} {
			v, _ := topology.Read(f.Settings(), func(env string) string {
				if env == setting.Env {
					return least
				}
				return ""
			})
			got := gql.LimitsOf(v)
			limit := reflect.ValueOf(&got).Elem().FieldByName(field)
			if int(limit.Int()) != want {
				t.Errorf("%s: %s makes %s %d", f.Name, setting.Env, field, limit.Int())
			}
			if limit.SetInt(int64(setting.In(topology.Defaults()))); got != gql.DefaultLimits {
				t.Errorf("%s: %s sets another limit: %+v", f.Name, setting.Env, got)
			}
		}
	}
}

// Each limit allows what is at it, and refuses what is beyond.
func TestEachLimit(t *testing.T) {
	t.Parallel()
	const field = `getNewMessages(chatId:"1",limit:2)`
	const mutation = `fragment F on Mutation{a:postMessage(chatId:"1",content:"x",senderName:"y"){id}}`
	d := gql.DefaultLimits
	for name, tc := range map[string]struct {
		set     func(l *gql.Limits)
		at, off pubsub.Operation
		message string
	}{
		"DocumentBytes":        {func(l *gql.Limits) { l.DocumentBytes = 12 }, operation(`{__typename}`, ""), operation(`{ __typename}`, ""), "13 bytes; 12"},
		"Tokens":               {func(l *gql.Limits) { l.Tokens = 3 }, operation(`{__typename} # {`, ""), operation(`{__typename a}`, ""), "more than 3 tokens"},
		"Depth":                {func(l *gql.Limits) { l.Depth = 2 }, operation(`{`+field+`{id}}`, ""), operation(`{__schema{queryType{name}}}`, ""), "3 deep; 2"},
		"DepthThroughFragment": {func(l *gql.Limits) { l.Depth = 2 }, operation(`{...F}fragment F on Query{`+field+`{...on Message{id}}}`, ""), operation(`{...F}fragment F on Query{__schema{...G}}fragment G on __Schema{queryType{name}}`, ""), "3 deep; 2"},
		"Fields":               {func(l *gql.Limits) { l.Fields = 4 }, operation(`{`+field+`{id content chatId}}`, ""), operation(`{`+field+`{id content chatId senderName}}`, ""), "5 fields; 4"},
		"FieldsThroughFragments": {func(l *gql.Limits) { l.Fields = 6 }, operation(`{`+field+`{...F ...F}}fragment F on Message{id}`, ""),
			operation(`{`+field+`{...F ...F ...F}}fragment F on Message{id}`, ""), "7 fields; 6"},
		"Aliases":      {func(l *gql.Limits) { l.Aliases = 1 }, operation(`{a:__typename __typename}`, ""), operation(`{a:__typename b:__typename}`, ""), "2 aliases; 1"},
		"Directives":   {func(l *gql.Limits) { l.Directives = 1 }, operation(`{__typename @skip(if:false)}`, ""), operation(`{__typename @skip(if:false) @include(if:true)}`, ""), "2 directives; 1"},
		"ListItems":    {func(l *gql.Limits) { l.ListItems = 2 }, operation(`{__typename}`, `{"a":[1,2]}`), operation(`{__typename}`, `{"a":{"b":[[1,2,3]]}}`), "3 items; 2"},
		"LiteralLists": {func(l *gql.Limits) { l.ListItems = 2 }, operation(`{__typename}`, ""), operation(`{getNewMessages(chatId:[1,2]){id}a:getNewMessages(chatId:{b:1}){id}}`, ""), "more than 2 items"},
		"Complexity":   {func(l *gql.Limits) { l.Complexity = 5 }, operation(`{`+field+`{id chatId}}`, ""), operation(`{`+field+`{id chatId content}}`, ""), "7 fields; 5"},
		"Introspection": {func(*gql.Limits) {}, operation(hostile.Introspection, ""), operation(`{__schema{types{`+hostile.Each(25, func(i int) string {
			return fmt.Sprintf("a%d:fields{name isDeprecated description type{name kind ofType{name kind}} args{name}}", i)
		})+`}}}`, ""), "may resolve"},
		"Mutations": {func(l *gql.Limits) { l.Mutations = 2 }, operation(`mutation{...F ...F b:postMessage(chatId:"1",content:"x",senderName:"y"){id}}`+mutation, ""),
			operation(`mutation{...F b:postMessage(chatId:"1",content:"x",senderName:"y"){id}__typename}`+mutation, ""), "3 root fields; 2"},
		"SubscriptionFields": {func(l *gql.Limits) { l.SubscriptionFields = 4 }, operation(`subscription{newMessage(chatId:"1"){...F}}fragment F on Message{id content}`, ""),
			operation(`subscription{newMessage(chatId:"1"){...F __typename}}fragment F on Message{id content}`, ""), "5 fields; 4"},
		"SubscriptionBytes": {func(l *gql.Limits) { l.SubscriptionBytes = 71 },
			operation(`subscription($c:ID!,$a:ID){newMessage(chatId:$c,after:$a){id}}`, `{"c":"1","a":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}`),
			operation(`subscription($c:ID!,$a:ID){newMessage(chatId:$c,after:$a){id}}`, `{"c":"12","a":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}`), "72 bytes; 71"},
		"VariablesBytes": {func(l *gql.Limits) { l.VariablesBytes = 7 }, operation(`query($c:ID!){getNewMessages(chatId:$c){id}}`, `{"c":1}`),
			operation(`query($c:ID!){getNewMessages(chatId:$c){id}}`, `{"c":12}`), "8 bytes; 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := d
			tc.set(&limits)
			e := newExecutor(t, store{copies: true}, func(c *gql.Config) { c.Limits = limits })
			if _, err := use(e, tc.at, nil); err != nil {
				t.Errorf("refused at the limit: %v", err)
			}
			_, err := use(e, tc.off, nil)
			checkRefusal(t, err, pubsub.CodeLimit, tc.message)
		})
	}
}

// How much of a list an operation asks for is known from its arguments.
func TestComplexityFollowsTheListsAskedFor(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, store{copies: true}, func(c *gql.Config) {
		c.Limits = gql.DefaultLimits
		c.Limits.Complexity = 101
	})
	for name, tc := range map[string]struct {
		op    pubsub.Operation
		count string // of fields, when refused
	}{
		"Literal":         {operation(`{getNewMessages(chatId:"1",limit:100){id}}`, ""), ""},
		"LiteralMore":     {operation(`{getNewMessages(chatId:"1",limit:101){id}}`, ""), "102"},
		"DefaultOfField":  {operation(`{getNewMessages(chatId:"1"){id content chatId}}`, ""), "151"}, // 50 by the schema
		"Variable":        {operation(`query($n:Int){getNewMessages(chatId:"1",limit:$n){id}}`, `{"n":200}`), "201"},
		"VariableFits":    {operation(`query($n:Int){getNewMessages(chatId:"1",limit:$n){id}}`, `{"n":5}`), ""},
		"VariableDefault": {operation(`query($n:Int=300){getNewMessages(chatId:"1",limit:$n){id}}`, ""), "301"},
		"VariableHuge":    {operation(`query($n:Int){getNewMessages(chatId:"1",limit:$n){id}}`, `{"n":2147483647}`), "more than a billion"},
		"ThroughFragment": {operation(`{...F}fragment F on Query{getNewMessages(chatId:"1",limit:60){...M}}fragment M on Message{id content}`, ""), "121"},
		"SeveralRoots":    {operation(`{a:getNewMessages(chatId:"1",limit:60){id}b:getNewMessages(chatId:"2",limit:60){id}}`, ""), "122"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := e.Prepare(tc.op)
			if tc.count == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkRefusal(t, err, pubsub.CodeLimit, "may resolve "+tc.count+" fields")
		})
	}
}

func TestARefusalIsShortAndSaysWhere(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, store{}, nil)
	for name, tc := range map[string]struct {
		document string
		message  string
		line     int
		column   int
	}{
		"Syntax":        {"# é\n{ getNewMessages(", "Syntax Error: Expected Name, found <EOF>", 2, 18},
		"Unexpected":    {"{a}\n  }", "Syntax Error: Unexpected }", 2, 3},
		"NoType":        {"query ($a: ) { a }", "Syntax Error: Expected Name", 1, 12},
		"NoTypeInAList": {"query ($a: [!]) { a }", "Syntax Error", 0, 0},
		"UnknownField":  {"# é\n{\n  nothing }", "Cannot query field", 3, 3},
		"LongValue":     {"{\n getNewMessages(chatId: {a: \"" + strings.Repeat("é", 2000) + "\"}) { id } }", "expected a string", 2, 25},
		"AfterUnicode":  {`{ a: getNewMessages(chatId: "éé") { id } nothing }`, "Cannot query field", 1, 42},
		"Resolver":      {"{\n\n  getNewMessages(chatId: \"\") { id } }", "chatId is empty", 3, 3},
		"SchemaDefined": {"{ __typename } type A { a: Int }", "Only operations", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := use(e, operation(tc.document, ""), nil)
			var refused pubsub.Errors
			if !errors.As(err, &refused) {
				var payload struct{ Errors pubsub.Errors }
				if json.Unmarshal(result, &payload) != nil || len(payload.Errors) == 0 {
					t.Fatalf("got %s, %v", result, err)
				}
				refused = payload.Errors
			}
			got := refused[0]
			if !strings.Contains(got.Message, tc.message) || len(got.Message) > 1100 {
				t.Errorf("message %q", got.Message)
			}
			if tc.line > 0 && (len(got.Locations) == 0 || got.Locations[0] != pubsub.Location{Line: tc.line, Column: tc.column}) {
				t.Errorf("locations %v", got.Locations)
			}
		})
	}
}

func TestValidationStopsAtTenErrors(t *testing.T) {
	t.Parallel()
	_, err := newExecutor(t, store{}, nil).Prepare(hostile.Documents()["FieldsUnknownAllowed"])
	var refused pubsub.Errors
	if !errors.As(err, &refused) || len(refused) != 10 {
		t.Errorf("%d errors", len(refused))
	}
}

// The library once read a comment that was not ASCII as part of the document.
func TestCommentsAreNotRead(t *testing.T) {
	t.Parallel()
	got, err := use(newExecutor(t, store{}, nil), hostile.Documents()["CommentHides"], nil)
	if err != nil || string(got) != `{"data":{"__typename":"Query"}}` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestASchemaWithoutMutationsRefusesThem(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, store{}, func(c *gql.Config) { c.Mutation = nil })
	_, err := e.Prepare(operation(`mutation { a }`, ""))
	checkRefusal(t, err, pubsub.CodeValidation, "no mutation")
}
