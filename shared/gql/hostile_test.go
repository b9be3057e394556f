package gql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// most is as much of a document as the limits let through.
var most = topology.DefaultLimits.DocumentBytes

// fill repeats the text until there are so many bytes.
func fill(bytes int, text string) string { return strings.Repeat(text, bytes/len(text)) }

// each joins what make returns for 0 to n-1.
func each(n int, make func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(make(i))
	}
	return b.String()
}

func nested(n int, open, inside, end string) string {
	return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
}

// hostile are documents that cost much more than their size says, if they are
// let: each is as large as the limits allow, or asks for more than they do.
func hostile() map[string]pubsub.Operation {
	const field = `getNewMessages(chatId:"1")`
	all := map[string]pubsub.Operation{}
	for name, document := range map[string]string{
		"FragmentsDoubling": `{...F0}` + each(60, func(i int) string {
			return fmt.Sprintf("fragment F%d on Query{...F%d ...F%d}", i, i+1, i+1)
		}) + `fragment F60 on Query{__typename}`,
		"FragmentsDoublingInAliases": `{` + field + `{...F0}}` + each(60, func(i int) string {
			return fmt.Sprintf("fragment F%d on Message{a:id ...F%d ... on Message{b:id ...F%d}}", i, i+1, i+1)
		}) + `fragment F60 on Message{id}`,
		"FragmentsAllSpreadAll": `{...F0}` + each(30, func(i int) string {
			return fmt.Sprintf("fragment F%d on Query{__typename %s}", i, each(30-i-1, func(j int) string { return fmt.Sprintf("...F%d ", i+j+1) }))
		}),
		"FragmentCycles": `{...F0}` + each(30, func(i int) string {
			return fmt.Sprintf("fragment F%d on Query{%s}", i, each(30, func(j int) string { return fmt.Sprintf("...F%d ", j) }))
		}),
		"FragmentChain": `{...F0}` + each(200, func(i int) string { return fmt.Sprintf("fragment F%d on Query{...F%d}", i, i+1) }) + `fragment F200 on Query{__typename}`,
		"FragmentChainOfArguments": `{...F0}` + each(55, func(i int) string {
			return fmt.Sprintf(`fragment F%d on Query{...F%d a:getNewMessages(chatId:"1",limit:2){id}}`, i, i+1)
		}) + `fragment F55 on Query{__typename}`,
		"FragmentChainOfErrors": `{...F0}` + each(55, func(i int) string {
			return fmt.Sprintf(`fragment F%d on Query{...F%d getNewMessages(chatId:true,chatId:1,x:2){id}}`, i, i+1)
		}) + `fragment F55 on Query{__typename}`,
		"FragmentCycleOfTwo": `{...A}fragment A on Query{...B}fragment B on Query{...A}`,
		"FragmentsUnused":    `{__typename}` + each(280, func(i int) string { return fmt.Sprintf("fragment F%d on Query{__typename}", i) }),
		"FragmentsOneName":   `{...F}` + fill(most-100, "fragment F on Query{...F}"),
		"FragmentsUnknown":   `{` + each(900, func(i int) string { return fmt.Sprintf("...F%d ", i) }) + `}`,

		"Aliases":         `{` + each(10_000, func(i int) string { return fmt.Sprintf("a%d:%s{id}", i, field) }) + `}`,
		"AliasesThatFit":  `{` + each(400, func(i int) string { return fmt.Sprintf("a%d:__typename ", i) }) + `}`,
		"AliasesAllowed":  `{` + each(topology.DefaultLimits.Aliases, func(i int) string { return fmt.Sprintf("a%d:%s{id}", i, field) }) + `}`,
		"ResponseAllowed": `{` + each(18, func(i int) string { return fmt.Sprintf(`a%d:getNewMessages(chatId:"1",limit:100){...M}`, i) }) + `}fragment M on Message{id chatId content createdAt senderName}`,
		"AliasesOfMutation": `mutation{` + each(100, func(i int) string {
			return fmt.Sprintf(`a%d:postMessage(chatId:"1",content:"x",senderName:"y"){id}`, i)
		}) + `}`,

		"SameField":             `{` + fill(most-2, field+"{id}") + `}`,
		"SameFieldAllowed":      `{` + fill(190*len(field+"{id}"), field+"{id}") + `}`,
		"SameLeaf":              `{` + fill(400*len("__typename "), "__typename ") + `}`,
		"SameFieldsNested":      `{` + fill(most/2, `__schema{types{fields{name type{name ofType{name}}}}}`) + `}`,
		"DifferentArguments":    `{` + each(200, func(i int) string { return fmt.Sprintf(`getNewMessages(chatId:"%d"){id}`, i) }) + `}`,
		"ArgumentsInFragments":  `{` + each(24, func(i int) string { return fmt.Sprintf("a%d:%s{...F}", i, field) }) + `}fragment F on Message{` + fill(190, "id content ") + `}`,
		"InlineFragments":       `{` + nested(90, "...{", "__typename", "}") + `}`,
		"InlineFragmentsInARow": `{` + fill(most-2, "...{__typename}") + `}`,

		"DeepFields":          nested(most/10, "{__schema", "", "}"),
		"DeepSelections":      nested(most/2, "{", "", "}"),
		"DeepInlineFragments": `{` + nested(most/5, "...{", "a", "}") + `}`,
		"DeepLists":           `{a(b:` + nested(most/2-10, "[", "", "]") + `)}`,
		"DeepListsAllowed":    `{getNewMessages(chatId:` + nested(90, "[", "1", "]") + `){id}}`,
		"DeepObjects":         `{a(b:` + nested(most/5, "{a:", "1", "}") + `)}`,
		"DeepTypes":           `query($a:` + nested(most/2-20, "[", "Int", "]") + `){__typename}`,
		"DeepUnclosed":        strings.Repeat("{a", most/2),
		"LongList":            `{a(b:[` + fill(most-10, "1,") + `])}`,
		"LongListAllowed":     `{getNewMessages(chatId:[` + fill(topology.DefaultLimits.ListItems*2, "1,") + `]){id}}`,
		"LongObject":          `{getNewMessages(chatId:{` + each(600, func(i int) string { return fmt.Sprintf("a%d:1,", i) }) + `}){id}}`,

		"LongObjectAllowed": `{getNewMessages(chatId:{` + each(90, func(i int) string { return fmt.Sprintf("a%d:1,", i) }) + `}){id}}`,
		"ObjectsAllowed":    `{getNewMessages(chatId:[` + each(6, func(int) string { return `{` + each(15, func(i int) string { return fmt.Sprintf("a%d:1,", i) }) + `}` }) + `]){id}}`,
		"ObjectsInAliases": `{` + each(6, func(i int) string {
			return fmt.Sprintf(`a%d:getNewMessages(chatId:{`, i) + each(15, func(i int) string { return fmt.Sprintf("a%d:1,", i) }) + `}){id}`
		}) + `}`,
		"NameLong":          `{` + fill(most-2, "a") + `}`,
		"NameLongAllowed":   `{` + each(60, func(i int) string { return fill(250, "getNewMessagez") + fmt.Sprintf("%04d ", i) }) + `}`,
		"NumberLong":        `{getNewMessages(chatId:"1",limit:` + fill(most-60, "9") + `){id}}`,
		"NumberHuge":        `{getNewMessages(chatId:"1",limit:` + fill(250, "9") + `){id}}`,
		"NumberExponent":    `{getNewMessages(chatId:"1",limit:1e999999999){id}}`,
		"NumberNegative":    `{getNewMessages(chatId:"1",limit:-9223372036854775808){id}}`,
		"LimitHuge":         `{getNewMessages(chatId:"1",limit:2147483647){id content}}`,
		"StringLong":        `{getNewMessages(chatId:"` + fill(most-60, "a") + `"){id}}`,
		"StringBadAtTheEnd": `{getNewMessages(chatId:"` + fill(most-60, "a") + `\q"){id}}`,
		"StringUnclosed":    `{getNewMessages(chatId:"` + fill(most-60, "a"),
		"StringEscapes":     `{getNewMessages(chatId:"` + fill(most-60, `\u0041`) + `"){id}}`,
		"Surrogates":        `{getNewMessages(chatId:"` + fill(most-60, `\uD800`) + `"){id}}`,
		"BlockString":       `{getNewMessages(chatId:"""` + fill(most-60, "\n   ") + `"""){id}}`,
		"BlockStringQuotes": `{getNewMessages(chatId:"""` + fill(most-60, `\"""`) + `"""){id}}`,
		"ErrorInLastColumn": `{` + fill(1900, "a ") + `!}`,
		"ColumnOfAnError":   fill(1900, "$"),
		"ColumnInAString":   `{a(b:"` + fill(most-20, "a") + `" !)}`,

		"ByteOrderMarks":   fill(most-20, "\ufeff") + `{__typename}`,
		"CommentUnicode":   "#" + fill(most-20, "é") + "\n{__typename}",
		"CommentsMany":     fill(most-20, "#\n") + `{__typename}`,
		"CommentHides":     "#" + fill(400, "é") + " {a{b}}\n" + `{__typename}`,
		"Nuls":             `{__typename` + fill(most-20, "\x00") + `}`,
		"RightToLeft":      `{__typename` + fill(most-20, "\u202e") + `}`,
		"Overlong":         "{__typename\xc0\xaf\xe0\x80\xaf}",
		"InvalidUTF8":      `{getNewMessages(chatId:"` + fill(most-60, "\xff") + `"){id}}`,
		"UnicodeInStrings": `{getNewMessages(chatId:"` + fill(most-60, "\U0001F600") + `"){id}}`,
		"Blanks":           fill(most-20, " \t\r\n,") + `{__typename}`,

		"Operations":           each(380, func(i int) string { return fmt.Sprintf("query Q%d{__typename}", i) }),
		"OperationsOneName":    fill(1900/5*len("query Q{a}"), "query Q{a}"),
		"OperationsAnonymous":  fill(1900, "{a}"),
		"OperationsSpreadOne":  each(60, func(i int) string { return fmt.Sprintf("query Q%d($v:ID!){...F}", i) }) + `fragment F on Query{` + each(60, func(i int) string { return fmt.Sprintf("a%d:getNewMessages(chatId:$v){id}", i) }) + `}`,
		"Variables":            `query(` + each(380, func(i int) string { return fmt.Sprintf("$v%d:Int ", i) }) + `){__typename}`,
		"VariablesUndefined":   `{` + each(170, func(i int) string { return fmt.Sprintf("getNewMessages(chatId:$v%d){id}", i) }) + `}`,
		"VariablesMisplaced":   `query($v:Boolean){` + each(170, func(int) string { return "getNewMessages(chatId:$v){id}" }) + `}`,
		"VariableDefaults":     `query(` + each(280, func(i int) string { return fmt.Sprintf("$v%d:Int!=1 ", i) }) + `){__typename}`,
		"Directives":           `{__typename ` + fill(1900, "@a") + `}`,
		"DirectivesAllowed":    `query($a:Boolean=true){` + fill(48*len("__typename @skip(if:$a) "), "__typename @skip(if:$a) ") + `__schema{types{name}}}`,
		"DirectivesOfOne":      `query($a:Boolean=true){__typename ` + fill(40*12, "@skip(if:$a)") + `}`,
		"DirectivesElsewhere":  `query ` + fill(900, "@a") + `{__typename}`,
		"ArgumentsOneName":     `{getNewMessages(` + fill(600*len(`chatId:"1" `), `chatId:"1" `) + `){id}}`,
		"ArgumentsUnknown":     `{getNewMessages(` + each(600, func(i int) string { return fmt.Sprintf("chatIe%d:1 ", i) }) + `){id}}`,
		"FieldsUnknown":        `{` + each(1900, func(i int) string { return fmt.Sprintf("x%d ", i) }) + `}`,
		"FieldsUnknownAllowed": `{` + each(490, func(i int) string { return fmt.Sprintf("getNewMessage%d ", i) }) + `}`,
		"TypesUnknown":         `{` + each(300, func(i int) string { return fmt.Sprintf("...on Messages%d{id}", i) }) + `}`,
		"TypeSystem":           fill(most, "type A{a:Int} "),
		"TypeSystemDescribed":  fill(most, `"""a"""scalar A `),
		"TypeSystemDirectives": `directive @a on ` + fill(most-20, "FIELD|") + "FIELD",

		"Introspection":         introspection,
		"IntrospectionNested":   `{__schema{types` + nested(5, `{fields{type`, `{name}`, `}}`) + `}}`,
		"IntrospectionOfTypes":  `{__schema{types{` + nested(4, `possibleTypes{interfaces{`, `name`, `}}`) + `}}}`,
		"IntrospectionOfOne":    `{__type(name:"__Type"){fields{type{fields{type{fields{name}}}}}}}`,
		"IntrospectionAliased":  `{` + each(30, func(i int) string { return fmt.Sprintf("a%d:__schema{types{fields{args{name}}}}", i) }) + `}`,
		"IntrospectionOfTypeOf": `{__schema{types{fields{type` + nested(9, `{ofType`, `{name}`, `}`) + `}}}}`,
		"IntrospectionWide":     `{` + each(25, func(i int) string { return fmt.Sprintf("a%d:__schema{types{...T}}", i) }) + `}fragment T on __Type{name kind description fields{name args{name}}}`,
	} {
		all[name] = operation(document, "")
	}
	for name, variables := range map[string]string{
		"VariablesLarge":       `{"c":"` + fill(1<<20, "a") + `"}`,
		"VariablesLong":        `{"c":"` + fill(most-20, "a") + `"}`,
		"VariablesDeepLists":   `{"c":` + nested(most/2-10, "[", "", "]") + `}`,
		"VariablesDeepObjects": `{"c":` + nested(most/7, `{"a":`, "1", "}") + `}`,
		"VariablesUnclosed":    `{"c":` + fill(most-20, "["),
		"VariablesLongList":    `{"c":[` + fill(most-20, "1,") + `1]}`,
		"VariablesManyKeys":    `{` + each(1400, func(i int) string { return fmt.Sprintf(`"k%d":{},`, i) }) + `"c":"1"}`,
		"VariablesOneKey":      `{` + fill(most-20, `"c":1,`) + `"c":"1"}`,
		"VariablesHuge":        `{"c":` + fill(most-20, "9") + `}`,
		"VariablesExponent":    `{"c":1e999999999}`,
		"VariablesSurrogates":  `{"c":"` + fill(most-20, `\ud800`) + `"}`,
		"VariablesNuls":        `{"c":"` + fill(most-20, `\u0000`) + `"}`,
	} {
		all[name] = operation(`query($c:ID!){getNewMessages(chatId:$c){id}}`, variables)
	}
	return all
}

