package gql_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/graphql-go/graphql"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
)

// Nothing goes to a client that it did not select, whatever resolvers return.

// secret is in every value here, where no operation selects it.
const secret = "hunter2"

// account is a value of the types below. They have a name, but no password.
type account struct{ Name, Password string }

// Each of these would tell the secret if encoding/json or fmt wrote it.
func (a account) MarshalJSON() ([]byte, error) { return json.Marshal(a.asMap()) }
func (a account) String() string               { return a.Password }

func (a account) asMap() map[string]string {
	return map[string]string{"name": a.Name, "password": a.Password}
}

var ada = account{"ada", secret}

// secretTypes are one of each kind of type, and wrappers for them.
type secretTypes struct {
	named map[string]graphql.Output
	set   map[string]string // what to select of a value
}

var wrappers = map[string]func(graphql.Output) graphql.Output{
	"T":      func(t graphql.Output) graphql.Output { return t },
	"T!":     func(t graphql.Output) graphql.Output { return graphql.NewNonNull(t) },
	"[T]":    func(t graphql.Output) graphql.Output { return graphql.NewList(t) },
	"[T!]!":  func(t graphql.Output) graphql.Output { return nonNullList(t) },
	"[[T]]":  func(t graphql.Output) graphql.Output { return graphql.NewList(graphql.NewList(t)) },
	"[[T!]]": func(t graphql.Output) graphql.Output { return graphql.NewList(graphql.NewList(graphql.NewNonNull(t))) },
}

func nonNullList(t graphql.Output) graphql.Output {
	return graphql.NewNonNull(graphql.NewList(graphql.NewNonNull(t)))
}

func newSecretTypes() secretTypes {
	isAccount := func(p graphql.IsTypeOfParams) bool {
		switch v := p.Value.(type) {
		case account, *account, map[string]any, map[string]string:
			return true
		case string:
			panic(v + secret)
		}
		return false
	}
	anything := graphql.NewScalar(graphql.ScalarConfig{Name: "Any", Serialize: func(v any) any { return v }})
	strict := graphql.NewScalar(graphql.ScalarConfig{Name: "Strict", Serialize: func(v any) any { panic(fmt.Sprint(v, secret)) }})
	node := graphql.NewInterface(graphql.InterfaceConfig{Name: "Node", Fields: graphql.Fields{"name": {Type: graphql.String}}})
	var user *graphql.Object
	user = graphql.NewObject(graphql.ObjectConfig{Name: "User", Interfaces: []*graphql.Interface{node}, IsTypeOf: isAccount,
		Fields: graphql.FieldsThunk(func() graphql.Fields {
			return graphql.Fields{"name": {Type: graphql.String}, "friend": {Type: user}, "any": {Type: anything},
				"tags": {Type: graphql.NewList(graphql.NewNonNull(graphql.String))}}
		})})
	named := graphql.NewUnion(graphql.UnionConfig{Name: "Named", Types: []*graphql.Object{user},
		ResolveType: func(p graphql.ResolveTypeParams) *graphql.Object {
			if isAccount(graphql.IsTypeOfParams(p)) {
				return user
			}
			return nil
		}})
	color := graphql.NewEnum(graphql.EnumConfig{Name: "Color", Values: graphql.EnumValueConfigMap{"RED": {Value: 1}}})
	fields := "{__typename ...on User{name tags any friend{name}}}"
	return secretTypes{
		named: map[string]graphql.Output{"Int": graphql.Int, "Float": graphql.Float, "Boolean": graphql.Boolean, "ID": graphql.ID,
			"String": graphql.String, "Any": anything, "Strict": strict, "Color": color, "User": user, "Node": node, "Named": named},
		set: map[string]string{"User": fields, "Node": fields, "Named": fields},
	}
}

// secretValue is a value of the type that holds the secret, where a type has room for it.
func secretValue(name, wrapper string) any {
	var v any = ada
	switch name {
	case "Int", "Float", "Color", "Boolean":
		v = 1
	case "ID", "String", "Any", "Strict":
		v = secret
	}
	for range strings.Count(wrapper, "[") {
		v = []any{v}
	}
	return v
}

