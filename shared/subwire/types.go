package subwire

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/graphql-go/graphql"
)

// goTypes makes GraphQL types of Go types, by the rules in the package comment.
type goTypes struct {
	enums   map[reflect.Type]*graphql.Enum
	objects map[reflect.Type]*graphql.Object
	inputs  map[reflect.Type]*graphql.InputObject
	extra   map[reflect.Type][]root
	errs    []error
}

func newGoTypes() goTypes {
	return goTypes{map[reflect.Type]*graphql.Enum{}, map[reflect.Type]*graphql.Object{},
		map[reflect.Type]*graphql.InputObject{}, map[reflect.Type][]root{}, nil}
}

var timeType = typeOf[time.Time]()

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func (t *goTypes) fail(format string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf(format, args...))
}

func (t *goTypes) enum(of reflect.Type, name string, values []string) {
	config := graphql.EnumValueConfigMap{}
	for _, v := range values {
		config[v] = &graphql.EnumValueConfig{Value: v}
	}
	t.enums[of] = graphql.NewEnum(graphql.EnumConfig{Name: name, Values: config})
}

func (t *goTypes) extend(of reflect.Type, name string, build func() *graphql.Field) {
	t.extra[of] = append(t.extra[of], root{name, build})
}

// complete returns what is wrong with the fields of all types. It asks for the fields of
// each type, as graphql-go does only later, and goes on while that finds new types.
func (t *goTypes) complete() error {
	seen := map[any]bool{}
	for n := -1; n != len(seen); {
		n = len(seen)
		for _, o := range maps.Clone(t.objects) {
			if !seen[o] {
				seen[o] = true
				o.Fields()
			}
		}
		for _, o := range maps.Clone(t.inputs) {
			if !seen[o] {
				seen[o] = true
				o.Fields()
			}
		}
	}
	return errors.Join(t.errs...)
}

// member is a field of a struct that a schema shows.
type member struct {
	reflect.StructField
	name     string
	id       bool
	after    bool
	filter   bool
	who      bool
	optional bool // it need not be given, although it is no pointer

	hasDefault bool
	fallback   any // the value of the tag default; nil if its type has no such value
}

// knownMembers keeps what members has found, by type.
var knownMembers sync.Map

// members are the fields of a struct that have a place in a schema.
func members(of reflect.Type) []member {
	if known, ok := knownMembers.Load(of); ok {
		return known.([]member)
	}
	all := findMembers(of)
	knownMembers.Store(of, all)
	return all
}

func findMembers(of reflect.Type) []member {
	var all []member
	for _, f := range reflect.VisibleFields(of) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		m := member{StructField: f, name: name}
		m.setDefault()
		for tag := range strings.SplitSeq(f.Tag.Get("gql"), ",") {
			switch tag {
			case "id":
				m.id = true
			case "optional":
				m.optional = true
			case "after":
				m.after, m.optional = true, true
			case "filter":
				m.filter, m.optional = true, true
			case "who":
				m.who, m.optional = true, true
			case "-":
				m.name = "-"
			}
		}
		if f.IsExported() && !f.Anonymous && m.name != "" && m.name != "-" {
			all = append(all, m)
		}
	}
	return all
}

// output is the type of a result.
func (t *goTypes) output(of reflect.Type) graphql.Output {
	if of.Kind() == reflect.Pointer {
		return t.nullable(of.Elem(), false)
	}
	return graphql.NewNonNull(t.nullable(of, false))
}

func (t *goTypes) nullable(of reflect.Type, id bool) graphql.Output {
	if leaf := t.leaf(of, id); leaf != nil {
		return leaf
	}
	switch of.Kind() {
	case reflect.Slice:
		return graphql.NewList(t.output(of.Elem()))
	case reflect.Struct:
		return t.object(of)
	}
	t.fail("%v is no type of GraphQL", of)
	return graphql.String
}