// introspection is what tools ask for.
const introspection = `query IntrospectionQuery{__schema{queryType{name}mutationType{name}subscriptionType{name}
types{...FullType}directives{name description locations args{...InputValue}}}}
fragment FullType on __Type{kind name description fields(includeDeprecated:true){name description args{...InputValue}
type{...TypeRef}isDeprecated deprecationReason}inputFields{...InputValue}interfaces{...TypeRef}
enumValues(includeDeprecated:true){name description isDeprecated deprecationReason}possibleTypes{...TypeRef}}
fragment InputValue on __InputValue{name description type{...TypeRef}defaultValue}
fragment TypeRef on __Type{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name
ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}}}}}}`

// use prepares an operation and runs it, as often as it is let.
func use(e *gql.Executor, op pubsub.Operation, event *pubsub.Event) (json.RawMessage, error) {
	x, err := e.Prepare(op)
	if err != nil {
		return nil, err
	}
	return x.Run(context.Background(), event)
}

// mostMemory is how many bytes any document may make the executor allocate. The
// race detector makes sync.Pool forget, and so the library's regular
// expressions allocate many times as much.
var mostMemory = map[bool]uint64{false: 50 << 20, true: 200 << 20}[race]

// allocated is how many bytes f allocates. Tests that are not parallel run alone.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestNoDocumentCostsTooMuch(t *testing.T) { // not parallel: it measures
	e := newExecutor(t, store{copies: true}, nil)
	for name, op := range hostile() {
		t.Run(name, func(t *testing.T) {
			var err error
			if n := allocated(func() { _, err = use(e, op, nil) }); n > mostMemory {
				t.Errorf("%d MB allocated", n>>20)
			}
			var refused pubsub.Errors
			if err != nil && !errors.As(err, &refused) {
				t.Errorf("not refused but failed: %v", err)
			}
		})
	}
}

// cpu is how long this process has computed, its garbage collector included.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkHostile prints what each of the hostile documents costs: in CPU,
// however busy the machine is, and in bytes.
func BenchmarkHostile(b *testing.B) {
	e := newExecutor(b, store{copies: true}, nil)
	for name, op := range hostile() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				_, _ = use(e, op, nil)
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