// endings are how a resolver may fail although it has a value.
var endings = map[string]func(v any) (any, error){
	"Error": func(v any) (any, error) { return v, gql.Refuse("FORBIDDEN", errors.New("not yours")) },
	"Thunk": func(v any) (any, error) {
		return func() (any, error) { return v, gql.Refuse("FORBIDDEN", errors.New("no")) }, nil
	},
	"ErrorBesideAThunk": func(v any) (any, error) { return func() (any, error) { return v, nil }, errors.New("no") },
	"NilError": func(v any) (any, error) {
		var err *json.SyntaxError // its Error panics
		return v, err
	},
	"Panic":      func(v any) (any, error) { panic(v) },
	"ErrorPanic": func(v any) (any, error) { panic(fmt.Errorf("not for %v: %s", v, secret)) },
	"ThunkPanic": func(v any) (any, error) { return func() (any, error) { panic(v) }, nil },
	"TwoThunks": func(v any) (any, error) {
		return func() (any, error) { return func() (any, error) { return v, nil }, nil }, nil
	},
}

// An error drops the value, as in graphql-js, where a resolver that throws has none.
func TestAnErrorDropsTheValueOfEveryKindOfType(t *testing.T) {
	t.Parallel()
	for name := range newSecretTypes().named {
		for wrapper, wrap := range wrappers {
			for ending, end := range endings {
				t.Run(name+"/"+wrapper+"/"+ending, func(t *testing.T) {
					t.Parallel()
					types := newSecretTypes() // its own, as the library changes types when it first uses them
					resolve := func() (any, error) { return end(secretValue(name, wrapper)) }
					data := `{"f":null}`
					if strings.HasSuffix(wrapper, "!") {
						data = `null`
					}
					for _, kind := range []string{"query", "mutation", "subscription"} {
						got, logged := types.answer(t, wrap(types.named[name]), kind+"{f"+types.set[name]+"}", resolve)
						if !strings.HasPrefix(got, `{"data":`+data+`,"errors":[{"message":`) || strings.Count(got, `"path":["f"]`) != 1 {
							t.Errorf("%s: got %s", kind, got)
						}
						if strings.Contains(got+logged, secret) {
							t.Errorf("%s: the secret is in %s or in the log: %s", kind, got, logged)
						}
					}
				})
			}
		}
	}
}

