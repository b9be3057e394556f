package gql

import (
	"subwire/shared/gql/syntax"
	"subwire/shared/topology"
)

// Limits bound what one operation may ask for. Together they keep the cost of a hostile
// document within 50 ms of CPU and 50 MB (SECURITY.md). The zero value stands for
// DefaultLimits.
type Limits struct {
	syntax.Limits // of the document

	Complexity     int // fields to resolve: those in a list count once per item
	VariablesBytes int // of the variables as JSON; a list in them has at most ListItems
	Mutations      int // root fields of a mutation
	ReadBytes      int // read from stores by all resolvers together
	ResultBytes    int // of the result as JSON

	// A subscription is stored, and executed for each event.
	SubscriptionBytes  int // of its document, name and variables
	SubscriptionFields int // as Fields
}

// LimitsOf returns the limits that a function was given.
func LimitsOf(v topology.Values) Limits {
	return Limits{
		Limits:             syntax.LimitsOf(v),
		Complexity:         topology.MaxComplexity.In(v),
		VariablesBytes:     topology.MaxVariablesBytes.In(v),
		Mutations:          topology.MaxMutations.In(v),
		ReadBytes:          topology.MaxReadBytes.In(v),
		ResultBytes:        topology.MaxResultBytes.In(v),
		SubscriptionBytes:  topology.MaxSubscriptionBytes.In(v),
		SubscriptionFields: topology.MaxSubscriptionFields.In(v),
	}
}

// DefaultLimits leave room for a tool's introspection of a schema, and for any document
// that a person writes.
var DefaultLimits = LimitsOf(topology.Defaults())

// OverSocket returns the limits of an operation whose result is one message.
func (l Limits) OverSocket() Limits {
	l.ResultBytes = min(l.ResultBytes, topology.MaxMessageBytes)
	return l
}

// BodyBytes is the largest HTTP body that can hold an operation within the limits: JSON
// may turn a byte of its document into six. The rest of the body has 16 KB.
func (l Limits) BodyBytes() int {
	return min(6*l.DocumentBytes+l.VariablesBytes+16<<10, topology.MaxBodyBytes)
}
