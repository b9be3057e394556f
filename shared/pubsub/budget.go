package pubsub

import (
	"context"
	"errors"
	"sync/atomic"
)

// ErrBudget is returned by a read that its operation has no budget left for.
var ErrBudget = errors.New("the operation has read as much as it may")

// Budget is how many bytes an operation may still read. All its resolvers draw on it
// before they read. A read that is repeated, as its answer was lost, counts once: no
// client can make it so. A nil Budget is unlimited.
type Budget struct {
	left  atomic.Int64
	spent atomic.Bool
}

type budgetKey struct{}

// budgeted is a context and its budget, in one allocation.
type budgeted struct {
	context.Context
	budget Budget
}

func (c *budgeted) Value(key any) any {
	if key == (budgetKey{}) {
		return &c.budget
	}
	return c.Context.Value(key)
}

// WithBudget returns a context for one execution that may read that many bytes.
func WithBudget(ctx context.Context, bytes int) context.Context {
	c := &budgeted{Context: ctx}
	c.budget.left.Store(int64(bytes))
	return c
}

// BudgetOf returns the budget of ctx, or nil.
func BudgetOf(ctx context.Context) *Budget {
	b, _ := ctx.Value(budgetKey{}).(*Budget)
	return b
}

// Reserve sets bytes aside for a read that is about to begin: what is left, up to most.
// If less than least is left, it reserves nothing and returns ErrBudget.
func (b *Budget) Reserve(least, most int) (int, error) {
	if b == nil {
		return most, nil
	}
	for {
		left := b.left.Load()
		if left < int64(least) {
			b.spent.Store(true)
			return 0, ErrBudget
		}
		reserved := min(left, int64(most))
		if b.left.CompareAndSwap(left, left-reserved) {
			return int(reserved), nil
		}
	}
}

// Return gives back what a read did not need. bytes is negative if the read took more
// than it had reserved.
func (b *Budget) Return(bytes int) {
	if b != nil {
		b.left.Add(int64(bytes))
	}
}

// Spent reports whether a read was refused.
func (b *Budget) Spent() bool { return b != nil && b.spent.Load() }