// answer executes an operation on a schema whose root types have the field f of the
// type. It returns the result and the log.
func (types secretTypes) answer(t *testing.T, of graphql.Output, document string, resolve func() (any, error)) (result, logged string) {
	t.Helper()
	root := func(name string) *graphql.Object {
		f := &graphql.Field{Type: of, Resolve: func(graphql.ResolveParams) (any, error) { return resolve() }}
		return graphql.NewObject(graphql.ObjectConfig{Name: name, Fields: graphql.Fields{"f": f, "user": {Type: types.named["User"]}}})
	}
	var log bytes.Buffer
	e, err := gql.New(gql.Config{Query: root("Query"), Mutation: root("Mutation"), Log: slog.New(slog.NewJSONHandler(&log, nil)),
		Subscriptions: map[string]gql.Subscription{"f": {Type: of, Topics: func(pubsub.Viewer, map[string]any) ([]string, error) { return []string{"f"}, nil },
			Root: func(json.RawMessage) (any, error) { return resolve() }}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := use(e, operation(document, ""), &pubsub.Event{ID: "1", Topic: "f"})
	if err != nil {
		t.Fatalf("no result: %v", err)
	}
	return string(got), log.String()
}

// What is not of the field's type is an error of the field, and is neither written nor
// logged.
func TestAValueOfAnotherShapeIsNotWritten(t *testing.T) {
	t.Parallel()
	var noAccount *account
	var noThunk func() (any, error)
	deep := map[string]any{}
	deep["self"] = deep
	endless := []any{nil}
	endless[0] = endless
	failed := func(path string) string { return `{"data":{"f":null}} [` + path + `]` }
	for name, tc := range map[string]struct {
		of, wrapper string
		value       any
		want        string // the result, and the paths of its errors
	}{
		"ObjectForInt":       {"Int", "T", ada, failed(`["f"]`)},
		"ObjectForString":    {"String", "T", ada, failed(`["f"]`)},
		"MapForString":       {"String", "T", map[string]any{"password": secret}, failed(`["f"]`)},
		"ListForString":      {"String", "T", []string{secret}, failed(`["f"]`)},
		"ListForEnum":        {"Color", "T", []string{secret}, failed(`["f"]`)},
		"BytesForString":     {"String", "T", []byte(secret), failed(`["f"]`)},
		"ErrorForString":     {"String", "T", errors.New(secret), failed(`["f"]`)},
		"ChannelForString":   {"String", "T", make(chan string), failed(`["f"]`)},
		"ChannelForAny":      {"Any", "T", make(chan string), failed(`["f"]`)},
		"StructFromScalar":   {"Any", "T", ada, failed(`["f"]`)},
		"PointerFromScalar":  {"Any", "T", map[string]any{"a": &ada}, failed(`["f"]`)},
		"StructInAMap":       {"Any", "T", map[string]any{"a": []any{1, ada}}, failed(`["f"]`)},
		"KeysFromScalar":     {"Any", "T", map[account]int{ada: 1}, failed(`["f"]`)},
		"FunctionFromScalar": {"Any", "T", []any{func() any { return ada }}, failed(`["f"]`)},
		"CycleFromScalar":    {"Any", "T", deep, failed(`["f"]`)},
		"EndlessList":        {"Any", "T", endless, failed(`["f"]`)},
		"LaterNaN":           {"Float", "T", func() (any, error) { return math.NaN(), nil }, failed(`["f"]`)},
		"LaterNaNs":          {"Float", "[T]", []any{1, func() (any, error) { return math.NaN(), nil }}, `{"data":{"f":[1,null]}} [["f",1]]`},
		"Infinity":           {"Any", "T", []float64{math.Inf(1)}, failed(`["f"]`)},
		"NaN":                {"Any", "T", float32(math.NaN()), failed(`["f"]`)},
		"ScalarThatPanics":   {"Strict", "T", 1, failed(`["f"]`)},
		"ListFromScalar":     {"Any", "T", []any{map[string]string{"a": "b"}, nil, 1.5, uint8(1)}, `{"data":{"f":[{"a":"b"},null,1.5,1]}} []`},
		"TextForList":        {"String", "[T]", secret, failed(`["f"]`)},
		"ObjectForList":      {"User", "[T]", ada, failed(`["f"]`)},
		"MapForList":         {"User", "[T]", map[string]any{"name": secret}, failed(`["f"]`)},
		"FlatList":           {"Int", "[[T]]", []any{1}, `{"data":{"f":[null]}} [["f",0]]`},
		"DeepList":           {"Int", "[T]", []any{[]any{1}}, `{"data":{"f":[null]}} [["f",0]]`},
		"ItemOfAnotherType":  {"String", "[T!]!", []any{"a", ada}, `{"data":null} [["f",1]]`},
		"ItemFails": {"User", "[T]", []any{ada, func() (any, error) { return ada, errors.New("no") }},
			`{"data":{"f":[{"__typename":"User","name":"ada","tags":null,"any":null,"friend":null},null]}} [["f",1]]`},
		"RequiredItemFails":  {"User", "[T!]!", []any{ada, func() (any, error) { return ada, errors.New("no") }}, `{"data":null} [["f",1]]`},
		"TextForObject":      {"User", "T", secret, failed(`["f"]`)},
		"TextForInterface":   {"Node", "T", secret, failed(`["f"]`)},
		"TextForUnion":       {"Named", "T", secret, failed(`["f"]`)},
		"ListForInterface":   {"Node", "T", []account{ada}, failed(`["f"]`)},
		"ListForUnion":       {"Named", "T", []account{ada}, failed(`["f"]`)},
		"UnionOfNoType":      {"Named", "[T]", []any{struct{ Password string }{secret}}, `{"data":{"f":[null]}} [["f",0]]`},
		"InterfaceOfNoType":  {"Node", "[T]", []any{struct{ Password string }{secret}}, `{"data":{"f":[null]}} [["f",0]]`},
		"NilPointer":         {"User", "T", noAccount, `{"data":{"f":null}} []`},
		"NilPointerRequired": {"User", "T!", noAccount, `{"data":null} [["f"]]`},
		"NilPointerForInt":   {"Int", "T", noAccount, `{"data":{"f":null}} []`},
		"NilThunk":           {"User", "T", noThunk, failed(`["f"]`)},
		"OtherFunction":      {"User", "T", func() account { return ada }, failed(`["f"]`)},
		"Pointer":            {"Node", "T", &ada, `{"data":{"f":{"__typename":"User","name":"ada","tags":null,"any":null,"friend":null}}} []`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			types := newSecretTypes()
			document := "{f" + types.set[tc.of] + "}"
			result, logged := types.answer(t, wrappers[tc.wrapper](types.named[tc.of]), document, func() (any, error) { return tc.value, nil })
			if got := pathsOnly(t, result); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if strings.Contains(result+logged, secret) {
				t.Errorf("the secret is in %s or in the log: %s", result, logged)
			}
		})
	}
}

// pathsOnly is a result with the paths of its errors.
func pathsOnly(t *testing.T, result string) string {
	t.Helper()
	var parsed struct {
		Data   json.RawMessage
		Errors []struct{ Path json.RawMessage }
	}
	if err := json.Unmarshal([]byte(result), &parsed); err != nil {
		t.Fatalf("%v: %s", err, result)
	}
	paths := []string{}
	for _, e := range parsed.Errors {
		paths = append(paths, string(e.Path))
	}
	return fmt.Sprintf(`{"data":%s} %s`, parsed.Data, paths)
}

// Random values for random types: whatever a resolver returns, the result has the
// shape of the type, only what was selected, and no secret.
func FuzzOnlyWhatIsSelected(f *testing.F) {
	for seed := range uint64(500) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		types := newSecretTypes()
		r := randomValues{rand.New(rand.NewPCG(seed, 0))}
		name := pick(r, types.named)
		of := wrappers[pick(r, wrappers)](types.named[name])
		result, logged := types.answer(t, of, "{f"+types.set[name]+"}", func() (any, error) { return r.outcome(name, 4) })
		if strings.Contains(result+logged, secret) {
			t.Errorf("the secret is in %s or in the log: %s", result, logged)
		}
		var parsed struct {
			Data   map[string]any
			Errors []pubsub.Error
		}
		if err := json.Unmarshal([]byte(result), &parsed); err != nil {
			t.Fatalf("%v: %s", err, result)
		}
		if parsed.Data == nil && len(parsed.Errors) > 0 {
			return
		}
		if v, ok := parsed.Data["f"]; !ok || len(parsed.Data) != 1 || !fits(of, v) {
			t.Errorf("a %v is %s", of, result)
		}
	})
}

