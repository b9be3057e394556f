// Package table is the contract of the tables that products keep their rows in, and the
// form of a row. It does no I/O.
package table

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/topology"
)

// Errors of a Store.
var (
	ErrNotFound = errors.New("there is no such row")
	ErrConflict = errors.New("the row is not as the condition demands")

	// ErrUnknown: the row may have been put, and has been changed since. Who made the
	// change again could make it twice.
	ErrUnknown = errors.New("it is unknown whether the row was put")
)

// Row is a row as DynamoDB keeps it: attributes by name.
type Row = map[string]types.AttributeValue

// Key names one row. Sort is "" in a table without a sort key.
type Key struct{ Partition, Sort string }

// Version is the attribute with a number that tells one write of a row from all others. It
// is positive, and random: a count would begin again when a row is put or comes back. A
// row without it has none.
const Version = "_version"

// Attributes with the trace that wrote a row, and when, in Unix milliseconds. A row of
// another writer has neither.
const (
	Trace   = "_trace"
	Written = "_written"
)

// Condition is what must hold for a Put: at most one of the three. The zero value demands
// nothing.
type Condition struct {
	Absent  bool   // there is no such row
	Version *int64 // the row is there, with this Version; 0 for a row without one

	// Newer names an attribute, a text: the row is missing, lacks it, has a lesser one than
	// the new row, or has expired by Now according to the table's TTL.
	Newer string
	Now   time.Time
}

// Query asks for rows of one partition, ordered by their sort key.
type Query struct {
	Index     string // name of one of the table's indexes; "" for the table itself
	Partition string

	// After and Before are sort keys, and at most one of them is given: the rows are
	// the first after After, the last before Before, or else the last of all.
	After, Before string

	Limit    int // rows, at most; at least 1
	RowBytes int // the most that a row takes in the table, at least 1; for the reader's budget
}

// Store keeps the rows of products. Parts of a key are not empty; attributes of an index
// may be missing, and then the row is not in it. Reads are strongly consistent, except
// those of an index, which may lag behind by a second or so. Implementations retry what
// is worth retrying until ctx ends. What is read comes out of the pubsub.Budget of ctx;
// if that is not enough, the error is pubsub.ErrBudget. Any other error than those named
// here leaves the effect unknown, and the call may be made again. storetest checks the
// contract.
type Store interface {
	// GetRow returns the row, or ErrNotFound. bytes is as Query.RowBytes.
	GetRow(ctx context.Context, t topology.Table, k Key, bytes int) (Row, error)

	// PutRow stores a row in the place of the one with its key. If the condition does
	// not hold it stores nothing and returns ErrConflict. A call that is repeated inside,
	// as its answer was lost, does not conflict with itself if the stored row is equal. If
	// that was changed since, a call with a Version returns ErrUnknown.
	PutRow(ctx context.Context, t topology.Table, r Row, c Condition) error

	// DeleteRow deletes the row. A missing one is not an error.
	DeleteRow(ctx context.Context, t topology.Table, k Key) error

	// QueryRows returns the rows that q asks for, in ascending order of the sort key.
	QueryRows(ctx context.Context, t topology.Table, q Query) ([]Row, error)
}
