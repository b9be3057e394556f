package topology

import (
	"slices"
	"strings"
)

// Product is what a product adds to the core. It is data: package subwire makes it of an
// App. Its methods list what a deployment of it consists of.
type Product struct {
	Name   string   // part of every physical name, but for the default of App
	Tables []Table  // its rows; a table with Stream is the source of events
	Claims []string // of tokens, which its rules look at and which are therefore kept
	Paths  []string // of its pages, in the syntax of "Create routes for HTTP APIs"
}

// Stack is the name of a deployment, and what all its physical names begin with. env is
// "" for the local cloud. The default product's name is left out: it was deployed before
// there were others, and keeps its tables.
func (p Product) Stack(env string) string {
	parts := []string{"subwire", p.Name, env}
	if p.Name == App.Default {
		parts[1] = ""
	}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "-")
}

// AllTables lists the core's tables and the product's.
func (p Product) AllTables() []Table { return append(Tables(), p.Tables...) }

// Functions lists every function.
func (p Product) Functions() []Function {
	all := Functions()
	for i, f := range all {
		if rowAccess[f.Name] != nil {
			all[i].Tables = slices.Concat(f.Tables, p.Tables)
		}
	}
	return all
}

// Function is the function with the name; it panics if there is none.
func (p Product) Function(name string) Function {
	all := p.Functions()
	return all[slices.IndexFunc(all, func(f Function) bool { return f.Name == name })]
}

// StreamMappings lists what reads the streams, one mapping for each.
func (p Product) StreamMappings() []StreamMapping {
	var all []StreamMapping
	for _, t := range p.Tables {
		if !t.Stream {
			continue
		}
		m := TableStream
		m.Table, m.Events = t, t.Events
		if m.Events == nil {
			m.Events = []string{"INSERT", "MODIFY", "REMOVE"}
		}
		all = append(all, m)
	}
	return all
}

// TableOutputs are the keys of the stack's outputs with the tables' physical names, by
// logical name.
func (p Product) TableOutputs() map[string]string {
	keys := map[string]string{}
	for _, t := range p.AllTables() {
		keys[t.Name] = "Table" + strings.ToUpper(t.Name[:1]) + t.Name[1:]
	}
	return keys
}

// HTTPRoutes lists the paths that the HTTP API sends to the graphql function: {name} is
// one segment, {name+} all that follow. The API itself answers any other with 404. Their
// method is AnyMethod: the function handles HEAD, and names the allowed methods to a
// client that uses another.
func (p Product) HTTPRoutes() []string {
	return append([]string{GraphQLPath, ConfigPath, assetsPath}, p.Paths...)
}