// leaf returns nil for a type with parts.
func (t *goTypes) leaf(of reflect.Type, id bool) interface {
	graphql.Input
	graphql.Output
} {
	if enum, ok := t.enums[of]; ok {
		return enum
	}
	switch of.Kind() {
	case reflect.String:
		if id {
			return graphql.ID
		}
		return graphql.String
	case reflect.Bool:
		return graphql.Boolean
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return graphql.Int
	case reflect.Float32, reflect.Float64:
		return graphql.Float
	}
	if of == timeType {
		return graphql.String
	}
	return nil
}

func (t *goTypes) object(of reflect.Type) *graphql.Object {
	if known, ok := t.objects[of]; ok {
		return known
	}
	o := graphql.NewObject(graphql.ObjectConfig{Name: of.Name(), Fields: graphql.FieldsThunk(func() graphql.Fields {
		return t.fields(of)
	})})
	t.objects[of] = o
	return o
}

func (t *goTypes) fields(of reflect.Type) graphql.Fields {
	fields := graphql.Fields{}
	for _, m := range members(of) {
		kind := m.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		output := t.nullable(kind, m.id)
		if m.Type.Kind() != reflect.Pointer {
			output = graphql.NewNonNull(output)
		}
		fields[m.name] = &graphql.Field{Type: output, Description: m.Tag.Get("doc"), Resolve: get(m.Index)}
	}
	for _, extra := range t.extra[of] {
		fields[extra.name] = extra.build()
	}
	return fields
}

// get resolves a field of a struct.
func get(index []int) graphql.FieldResolveFn {
	return func(p graphql.ResolveParams) (any, error) {
		return value(reflect.ValueOf(p.Source).FieldByIndex(index)), nil
	}
}

// valueOf is a result in the form that the executor takes.
func valueOf(result any) any { return value(reflect.ValueOf(result)) }

func value(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Invalid:
		return nil
	case reflect.Pointer:
		return value(v.Elem())
	case reflect.String:
		return v.String() // also of an enum
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = value(v.Index(i))
		}
		return list
	}
	if t, ok := v.Interface().(time.Time); ok {
		return t.UTC().Format(time.RFC3339Nano)
	}
	return v.Interface()
}

// arguments are those of the struct's fields.
func (t *goTypes) arguments(of reflect.Type) graphql.FieldConfigArgument {
	args := graphql.FieldConfigArgument{}
	for _, m := range members(of) {
		args[m.name] = &graphql.ArgumentConfig{Type: t.input(m), DefaultValue: m.fallback, Description: m.Tag.Get("doc")}
	}
	return args
}

func (m *member) setDefault() {
	text, ok := m.Tag.Lookup("default")
	if m.hasDefault = ok; !ok {
		return
	}
	n, err := strconv.ParseFloat(text, 64)
	switch kind := reflect.Zero(m.Type); {
	case m.Type.Kind() == reflect.String:
		m.fallback = text
	case m.Type.Kind() == reflect.Bool:
		m.fallback = text == "true"
	case err != nil:
	case kind.CanFloat():
		m.fallback = n
	case kind.CanInt() || kind.CanUint():
		m.fallback = int(n)
	}
}

func (t *goTypes) input(m member) graphql.Input {
	kind := m.Type
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if m.hasDefault && m.fallback == nil {
		t.fail("argument %s cannot have the default %s", m.name, m.Tag.Get("default"))
	}
	nullable := t.nullableInput(kind, m.id)
	if m.optional || m.hasDefault || m.Type.Kind() == reflect.Pointer || m.Type.Kind() == reflect.Slice {
		return nullable
	}
	return graphql.NewNonNull(nullable)
}

func (t *goTypes) nullableInput(of reflect.Type, id bool) graphql.Input {
	if leaf := t.leaf(of, id); leaf != nil {
		return leaf
	}
	switch of.Kind() {
	case reflect.Slice:
		if of.Elem().Kind() == reflect.Pointer {
			return graphql.NewList(t.nullableInput(of.Elem().Elem(), id))
		}
		return graphql.NewList(graphql.NewNonNull(t.nullableInput(of.Elem(), id)))
	case reflect.Struct:
		return t.inputObject(of)
	}
	t.fail("%v cannot be an argument", of)
	return graphql.String
}

