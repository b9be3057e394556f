package schema

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/graphql-go/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// leaf is a scalar or enum: what it accepts as input and what it makes of a resolver's
// value (GraphQL specification, "Scalars", "Enums").
type leaf struct {
	json    func(v any) (any, error) // v as encoding/json decodes it, with Numbers
	literal func(v *ast.Value, variables map[string]any) (any, error)
	result  func(v any) (any, error) // a value for encoding/json; v is not nil
}

// Result is what a leaf type makes of a resolver's value.
func (s *Schema) Result(name string, v any) (any, error) {
	for r := reflect.ValueOf(v); r.Kind() == reflect.Pointer; r = r.Elem() {
		v = r.Elem().Interface()
	}
	if v == notANumber {
		return nil, fmt.Errorf("%s cannot represent NaN", name)
	}
	return s.leaves[name].result(v)
}

// nan is what the library gets instead of NaN, which it takes for null.
type nan struct{}

var notANumber any = nan{}

// Visible returns a resolver's value for a field of a leaf type, or of lists of one,
// with NaN replaced by what Result refuses.
func Visible(t *ast.Type, v any) any {
	r := reflect.ValueOf(v)
	switch {
	case !hasNaN(t, r):
		return v
	case t.Elem == nil:
		return notANumber
	}
	r = reflect.Indirect(r)
	items := make([]any, r.Len())
	for i := range items {
		items[i] = Visible(t.Elem, r.Index(i).Interface())
	}
	return items
}

func hasNaN(t *ast.Type, v reflect.Value) bool {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		return t.Elem == nil && math.IsNaN(v.Float())
	case reflect.Slice, reflect.Array:
		for i := 0; t.Elem != nil && i < v.Len(); i++ {
			if hasNaN(t.Elem, v.Index(i)) {
				return true
			}
		}
	}
	return false
}

var builtIns = map[string]leaf{
	"Int":     {numberInput(toInt), numberLiteral(toInt, ast.IntValue), intResult},
	"Float":   {numberInput(toFloat), numberLiteral(toFloat, ast.IntValue, ast.FloatValue), floatResult},
	"String":  {stringInput, textLiteral(ast.StringValue, ast.BlockValue), stringResult},
	"Boolean": {booleanInput, booleanLiteral, booleanResult},
	"ID":      {idInput, textLiteral(ast.StringValue, ast.BlockValue, ast.IntValue), idResult},
}

// errKind is the message for a value of another kind.
func errKind(want string) error { return errors.New("expected " + want) }

func numberInput(convert func(text string) (any, error)) func(any) (any, error) {
	return func(v any) (any, error) {
		n, ok := v.(json.Number)
		if !ok {
			return nil, errKind("a number")
		}
		return convert(n.String())
	}
}

func numberLiteral(
	convert func(text string) (any, error), kinds ...ast.ValueKind,
) func(*ast.Value, map[string]any) (any, error) {
	return func(v *ast.Value, _ map[string]any) (any, error) {
		if !slices.Contains(kinds, v.Kind) {
			return nil, errKind("a number")
		}
		return convert(v.Raw)
	}
}

func textLiteral(kinds ...ast.ValueKind) func(*ast.Value, map[string]any) (any, error) {
	return func(v *ast.Value, _ map[string]any) (any, error) {
		if !slices.Contains(kinds, v.Kind) {
			return nil, errKind("a string")
		}
		return v.Raw, nil
	}
}

var errInt = errKind("a whole number of 32 bits")

// toInt reads a number without a fraction, however it is written.
func toInt(text string) (any, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || f < math.MinInt32 || f > math.MaxInt32 {
		return nil, errInt
	}
	return int(f), nil
}

func toFloat(text string) (any, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errKind("a finite number")
	}
	return f, nil
}

func stringInput(v any) (any, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return nil, errKind("a string")
}

func booleanInput(v any) (any, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return nil, errKind("true or false")
}

func booleanLiteral(v *ast.Value, _ map[string]any) (any, error) {
	if v.Kind != ast.BooleanValue {
		return nil, errKind("true or false")
	}
	return v.Raw == "true", nil
}

// idInput accepts strings and whole numbers of any length: ids are text, so no digit
// may be lost.
func idInput(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		text := v.String()
		if text == "-0" {
			return "0", nil
		}
		if !strings.ContainsAny(text, ".eE") {
			return text, nil
		}
		if f, err := v.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
			return strconv.FormatInt(int64(f), 10), nil
		}
	}
	return nil, errKind("a string or whole number")
}

