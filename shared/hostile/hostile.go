// Package hostile has documents written to cost much, for the tests of all code that
// gets strangers' documents.
package hostile

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/pubsub"
	"subwire/shared/table"
	"subwire/shared/topology"
)

// limits are a document's unless set otherwise.
var limits = topology.Defaults()

// most is as much of a document as the limits allow.
var most = topology.MaxDocumentBytes.In(limits)

// fill repeats the text up to that many bytes.
func fill(bytes int, text string) string { return strings.Repeat(text, bytes/len(text)) }

// Each joins what make returns for 0 to n-1.
func Each(n int, make func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(make(i))
	}
	return b.String()
}

func nested(n int, open, inside, end string) string {
	return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
}

// Documents are those that would cost much more than their size suggests: each is as
// large as the limits allow, or asks for more than they do.
func Documents() map[string]pubsub.Operation {
	const field = `getNewMessages(chatId:"1")`
	all := map[string]pubsub.Operation{}
	for name, document := range map[string]string{
		"FragmentsDoubling": `{...F0}` + Each(60, func(i int) string {
			return fmt.Sprintf("fragment F%d on Query{...F%d ...F%d}", i, i+1, i+1)
		}) + `fragment F60 on Query{__typename}`,
		"FragmentsDoublingInAliases": `{` + field + `{...F0}}` + Each(60, func(i int) string {
			return fmt.Sprintf("fragment F%d on Message{a:id ...F%d ... on Message{b:id ...F%d}}", i, i+1, i+1)
		}) + `fragment F60 on Message{id}`,
		"FragmentsAllSpreadAll": `{...F0}` + Each(30, func(i int) string {
			return fmt.Sprintf("fragment F%d on Query{__typename %s}", i, Each(30-i-1, func(j int) string { return fmt.Sprintf("...F%d ", i+j+1) }))
		}),
		"FragmentCycles": `{...F0}` + Each(30, func(i int) string {
			return fmt.Sprintf("fragment F%d on Query{%s}", i, Each(30, func(j int) string { return fmt.Sprintf("...F%d ", j) }))
		}),
		"FragmentChain": `{...F0}` + Each(200, func(i int) string { return fmt.Sprintf("fragment F%d on Query{...F%d}", i, i+1) }) + `fragment F200 on Query{__typename}`,
		"FragmentChainOfArguments": `{...F0}` + Each(55, func(i int) string {
			return fmt.Sprintf(`fragment F%d on Query{...F%d a:getNewMessages(chatId:"1",limit:2){id}}`, i, i+1)
		}) + `fragment F55 on Query{__typename}`,
		"FragmentChainOfErrors": `{...F0}` + Each(55, func(i int) string {
			return fmt.Sprintf(`fragment F%d on Query{...F%d getNewMessages(chatId:true,chatId:1,x:2){id}}`, i, i+1)
		}) + `fragment F55 on Query{__typename}`,
		"FragmentCycleOfTwo": `{...A}fragment A on Query{...B}fragment B on Query{...A}`,
		"FragmentsUnused":    `{__typename}` + Each(280, func(i int) string { return fmt.Sprintf("fragment F%d on Query{__typename}", i) }),
		"FragmentsOneName":   `{...F}` + fill(most-100, "fragment F on Query{...F}"),
		"FragmentsUnknown":   `{` + Each(900, func(i int) string { return fmt.Sprintf("...F%d ", i) }) + `}`,

		"Aliases":         `{` + Each(10_000, func(i int) string { return fmt.Sprintf("a%d:%s{id}", i, field) }) + `}`,
		"AliasesThatFit":  `{` + Each(400, func(i int) string { return fmt.Sprintf("a%d:__typename ", i) }) + `}`,
		"AliasesAllowed":  `{` + Each(topology.MaxAliases.In(limits), func(i int) string { return fmt.Sprintf("a%d:%s{id}", i, field) }) + `}`,
		"ResponseAllowed": `{` + Each(18, func(i int) string { return fmt.Sprintf(`a%d:getNewMessages(chatId:"1",limit:100){...M}`, i) }) + `}fragment M on Message{id chatId content createdAt senderName}`,
		"AliasesOfMutation": `mutation{` + Each(100, func(i int) string {
			return fmt.Sprintf(`a%d:postMessage(chatId:"1",content:"x",senderName:"y"){id}`, i)
		}) + `}`,

		"SameField":             `{` + fill(most-2, field+"{id}") + `}`,
		"SameFieldAllowed":      `{` + fill(190*len(field+"{id}"), field+"{id}") + `}`,
		"SameLeaf":              `{` + fill(400*len("__typename "), "__typename ") + `}`,
		"SameFieldsNested":      `{` + fill(most/2, `__schema{types{fields{name type{name ofType{name}}}}}`) + `}`,
		"DifferentArguments":    `{` + Each(200, func(i int) string { return fmt.Sprintf(`getNewMessages(chatId:"%d"){id}`, i) }) + `}`,
		"ArgumentsInFragments":  `{` + Each(24, func(i int) string { return fmt.Sprintf("a%d:%s{...F}", i, field) }) + `}fragment F on Message{` + fill(190, "id content ") + `}`,
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
		"LongListAllowed":     `{getNewMessages(chatId:[` + fill(topology.MaxListItems.In(limits)*2, "1,") + `]){id}}`,
		"LongObject":          `{getNewMessages(chatId:{` + Each(600, func(i int) string { return fmt.Sprintf("a%d:1,", i) }) + `}){id}}`,

		"LongObjectAllowed": `{getNewMessages(chatId:{` + Each(90, func(i int) string { return fmt.Sprintf("a%d:1,", i) }) + `}){id}}`,
		"ObjectsAllowed":    `{getNewMessages(chatId:[` + Each(6, func(int) string { return `{` + Each(15, func(i int) string { return fmt.Sprintf("a%d:1,", i) }) + `}` }) + `]){id}}`,
		"ObjectsInAliases": `{` + Each(6, func(i int) string {
			return fmt.Sprintf(`a%d:getNewMessages(chatId:{`, i) + Each(15, func(i int) string { return fmt.Sprintf("a%d:1,", i) }) + `}){id}`
		}) + `}`,
		"NameLong":          `{` + fill(most-2, "a") + `}`,
		"NameLongAllowed":   `{` + Each(60, func(i int) string { return fill(250, "getNewMessagez") + fmt.Sprintf("%04d ", i) }) + `}`,
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

		"Operations":           Each(380, func(i int) string { return fmt.Sprintf("query Q%d{__typename}", i) }),
		"OperationsOneName":    fill(1900/5*len("query Q{a}"), "query Q{a}"),
		"OperationsAnonymous":  fill(1900, "{a}"),
		"OperationsSpreadOne":  Each(60, func(i int) string { return fmt.Sprintf("query Q%d($v:ID!){...F}", i) }) + `fragment F on Query{` + Each(60, func(i int) string { return fmt.Sprintf("a%d:getNewMessages(chatId:$v){id}", i) }) + `}`,
		"Variables":            `query(` + Each(380, func(i int) string { return fmt.Sprintf("$v%d:Int ", i) }) + `){__typename}`,
		"VariablesUndefined":   `{` + Each(170, func(i int) string { return fmt.Sprintf("getNewMessages(chatId:$v%d){id}", i) }) + `}`,
		"VariablesMisplaced":   `query($v:Boolean){` + Each(170, func(int) string { return "getNewMessages(chatId:$v){id}" }) + `}`,
		"VariableDefaults":     `query(` + Each(280, func(i int) string { return fmt.Sprintf("$v%d:Int!=1 ", i) }) + `){__typename}`,
		"Directives":           `{__typename ` + fill(1900, "@a") + `}`,
		"DirectivesAllowed":    `query($a:Boolean=true){` + fill(48*len("__typename @skip(if:$a) "), "__typename @skip(if:$a) ") + `__schema{types{name}}}`,
		"DirectivesOfOne":      `query($a:Boolean=true){__typename ` + fill(40*12, "@skip(if:$a)") + `}`,
		"DirectivesElsewhere":  `query ` + fill(900, "@a") + `{__typename}`,
		"ArgumentsOneName":     `{getNewMessages(` + fill(600*len(`chatId:"1" `), `chatId:"1" `) + `){id}}`,
		"ArgumentsUnknown":     `{getNewMessages(` + Each(600, func(i int) string { return fmt.Sprintf("chatIe%d:1 ", i) }) + `){id}}`,
		"FieldsUnknown":        `{` + Each(1900, func(i int) string { return fmt.Sprintf("x%d ", i) }) + `}`,
		"FieldsUnknownAllowed": `{` + Each(490, func(i int) string { return fmt.Sprintf("getNewMessage%d ", i) }) + `}`,
		"TypesUnknown":         `{` + Each(300, func(i int) string { return fmt.Sprintf("...on Messages%d{id}", i) }) + `}`,
		"TypeSystem":           fill(most, "type A{a:Int} "),
		"TypeSystemDescribed":  fill(most, `"""a"""scalar A `),
		"TypeSystemDirectives": `directive @a on ` + fill(most-20, "FIELD|") + "FIELD",

		"LargeTwice":    `{` + Each(2, func(i int) string { return fmt.Sprintf(`a%d:getNewMessages(chatId:"1",limit:100){content}`, i) }) + `}`,
		"LargeAliases":  `{` + Each(30, func(i int) string { return fmt.Sprintf(`a%d:getNewMessages(chatId:"1",limit:100){content}`, i) }) + `}`,
		"LargeContents": `{getNewMessages(chatId:"1",limit:100){` + Each(30, func(i int) string { return fmt.Sprintf("a%d:content ", i) }) + `}}`,
		"LargeKeys":     `{getNewMessages(chatId:"1",limit:100){` + Each(30, func(i int) string { return fmt.Sprintf("%s%d:id ", fill(230, "a"), i) }) + `}}`,
		"LargePages":    `{` + Each(30, func(i int) string { return fmt.Sprintf(`a%d:getNewMessages(chatId:"1",limit:%d){id}`, i, i+1) }) + `}`,

		"Introspection":         Introspection,
		"IntrospectionNested":   `{__schema{types` + nested(5, `{fields{type`, `{name}`, `}}`) + `}}`,
		"IntrospectionOfTypes":  `{__schema{types{` + nested(4, `possibleTypes{interfaces{`, `name`, `}}`) + `}}}`,
		"IntrospectionOfOne":    `{__type(name:"__Type"){fields{type{fields{type{fields{name}}}}}}}`,
		"IntrospectionAliased":  `{` + Each(30, func(i int) string { return fmt.Sprintf("a%d:__schema{types{fields{args{name}}}}", i) }) + `}`,
		"IntrospectionOfTypeOf": `{__schema{types{fields{type` + nested(9, `{ofType`, `{name}`, `}`) + `}}}}`,
		"IntrospectionWide":     `{` + Each(25, func(i int) string { return fmt.Sprintf("a%d:__schema{types{...T}}", i) }) + `}fragment T on __Type{name kind description fields{name args{name}}}`,
	} {
		all[name] = pubsub.Operation{Document: document}
	}
	for name, variables := range map[string]string{
		"VariablesLarge":       `{"c":"` + fill(1<<20, "a") + `"}`,
		"VariablesLong":        `{"c":"` + fill(most-20, "a") + `"}`,
		"VariablesDeepLists":   `{"c":` + nested(most/2-10, "[", "", "]") + `}`,
		"VariablesDeepObjects": `{"c":` + nested(most/7, `{"a":`, "1", "}") + `}`,
		"VariablesUnclosed":    `{"c":` + fill(most-20, "["),
		"VariablesLongList":    `{"c":[` + fill(most-20, "1,") + `1]}`,
		"VariablesManyKeys":    `{` + Each(1400, func(i int) string { return fmt.Sprintf(`"k%d":{},`, i) }) + `"c":"1"}`,
		"VariablesOneKey":      `{` + fill(most-20, `"c":1,`) + `"c":"1"}`,
		"VariablesHuge":        `{"c":` + fill(most-20, "9") + `}`,
		"VariablesExponent":    `{"c":1e999999999}`,
		"VariablesSurrogates":  `{"c":"` + fill(most-20, `\ud800`) + `"}`,
		"VariablesNuls":        `{"c":"` + fill(most-20, `\u0000`) + `"}`,
	} {
		all[name] = pubsub.Operation{Document: `query($c:ID!){getNewMessages(chatId:$c){id}}`, Variables: json.RawMessage(variables)}
	}
	echo := `{"c":"` + fill(8000, "a") + `"}`
	all["LargeEcho"] = pubsub.Operation{Variables: json.RawMessage(echo), Document: `mutation($c:String!){` + Each(5, func(i int) string {
		return fmt.Sprintf(`m%d:postMessage(chatId:"2",content:$c,senderName:"a"){%s}`, i, Each(5, func(i int) string { return fmt.Sprintf("a%d:content ", i) }))
	}) + `}`}
	return all
}

