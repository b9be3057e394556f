package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	library "github.com/graphql-go/graphql/language/ast"
	"github.com/vektah/gqlparser/v2/ast"
)

// plain returns the value with int or float64 for each json.Number, as the library's
// custom scalars expect.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.Atoi(v.String()); err == nil {
			return i
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String() // beyond float64
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plain(item)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for name, member := range v {
			object[name] = plain(member)
		}
		return object
	}
	return v
}

// libraryLiteral is a literal as the library's custom scalars expect it, with the
// variables' values put in.
func libraryLiteral(v *ast.Value, variables map[string]any) library.Value {
	switch v.Kind {
	case ast.Variable:
		return libraryValue(variables[v.Raw])
	case ast.IntValue:
		return library.NewIntValue(&library.IntValue{Value: v.Raw})
	case ast.FloatValue:
		return library.NewFloatValue(&library.FloatValue{Value: v.Raw})
	case ast.StringValue, ast.BlockValue:
		return library.NewStringValue(&library.StringValue{Value: v.Raw})
	case ast.BooleanValue:
		return library.NewBooleanValue(&library.BooleanValue{Value: v.Raw == "true"})
	case ast.EnumValue:
		return library.NewEnumValue(&library.EnumValue{Value: v.Raw})
	case ast.ListValue:
		list := library.NewListValue(nil)
		for _, child := range v.Children {
			list.Values = append(list.Values, libraryLiteral(child.Value, variables))
		}
		return list
	case ast.ObjectValue:
		object := library.NewObjectValue(nil)
		for _, child := range v.Children {
			if _, given := variables[child.Value.Raw]; child.Value.Kind == ast.Variable && !given {
				continue
			}
			object.Fields = append(object.Fields, libraryField(child.Name, libraryLiteral(child.Value, variables)))
		}
		return object
	}
	return null{}
}

// null is what the library's syntax lacks. Scalars take it for an unknown value, which
// is nil.
type null struct{}

func (null) GetValue() any             { return nil }
func (null) GetKind() string           { return "NullValue" }
func (null) GetLoc() *library.Location { return nil }

func libraryField(name string, v library.Value) *library.ObjectField {
	return library.NewObjectField(&library.ObjectField{Name: library.NewName(&library.Name{Value: name}), Value: v})
}

// libraryValue is the literal of a variable's value.
func libraryValue(v any) library.Value {
	switch v := v.(type) {
	case string:
		return library.NewStringValue(&library.StringValue{Value: v})
	case bool:
		return library.NewBooleanValue(&library.BooleanValue{Value: v})
	case int:
		return library.NewIntValue(&library.IntValue{Value: strconv.Itoa(v)})
	case float64:
		return library.NewFloatValue(&library.FloatValue{Value: strconv.FormatFloat(v, 'g', -1, 64)})
	case nil:
		return null{}
	case []any:
		list := library.NewListValue(nil)
		for _, item := range v {
			list.Values = append(list.Values, libraryValue(item))
		}
		return list
	case map[string]any:
		object := library.NewObjectValue(nil)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			object.Fields = append(object.Fields, libraryField(name, libraryValue(v[name])))
		}
		return object
	}
	return library.NewStringValue(&library.StringValue{Value: fmt.Sprint(v)})
}