// number is the number that a Go value is or, as in graphql-js, spells.
func number(v any) (float64, bool) {
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), !math.IsNaN(r.Float()) && !math.IsInf(r.Float(), 0)
	case r.Kind() == reflect.Bool:
		if r.Bool() {
			return 1, true
		}
		return 0, true
	case r.Kind() == reflect.String:
		f, err := strconv.ParseFloat(strings.TrimSpace(r.String()), 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

func errResult(name string, v any) error { return fmt.Errorf("%s cannot represent a %T", name, v) }

func intResult(v any) (any, error) {
	f, ok := number(v)
	if !ok || f != math.Trunc(f) || f < math.MinInt32 || f > math.MaxInt32 {
		return nil, errResult("Int", v)
	}
	return int(f), nil
}

func floatResult(v any) (any, error) {
	if f, ok := number(v); ok {
		return f, nil
	}
	return nil, errResult("Float", v)
}

func booleanResult(v any) (any, error) {
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Bool {
		return r.Bool(), nil
	}
	if f, ok := number(v); ok && r.Kind() != reflect.String {
		return f != 0, nil
	}
	return nil, errResult("Boolean", v)
}

func stringResult(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		return string(text), err
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.String {
		return r.String(), nil
	}
	if _, ok := number(v); ok { // or a Boolean
		text, err := json.Marshal(v)
		return string(text), err
	}
	return nil, errResult("String", v)
}

func idResult(v any) (any, error) {
	r := reflect.ValueOf(v)
	f, isNumber := number(v)
	if r.Kind() == reflect.Bool || isNumber && r.CanFloat() && f != math.Trunc(f) {
		return nil, errResult("ID", v)
	}
	return stringResult(v)
}

// enumLeaf has its own maps: the library makes its maps when they are first used, which
// is a race.
func enumLeaf(t *graphql.Enum) leaf {
	byName, byValue := map[string]any{}, map[any]string{}
	for _, v := range t.Values() {
		byName[v.Name], byValue[v.Value] = v.Value, v.Name
	}
	read := func(name string, ok bool) (any, error) {
		if value, known := byName[name]; ok && known {
			return value, nil
		}
		return nil, errKind("a value of " + t.Name())
	}
	return leaf{
		json: func(v any) (any, error) {
			name, ok := v.(string)
			return read(name, ok)
		},
		literal: func(v *ast.Value, _ map[string]any) (any, error) { return read(v.Raw, v.Kind == ast.EnumValue) },
		result: func(v any) (any, error) {
			if !reflect.ValueOf(v).Comparable() {
				return nil, errResult(t.Name(), v)
			}
			if name, ok := byValue[v]; ok {
				return name, nil
			}
			return nil, errResult(t.Name(), v)
		},
	}
}

// scalarLeaf is a custom scalar. The library returns nil for a value that does not fit.
func scalarLeaf(t *graphql.Scalar) leaf {
	fits := func(v any) (any, error) {
		if v == nil {
			return nil, errKind("a value of " + t.Name())
		}
		return v, nil
	}
	return leaf{
		json: func(v any) (any, error) { return fits(t.ParseValue(plain(v))) },
		literal: func(v *ast.Value, variables map[string]any) (any, error) {
			return fits(t.ParseLiteral(libraryLiteral(v, variables)))
		},
		result: func(v any) (any, error) {
			result := t.Serialize(v)
			switch {
			case result == nil:
				return nil, errResult(t.Name(), v)
			case !isPlain(reflect.ValueOf(result), deepest):
				return nil, fmt.Errorf("%s made a %T of a %T, which cannot be encoded", t.Name(), result, v)
			}
			return result, nil
		},
	}
}

// deepest is how deep lists and maps may nest in what a scalar made.
const deepest = 100

// isPlain reports whether what a scalar made is text, a finite number, a Boolean, null,
// or lists and maps of these. Of other Go values, encoding/json would write all that is
// in them.
func isPlain(v reflect.Value, depth int) bool {
	if depth == 0 {
		return false
	}
	switch v.Kind() {
	case reflect.Invalid, reflect.Bool, reflect.String:
		return true
	case reflect.Float32, reflect.Float64:
		return !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0)
	case reflect.Interface, reflect.Pointer:
		return isPlain(v.Elem(), depth-1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if !isPlain(v.Index(i), depth-1) {
				return false
			}
		}
		return true
	case reflect.Map:
		for members := v.MapRange(); members.Next(); {
			if members.Key().Kind() != reflect.String || !isPlain(members.Value(), depth-1) {
				return false
			}
		}
		return true
	}
	return v.CanInt() || v.CanUint()
}
