// Package lineage counts the invocations of a chain as Lambda does to end endless
// ones ("Use Lambda recursive loop detection to prevent infinite loops" in the Lambda
// Developer Guide). The count is in the tracing header: a function gets it with each
// event and sends it on with each message to a queue, and the queue gives it to the
// next function.
//
// The page does not say how the header holds the count, nor which count a batch of
// messages carries: see Highest and First.
package lineage

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Limit is the first invocation of a chain that is not made. AWS says "approximately
// 16 times", and "exceeding 16 invocations" in its blog: this is the harsher reading.
const Limit = 16

// Attribute is the system attribute that holds a message's header in a queue ("Amazon
// SQS message metadata").
const Attribute = "AWSTraceHeader"

const (
	part = "Lineage="
	one  = "1:" // one chain
)

type hopsKey struct{}

// With returns a context for the n-th invocation of its chain.
func With(ctx context.Context, n int) context.Context { return context.WithValue(ctx, hopsKey{}, n) }

// Of returns the context's place in its chain of invocations: 1, unless With says otherwise.
func Of(ctx context.Context) int {
	if n, ok := ctx.Value(hopsKey{}).(int); ok {
		return n
	}
	return 1
}

// Header is the tracing header of the n-th invocation of a chain. root is the part
// that names the trace.
func Header(root string, n int) string { return fmt.Sprintf("%s;%s%s%d", root, part, one, n) }

// Hops reads the number of an invocation from its header. It is 0 if there is none,
// as in a message that no function sent.
func Hops(header string) int {
	for field := range strings.SplitSeq(header, ";") {
		value, ours := strings.CutPrefix(field, part+one)
		if !ours {
			continue
		}
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// Reading combines the invocation counts of a batch's messages. AWS does not document
// how it does that.
type Reading func(hops []int) int

// Highest takes the longest chain: the harsher reading, as chains in a batch lengthen
// each other.
func Highest(hops []int) (most int) {
	for _, n := range hops {
		most = max(most, n)
	}
	return most
}

func First(hops []int) int {
	if len(hops) == 0 {
		return 0
	}
	return hops[0]
}