// fits reports whether a part of a result is of the type.
func fits(of graphql.Type, v any) bool {
	switch of := of.(type) {
	case *graphql.NonNull:
		return v != nil && fits(of.OfType, v)
	case *graphql.List:
		list, ok := v.([]any)
		return v == nil || ok && !slices.ContainsFunc(list, func(item any) bool { return !fits(of.OfType, item) })
	case *graphql.Object, *graphql.Interface, *graphql.Union:
		return v == nil || fitsSelection(v)
	}
	switch v.(type) {
	case nil:
		return true
	case map[string]any, []any:
		return of.Name() == "Any"
	case string:
		return of.Name() != "Int" && of.Name() != "Float" && of.Name() != "Boolean"
	}
	return of.Name() != "String" && of.Name() != "ID" && of.Name() != "Color"
}

// fitsSelection reports whether an object has the fields that newSecretTypes selects.
func fitsSelection(v any) bool {
	object, ok := v.(map[string]any)
	for key := range object {
		ok = ok && slices.Contains([]string{"__typename", "name", "tags", "any", "friend"}, key)
	}
	friend, isObject := object["friend"].(map[string]any)
	return ok && len(object) == 5 && (object["friend"] == nil || isObject && len(friend) == 1)
}

// randomValues are what a resolver may return. Whatever a type does not select has the
// secret.
type randomValues struct{ *rand.Rand }

func pick[V any](r randomValues, all map[string]V) string {
	keys := []string{}
	for key := range all {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys[r.IntN(len(keys))]
}

func (r randomValues) outcome(name string, depth int) (any, error) {
	v := r.value(name, depth)
	if r.IntN(6) == 0 {
		return endings[pick(r, endings)](v)
	}
	return v, nil
}

// value is a value for the type, or for places below it. Any's may be a map, so there
// it has no secret.
func (r randomValues) value(name string, depth int) any {
	simple := []any{nil, 1, 1.5, true, "text", -1 << 40, math.NaN(), math.Inf(-1), float32(1), uint8(1), make(chan int), complex(1, 1),
		ada, &ada, (*account)(nil), (**account)(nil), []account{ada}, []*account{&ada, nil}, [2]account{ada, ada}, []string{"a"}, []string(nil),
		func() any { return ada }, func() account { return ada }, (func() (any, error))(nil), errors.New(secret), struct{ Password string }{secret},
		struct{ account }{ada}, map[account]int{ada: 1}, map[int]string{1: secret}}
	if name != "Any" {
		simple = append(simple, ada.asMap(), []byte(secret), json.RawMessage(`{"password":"`+secret+`"}`))
	}
	if depth == 0 {
		return simple[r.IntN(len(simple))]
	}
	switch r.IntN(4) {
	case 0:
		items := []any{}
		for range r.IntN(4) {
			items = append(items, r.value(name, depth-1))
		}
		return items
	case 1:
		return func() (any, error) { return r.outcome(name, depth-1) }
	case 2:
		if name == "Any" {
			return map[string]any{"a": r.value(name, depth-1), "b": nil}
		}
		return map[string]any{"name": r.value("String", depth-1), "tags": r.value("String", depth-1),
			"any": r.value("Any", depth-1), "friend": r.value("User", depth-1), "password": secret}
	}
	return simple[r.IntN(len(simple))]
}
