package table

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/topology"
	"subwire/shared/trace"
)

// Text returns a string attribute of the row, or "" if the row has none of that name.
func Text(r Row, name string) string {
	s, ok := r[name].(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return s.Value
}

// VersionOf returns the row's Version, or 0 if it has none.
func VersionOf(r Row) int64 {
	version, _ := number(r, Version)
	return version
}

// number returns the attribute, if it is an integer.
func number(r Row, name string) (n int64, ok bool) {
	attribute, ok := r[name].(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(attribute.Value, 10, 64)
	return n, err == nil
}

// Allows reports whether the row may be put in the place of was, nil for none. DynamoDB
// decides that by itself.
func (c Condition) Allows(t topology.Table, was, row Row) bool {
	switch {
	case c.Absent:
		return was == nil
	case c.Version != nil:
		return was != nil && VersionOf(was) == *c.Version
	case c.Newer != "" && was[c.Newer] != nil:
		_, isText := was[c.Newer].(*types.AttributeValueMemberS)
		expires, has := number(was, t.TTL)
		return isText && Text(was, c.Newer) < Text(row, c.Newer) || has && expires < c.Now.Unix()
	}
	return true
}

// KeyOf returns the key of a row. It is an error if an attribute of the key, or one that
// the row has of an index, is not a string, is empty or too long: "PutItem" in the DynamoDB API
// Reference.
func KeyOf(t topology.Table, r Row) (Key, error) {
	for _, index := range t.Indexes {
		for name, most := range map[string]int{index.Key: MaxPartitionBytes, index.Sort: MaxSortBytes} {
			if _, has := r[name]; has && (Text(r, name) == "" || len(Text(r, name)) > most) {
				return Key{}, fmt.Errorf("table %s: %s, the key of an index, is empty, too long or no string", t.Name, name)
			}
		}
	}
	k := Key{Partition: Text(r, t.Key), Sort: Text(r, t.Sort)}
	return k, k.Check(t)
}

// What the parts of a key hold, in bytes: "Constraints in Amazon DynamoDB".
const (
	MaxPartitionBytes = 2048
	MaxSortBytes      = 1024
)

// Check returns an error if no row of the table can have the key.
func (k Key) Check(t topology.Table) error {
	if len(k.Partition) > MaxPartitionBytes || len(k.Sort) > MaxSortBytes {
		return fmt.Errorf("table %s: the key is too long", t.Name)
	}
	if k.Partition == "" || (k.Sort == "") != (t.Sort == "") {
		return fmt.Errorf("table %s: the key must have just the parts that the table has", t.Name)
	}
	return nil
}

// Keys returns the attributes that the table, or its index, finds and orders the rows
// by; sort is "" if they have no order. A query that no table can answer is an error.
func (q Query) Keys(t topology.Table) (partition, sort string, err error) {
	partition, sort = t.Key, t.Sort
	if q.Index != "" {
		i := slices.IndexFunc(t.Indexes, func(i topology.Index) bool { return i.Name == q.Index })
		if i < 0 {
			return "", "", fmt.Errorf("table %s has no index %s", t.Name, q.Index)
		}
		partition, sort = t.Indexes[i].Key, t.Indexes[i].Sort
	}
	if q.Partition == "" {
		return "", "", fmt.Errorf("table %s: query without a partition", t.Name)
	}
	if sort == "" && (q.After != "" || q.Before != "") {
		return "", "", fmt.Errorf("table %s: query after or before, without a sort key", t.Name)
	}
	return partition, sort, nil
}

// Normal returns a copy of the row, in which equal values look the same. DynamoDB may
// write a number otherwise than it was put, and return a set in another order.
func Normal(r Row) Row {
	out := make(Row, len(r))
	for name, v := range r {
		out[name] = normal(v)
	}
	return out
}

func normal(v types.AttributeValue) types.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return &types.AttributeValueMemberS{Value: v.Value}
	case *types.AttributeValueMemberN:
		return &types.AttributeValueMemberN{Value: normalNumber(v.Value)}
	case *types.AttributeValueMemberBOOL:
		return &types.AttributeValueMemberBOOL{Value: v.Value}
	case *types.AttributeValueMemberNULL:
		return &types.AttributeValueMemberNULL{Value: v.Value}
	case *types.AttributeValueMemberB:
		return &types.AttributeValueMemberB{Value: copied(v.Value)}
	case *types.AttributeValueMemberM:
		return &types.AttributeValueMemberM{Value: Normal(v.Value)}
	case *types.AttributeValueMemberL:
		return &types.AttributeValueMemberL{Value: each(v.Value, normal)}
	case *types.AttributeValueMemberSS:
		return &types.AttributeValueMemberSS{Value: slices.Sorted(slices.Values(v.Value))}
	case *types.AttributeValueMemberNS:
		numbers := each(v.Value, normalNumber)
		slices.Sort(numbers)
		return &types.AttributeValueMemberNS{Value: numbers}
	case *types.AttributeValueMemberBS:
		values := each(v.Value, copied)
		slices.SortFunc(values, bytes.Compare)
		return &types.AttributeValueMemberBS{Value: values}
	}
	return v
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

func copied(b []byte) []byte { return append([]byte{}, b...) }

// Bounds of the absolute value of a number: "Constraints in Amazon DynamoDB".
const leastNumber, mostNumber = 1e-130, 1e126

// HasStorableNumbers reports whether DynamoDB takes all numbers of the row, which is not
// so of NaN, infinity and what is beyond its bounds.
func HasStorableNumbers(r Row) bool {
	for _, v := range r {
		if !isStorable(v) {
			return false
		}
	}
	return true
}

func isStorable(v types.AttributeValue) bool {
	isNumber := func(n string) bool {
		f, err := strconv.ParseFloat(n, 64)
		return err == nil && (f == 0 || math.Abs(f) >= leastNumber && math.Abs(f) < mostNumber)
	}
	switch v := v.(type) {
	case *types.AttributeValueMemberN:
		return isNumber(v.Value)
	case *types.AttributeValueMemberNS:
		return !slices.ContainsFunc(v.Value, func(n string) bool { return !isNumber(n) })
	case *types.AttributeValueMemberL:
		return !slices.ContainsFunc(v.Value, func(item types.AttributeValue) bool { return !isStorable(item) })
	case *types.AttributeValueMemberM:
		return HasStorableNumbers(v.Value)
	}
	return true
}

// normalNumber returns a number as a decimal fraction without needless zeros.
func normalNumber(n string) string {
	f, err := strconv.ParseFloat(n, 64)
	if f == 0 && err == nil {
		return "0"
	}
	if err != nil || math.Abs(f) < leastNumber || math.Abs(f) > mostNumber {
		return n // no number of DynamoDB's, and perhaps one of a billion digits
	}
	exact, ok := new(big.Rat).SetString(n)
	if !ok {
		return n
	}
	if exact.IsInt() {
		return exact.Num().String()
	}
	const digits = 130 + 38 // of the smallest number, with 38 significant ones
	return strings.TrimRight(exact.FloatString(digits), "0")
}

// SetVersion sets the row's Version.
func SetVersion(r Row, version int64) {
	r[Version] = &types.AttributeValueMemberN{Value: strconv.FormatInt(version, 10)}
}

// Stamp notes in the row which trace writes it, and when. Without an id it removes the note
// of an earlier write.
func Stamp(r Row, id string, now time.Time) {
	if id == "" {
		delete(r, Trace)
		delete(r, Written)
		return
	}
	r[Trace] = &types.AttributeValueMemberS{Value: id}
	r[Written] = &types.AttributeValueMemberN{Value: strconv.FormatInt(now.UnixMilli(), 10)}
}

// StampOf returns what Stamp noted. The row may come from anybody: ok is false if there is
// no note, or none that this write can have made, which was committed at about that time.
// Who copies rows copies the notes, too.
func StampOf(r Row, committed time.Time) (id string, written time.Time, ok bool) {
	id = Text(r, Trace)
	ms, ok := number(r, Written)
	written = time.UnixMilli(ms)
	if !ok || !trace.IsID(id) || written.Sub(committed).Abs() > stampTime {
		return "", time.Time{}, false
	}
	return id, written, true
}

// stampTime is how far the times of a write and its commit may lie apart: 5 s for the
// write (subwire.WriteTime), the rest for clocks and for a commit that is "approximate":
// DynamoDB rounds it down to a second ("StreamRecord" in the DynamoDB Streams API
// Reference), and DynamoDB Local to a minute.
const stampTime = 70 * time.Second

// Has reports whether the row has an attribute of that name that is not null.
func Has(r Row, name string) bool {
	_, null := r[name].(*types.AttributeValueMemberNULL)
	return r[name] != nil && !null
}