// Messages fills a chat with as much as one read returns. Each message is as long as
// allowed, and six times as long in JSON.
func Messages(chatID string) []chat.Message {
	all := make([]chat.Message, chat.MaxMessages)
	for i := range all {
		all[i] = chat.Message{ID: fmt.Sprintf("01%024d", i), ChatID: chatID, SenderName: "Eve",
			Content: strings.Repeat("\x01", chat.MaxContentBytes), CreatedAt: time.UnixMilli(0).UTC()}
	}
	return all
}

// Fill stores the messages of Messages.
func Fill(t testing.TB, s table.Store, chatID string) {
	t.Helper()
	for _, m := range Messages(chatID) {
		if err := chattest.Put(t.Context(), s, m); err != nil {
			t.Fatal(err)
		}
	}
}

// Introspection is what tools ask for.
const Introspection = `query IntrospectionQuery{__schema{queryType{name}mutationType{name}subscriptionType{name}
types{...FullType}directives{name description locations args{...InputValue}}}}
fragment FullType on __Type{kind name description fields(includeDeprecated:true){name description args{...InputValue}
type{...TypeRef}isDeprecated deprecationReason}inputFields{...InputValue}interfaces{...TypeRef}
enumValues(includeDeprecated:true){name description isDeprecated deprecationReason}possibleTypes{...TypeRef}}
fragment InputValue on __InputValue{name description type{...TypeRef}defaultValue}
fragment TypeRef on __Type{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name
ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}}}}}}`

// MostMemory is how many bytes any document may make the executor allocate. The race
// detector makes sync.Pool forget, so the library's regular expressions then allocate
// many times as much.
var MostMemory = map[bool]uint64{false: 50 << 20, true: 200 << 20}[race]

// Allocated is how many bytes f allocates. Tests that are not parallel run alone.
func Allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// CPU is this process's CPU time, including its garbage collector.
func CPU(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
