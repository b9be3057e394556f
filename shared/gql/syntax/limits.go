package syntax

import "subwire/shared/topology"

// Limits bound a document.
type Limits struct {
	DocumentBytes int
	Tokens        int // without comments
	Depth         int // of fields in fields, through fragments; ofType does not count
	Fields        int // selections; a fragment counts wherever it is spread
	Aliases       int // fields with an alias, counted the same way
	Directives    int // counted the same way
	ListItems     int // of all lists and objects together
}

// LimitsOf returns the limits that a function was given.
func LimitsOf(v topology.Values) Limits {
	return Limits{
		DocumentBytes: topology.MaxDocumentBytes.In(v),
		Tokens:        topology.MaxTokens.In(v),
		Depth:         topology.MaxDepth.In(v),
		Fields:        topology.MaxFields.In(v),
		Aliases:       topology.MaxAliases.In(v),
		Directives:    topology.MaxDirectives.In(v),
		ListItems:     topology.MaxListItems.In(v),
	}
}