func (t *goTypes) inputObject(of reflect.Type) graphql.Input {
	if known, ok := t.inputs[of]; ok {
		return known
	}
	fields := func() graphql.InputObjectConfigFieldMap { return t.inputFields(of) } // later: types may be recursive
	o := graphql.NewInputObject(graphql.InputObjectConfig{Name: of.Name(),
		Fields: graphql.InputObjectConfigFieldMapThunk(fields)})
	t.inputs[of] = o
	return o
}

func (t *goTypes) inputFields(of reflect.Type) graphql.InputObjectConfigFieldMap {
	fields := graphql.InputObjectConfigFieldMap{}
	for _, m := range members(of) {
		fields[m.name] = &graphql.InputObjectFieldConfig{Type: t.input(m), DefaultValue: m.fallback,
			Description: m.Tag.Get("doc")}
	}
	return fields
}

// argumentsOf fills the struct A with coerced arguments.
func argumentsOf[A any](given map[string]any) (args A, err error) {
	err = fill(reflect.ValueOf(&args).Elem(), given)
	return args, err
}

func fill(to reflect.Value, given map[string]any) error {
	for _, m := range members(to.Type()) {
		v := m.valueIn(given)
		if v == nil {
			continue
		}
		if err := set(to.FieldByIndex(m.Index), v); err != nil {
			return fmt.Errorf("argument %s: %w", m.name, err)
		}
	}
	return nil
}

// valueIn is what was given for the argument: its default for null.
func (m member) valueIn(given map[string]any) any {
	if v := given[m.name]; v != nil || !m.hasDefault {
		return v
	}
	return m.fallback
}

// set converts a coerced value, or one of a stored filter. A time or number that its
// type cannot hold is Invalid.
func set(to reflect.Value, v any) error {
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		return set(to.Elem(), v)
	}
	if to.Type() == timeType {
		text, _ := v.(string)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return Invalid("a time is written like 2006-01-02T15:04:05Z")
		}
		to.Set(reflect.ValueOf(at.UTC()))
		return nil
	}
	kind, mismatch := to.Kind(), fmt.Errorf("is a %T", v)
	switch v := v.(type) {
	case string:
		if kind != reflect.String {
			return mismatch
		}
		to.SetString(v)
	case bool:
		if kind != reflect.Bool {
			return mismatch
		}
		to.SetBool(v)
	case int:
		return setNumber(to, float64(v))
	case float64:
		return setNumber(to, v)
	case []any:
		if kind != reflect.Slice {
			return mismatch
		}
		return setList(to, v)
	case map[string]any:
		if kind != reflect.Struct {
			return mismatch
		}
		return fill(to, v)
	default:
		return mismatch
	}
	return nil
}

// setList leaves null items at their zero values.
func setList(to reflect.Value, items []any) error {
	list := reflect.MakeSlice(to.Type(), len(items), len(items))
	for i, item := range items {
		if item == nil {
			continue
		}
		if err := set(list.Index(i), item); err != nil {
			return err
		}
	}
	to.Set(list)
	return nil
}

func setNumber(to reflect.Value, v float64) error {
	switch {
	case to.CanFloat():
		to.SetFloat(v)
	case to.CanInt() && v == math.Trunc(v) && !to.OverflowInt(int64(v)):
		to.SetInt(int64(v))
	case to.CanUint() && v == math.Trunc(v) && v >= 0 && !to.OverflowUint(uint64(v)):
		to.SetUint(uint64(v))
	default:
		return Invalid(fmt.Sprintf("%v is out of range", v))
	}
	return nil
}

// eventList is the type of a list of such events. An item is null if its event cannot be shown:
// what is wrong with one of them is nothing to the others.
func eventList(of graphql.Output) graphql.Output {
	if required, is := of.(*graphql.NonNull); is {
		of = required.OfType.(graphql.Output)
	}
	return graphql.NewNonNull(graphql.NewList(of))
}
