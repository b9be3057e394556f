package gql_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/graphql-go/graphql"

	"subwire/shared/gql"
	"subwire/shared/pubsub"
)

// langExecutor has a schema of all kinds of types. Its resolvers return what they were
// given, or fail in every way they can. scripts/langdiff compares such a schema with
// graphql-js; here is what must hold whatever that says.
func langExecutor(t *testing.T, log *[]string) *gql.Executor {
	t.Helper()
	color := graphql.NewEnum(graphql.EnumConfig{Name: "Color", Values: graphql.EnumValueConfigMap{"RED": {Value: 1}, "BLUE": {Value: 2}}})
	filter := graphql.NewInputObject(graphql.InputObjectConfig{Name: "Filter", Fields: graphql.InputObjectConfigFieldMap{
		"min": {Type: graphql.NewNonNull(graphql.Int)}, "max": {Type: graphql.Int, DefaultValue: 9}, "color": {Type: color}}})
	echo := &graphql.Field{Type: graphql.String, Args: graphql.FieldConfigArgument{
		"int": {Type: graphql.Int, DefaultValue: 7}, "float": {Type: graphql.Float}, "string": {Type: graphql.String}, "boolean": {Type: graphql.Boolean},
		"id": {Type: graphql.ID}, "ints": {Type: graphql.NewList(graphql.NewNonNull(graphql.Int))}, "color": {Type: color}, "filter": {Type: filter}},
		Resolve: func(p graphql.ResolveParams) (any, error) {
			text, err := json.Marshal(p.Args)
			return string(text), err
		}}
	anything := graphql.NewScalar(graphql.ScalarConfig{Name: "Any", Serialize: func(v any) any { return v }})
	var node *graphql.Interface
	var thing, other *graphql.Object
	node = graphql.NewInterface(graphql.InterfaceConfig{Name: "Node", Fields: graphql.Fields{"a": {Type: graphql.String}},
		ResolveType: func(p graphql.ResolveTypeParams) *graphql.Object {
			return map[any]*graphql.Object{"thing": thing, "other": other}[p.Value]
		}})
	constant := func(t graphql.Output, value any, err error) *graphql.Field {
		return &graphql.Field{Type: t, Resolve: func(graphql.ResolveParams) (any, error) { return value, err }}
	}
	thing = graphql.NewObject(graphql.ObjectConfig{Name: "Thing", Interfaces: []*graphql.Interface{node}, Fields: graphql.FieldsThunk(func() graphql.Fields {
		required := graphql.NewNonNull(graphql.String)
		return graphql.Fields{
			"a": constant(graphql.String, "A", nil), "b": constant(required, "B", nil), "self": constant(thing, "thing", nil),
			"must": constant(graphql.NewNonNull(thing), "thing", nil), "fails": constant(graphql.String, "secret", errors.New("no")),
			"mustFail": constant(required, "secret", errors.New("no")), "null": constant(required, nil, nil),
			"wrong": constant(graphql.Int, "no number", nil), "large": constant(graphql.Int, 1<<40, nil), "struct": constant(graphql.String, struct{ A int }{1}, nil),
			"color": constant(color, 3, nil), "noList": constant(graphql.NewList(graphql.Int), 1, nil),
			"holes": constant(graphql.NewList(required), []any{"x", nil, "y"}, nil), "items": constant(graphql.NewList(graphql.Int), []any{1, "x", 3}, nil),
			"nan": constant(graphql.Float, math.NaN(), nil), "nans": constant(graphql.NewList(graphql.Float), []float64{1, math.NaN()}, nil),
			"noJSON": constant(anything, math.Inf(1), nil), "nanOfAny": constant(anything, math.NaN(), nil),
			"unknown": constant(node, "neither", nil), "nodes": constant(graphql.NewList(node), []any{"thing", "other"}, nil),
		}
	})})
	other = graphql.NewObject(graphql.ObjectConfig{Name: "Other", Interfaces: []*graphql.Interface{node},
		Fields: graphql.Fields{"a": {Type: graphql.String, Args: graphql.FieldConfigArgument{"n": {Type: graphql.Int, DefaultValue: 5}},
			Resolve: func(p graphql.ResolveParams) (any, error) { return p.Args["n"], nil }}, "c": constant(graphql.String, "C", nil)}})
	write := &graphql.Field{Type: graphql.String, Args: graphql.FieldConfigArgument{"n": {Type: graphql.String}},
		Resolve: func(p graphql.ResolveParams) (any, error) {
			*log = append(*log, p.Args["n"].(string))
			return nil, nil
		}}
	e, err := gql.New(gql.Config{Introspection: true, Log: slog.New(slog.DiscardHandler),
		Query:    graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{"echo": echo, "thing": constant(thing, "thing", nil), "other": constant(other, "other", nil)}}),
		Mutation: graphql.NewObject(graphql.ObjectConfig{Name: "Mutation", Fields: graphql.Fields{"write": write}})})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestValuesAreCoercedBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	e := langExecutor(t, nil)
	for name, tc := range map[string]struct{ document, variables, want string }{ // the arguments, or what a refusal says
		"Default":           {`{echo}`, ``, `{"int":7}`},
		"Null":              {`{echo(int:null)}`, ``, `{"int":null}`},
		"NullVariable":      {`query($n:Int=3){echo(int:$n)}`, `{"n":null}`, `{"int":null}`},
		"AbsentVariable":    {`query($n:Int,$s:String){echo(int:$n,string:$s)}`, ``, `{"int":7}`},
		"VariableDefault":   {`query($n:Int=3){echo(int:$n)}`, `{}`, `{"int":3}`},
		"Fraction":          {`query($n:Int){echo(int:$n)}`, `{"n":1.7}`, "BAD_USER_INPUT"},
		"NumberInAString":   {`query($n:Int){echo(int:$n)}`, `{"n":"3"}`, "BAD_USER_INPUT"},
		"BooleanForInt":     {`query($n:Int){echo(int:$n)}`, `{"n":true}`, "BAD_USER_INPUT"},
		"TooLarge":          {`query($n:Int){echo(int:$n)}`, `{"n":2147483648}`, "BAD_USER_INPUT"},
		"TooLargeLiteral":   {`{echo(int:2147483648)}`, ``, "GRAPHQL_VALIDATION_FAILED"},
		"WholeFloat":        {`query($n:Int,$f:Float){echo(int:$n,float:$f)}`, `{"n":1e2,"f":3}`, `{"float":3,"int":100}`},
		"LongID":            {`query($n:ID){echo(id:$n)}`, `{"n":12345678901234567890}`, `{"id":"12345678901234567890","int":7}`},
		"LongIDLiteral":     {`{echo(id:12345678901234567890)}`, ``, `{"id":"12345678901234567890","int":7}`},
		"ObjectForID":       {`query($n:ID){echo(id:$n)}`, `{"n":{"a":1}}`, "BAD_USER_INPUT"},
		"ObjectForString":   {`query($n:String){echo(string:$n)}`, `{"n":{"a":1}}`, "BAD_USER_INPUT"},
		"TextForBoolean":    {`query($b:Boolean!){echo @include(if:$b)}`, `{"b":"no"}`, "BAD_USER_INPUT"},
		"ListOfOne":         {`query($n:[Int!]){echo(ints:$n)}`, `{"n":3}`, `{"int":7,"ints":[3]}`},
		"NullInAList":       {`query($n:[Int!]){echo(ints:$n)}`, `{"n":[3,null]}`, "BAD_USER_INPUT"},
		"Enum":              {`query($c:Color){echo(color:$c)}`, `{"c":"BLUE"}`, `{"color":2,"int":7}`},
		"EnumUnknown":       {`query($c:Color){echo(color:$c)}`, `{"c":"GREEN"}`, "BAD_USER_INPUT"},
		"EnumAsAString":     {`{echo(color:"BLUE")}`, ``, "GRAPHQL_VALIDATION_FAILED"},
		"InputObject":       {`query($f:Filter){echo(filter:$f)}`, `{"f":{"min":1,"color":"RED"}}`, `{"filter":{"color":1,"max":9,"min":1},"int":7}`},
		"InputVariable":     {`query($m:Int!,$c:Color){echo(filter:{min:$m,color:$c,max:null})}`, `{"m":1}`, `{"filter":{"max":null,"min":1},"int":7}`},
		"InputMissing":      {`query($f:Filter){echo(filter:$f)}`, `{"f":{}}`, "BAD_USER_INPUT"},
		"InputUnknown":      {`query($f:Filter){echo(filter:$f)}`, `{"f":{"min":1,"x":1}}`, "BAD_USER_INPUT"},
		"BlockString":       {`{echo(string:"""Shopping:` + "\n  - milk\n    - fresh\n" + `""")}`, ``, `{"int":7,"string":"Shopping:\n- milk\n  - fresh"}`},
		"Pair":              {`{echo(string:"\ud83d\ude00\u{1f600}")}`, ``, `{"int":7,"string":"😀😀"}`},
		"HalfAPair":         {`{echo(string:"\ud83d")}`, ``, "GRAPHQL_PARSE_FAILED"},
		"HalfAPairVariable": {`query($s:String){echo(string:$s)}`, `{"s":"\ud83d"}`, "BAD_USER_INPUT"},
		"HalfAPairUnused":   {`{echo}`, `{"\ude00":1}`, "BAD_USER_INPUT"},
		"PairVariable":      {`query($s:String){echo(string:$s)}`, `{"s":"\ud83d\ude00"}`, `{"int":7,"string":"😀"}`},
		"NoUTF8Variable":    {`query($s:String){echo(string:$s)}`, "{\"s\":\"\xff\"}", "BAD_USER_INPUT"},
		"NameAfterNumber":   {`{echo(int:1float:2)}`, ``, "GRAPHQL_PARSE_FAILED"},
		"DirectiveTwice":    {`{echo @skip(if:false) @skip(if:false)}`, ``, "GRAPHQL_VALIDATION_FAILED"},
		"FragmentVariable":  {`{...F} fragment F($a:Int) on Query{echo}`, ``, "GRAPHQL_PARSE_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := use(e, operation(tc.document, tc.variables), nil)
			if refused, ok := errors.AsType[pubsub.Errors](err); ok {
				if code := refused[0].Extensions["code"]; code != tc.want {
					t.Errorf("refused with %v: %v", code, err)
				}
				return
			}
			var result struct{ Data struct{ Echo string } }
			if err := json.Unmarshal(got, &result); err != nil || result.Data.Echo != tc.want {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

// GraphQL specification, "Handling Execution Errors": null moves up to the nearest
// nullable parent, with one error for each cause.
func TestErrorsOfFields(t *testing.T) {
	t.Parallel()
	e := langExecutor(t, nil)
	for name, tc := range map[string]struct {
		document, data string
		errors         string // paths
	}{
		"NoValueBesideAnError": {`{thing{a fails}}`, `{"thing":{"a":"A","fails":null}}`, `["thing","fails"]`},
		"ParentBecomesNull":    {`{thing{a self{a x:mustFail}}}`, `{"thing":{"a":"A","self":null}}`, `["thing","self","x"]`},
		"Grandparent":          {`{thing{must{must{null}}}}`, `{"thing":null}`, `["thing","must","must","null"]`},
		"FirstOfTwo":           {`{thing{mustFail null}}`, `{"thing":null}`, `["thing","mustFail"]`},
		"EarlierStays":         {`{thing{fails null wrong}}`, `{"thing":null}`, `["thing","fails"] ["thing","null"]`},
		"WrongLeaves":          {`{thing{wrong large struct color}}`, `{"thing":{"wrong":null,"large":null,"struct":null,"color":null}}`, `["thing","wrong"] ["thing","large"] ["thing","struct"] ["thing","color"]`},
		"NaN":                  {`{thing{a nan}}`, `{"thing":{"a":"A","nan":null}}`, `["thing","nan"]`},
		"NaNInAList":           {`{thing{nans}}`, `{"thing":{"nans":[1,null]}}`, `["thing","nans",1]`},
		"NoJSON":               {`{thing{a noJSON nanOfAny}}`, `{"thing":{"a":"A","noJSON":null,"nanOfAny":null}}`, `["thing","noJSON"] ["thing","nanOfAny"]`},
		"NoList":               {`{thing{noList}}`, `{"thing":{"noList":null}}`, `["thing","noList"]`},
		"ListItem":             {`{thing{items}}`, `{"thing":{"items":[1,null,3]}}`, `["thing","items",1]`},
		"ListOfNonNull":        {`{thing{holes}}`, `{"thing":{"holes":null}}`, `["thing","holes",1]`},
		"UnknownType":          {`{thing{unknown{a}}}`, `{"thing":{"unknown":null}}`, `["thing","unknown"]`},
		"ArgumentNull":         {`query($n:Boolean=true){thing{a @include(if:$n)}}`, `{"thing":{"a":"A"}}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := use(e, operation(tc.document, ""), nil)
			var result struct {
				Data   json.RawMessage
				Errors []struct{ Path json.RawMessage }
			}
			if err != nil || json.Unmarshal(got, &result) != nil || string(result.Data) != tc.data || strings.Contains(string(got), "secret") {
				t.Errorf("got %s, %v", got, err)
			}
			var paths []string
			for _, e := range result.Errors {
				paths = append(paths, string(e.Path))
			}
			if got := strings.Join(paths, " "); got != tc.errors {
				t.Errorf("errors at %s, want %s", got, tc.errors)
			}
		})
	}
}

// GraphQL specification, "Field Collection": a fragment counts once in a set.
func TestAFragmentThatIsSpreadTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	got, err := use(langExecutor(t, nil), operation(`{thing{...F ...F}}fragment F on Thing{fails}`, ""), nil)
	if err != nil || !strings.Contains(string(got), `"locations":[{"line":1,"column":39}]`) {
		t.Errorf("got %s, %v", got, err)
	}
}

// If a variable makes an argument null where it may not be, that is an error of its
// field, at the value.
func TestAnArgumentMayTurnOutNull(t *testing.T) {
	t.Parallel()
	document := `query($n:Int=1){thing{a} echo(filter:{min:$n})}`
	got, err := use(langExecutor(t, nil), operation(document, `{"n":null}`), nil)
	want := `{"data":{"thing":{"a":"A"},"echo":null},"errors":[{"message":`
	if err != nil || !strings.HasPrefix(string(got), want) || !strings.Contains(string(got), `"column":38`) {
		t.Errorf("got %s, %v", got, err)
	}
}

// An object's fields are in the order of its own type, with the defaults of its own
// arguments.
func TestObjectsOfAnInterface(t *testing.T) {
	t.Parallel()
	got, err := use(langExecutor(t, nil), operation(`{thing{nodes{... on Other{c} a __typename ... on Thing{b}}}}`, ""), nil)
	want := `{"data":{"thing":{"nodes":[{"a":"A","__typename":"Thing","b":"B"},{"c":"C","a":"5","__typename":"Other"}]}}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestMutationsRunInTheOrderOfSelection(t *testing.T) {
	t.Parallel()
	var log []string
	_, err := use(langExecutor(t, &log), operation(`mutation{a:write(n:"a") ...F c:write(n:"c")} fragment F on Mutation{b:write(n:"b")}`, ""), nil)
	if got := strings.Join(log, ""); err != nil || got != "abc" {
		t.Errorf("ran %s, %v", got, err)
	}
}

func TestTheSDLIsOfTheTypesThatRun(t *testing.T) {
	t.Parallel()
	got := langExecutor(t, nil).SDL()
	for _, want := range []string{
		"enum Color {\n  BLUE\n  RED\n}\n",
		"input Filter {\n  color: Color\n  max: Int = 9\n  min: Int!\n}\n",
		"interface Node {\n  a: String\n}\n",
		"type Other implements Node {\n  a(n: Int = 5): String\n  c: String\n}\n",
		"  echo(boolean: Boolean, color: Color, filter: Filter, float: Float, id: ID, int: Int = 7, ints: [Int!], string: String): String\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestIntrospectionIsOfSeptember2025(t *testing.T) {
	t.Parallel()
	got, err := use(langExecutor(t, nil), operation(`{__schema{description directives{name isRepeatable args(includeDeprecated:true){name}}}
		__type(name:"Filter"){isOneOf specifiedByURL inputFields(includeDeprecated:true){name type{kind ofType{name}} defaultValue isDeprecated deprecationReason}}}`, ""), nil)
	want := `{"data":{"__schema":{"description":null,"directives":[` +
		`{"name":"deprecated","isRepeatable":false,"args":[{"name":"reason"}]},{"name":"include","isRepeatable":false,"args":[{"name":"if"}]},` +
		`{"name":"oneOf","isRepeatable":false,"args":[]},{"name":"skip","isRepeatable":false,"args":[{"name":"if"}]},` +
		`{"name":"specifiedBy","isRepeatable":false,"args":[{"name":"url"}]}]},"__type":{"isOneOf":false,"specifiedByURL":null,"inputFields":[` +
		`{"name":"color","type":{"kind":"ENUM","ofType":null},"defaultValue":null,"isDeprecated":false,"deprecationReason":null},` +
		`{"name":"max","type":{"kind":"SCALAR","ofType":null},"defaultValue":"9","isDeprecated":false,"deprecationReason":null},` +
		`{"name":"min","type":{"kind":"NON_NULL","ofType":{"name":"Int"}},"defaultValue":null,"isDeprecated":false,"deprecationReason":null}]}}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}
