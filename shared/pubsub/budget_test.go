package pubsub

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestABudgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	const bytes, reads = 1003, 100
	type key struct{}
	ctx := WithBudget(context.WithValue(t.Context(), key{}, 1), bytes)
	if ctx.Value(key{}) != 1 {
		t.Error("the context has lost its other values")
	}
	b := BudgetOf(ctx)
	var wait sync.WaitGroup
	granted := make(chan int, reads)
	for range reads {
		wait.Go(func() {
			if n, err := b.Reserve(7, 13); err == nil {
				granted <- n
			}
		})
	}
	wait.Wait()
	close(granted)
	total := 0
	for n := range granted {
		total += n
	}
	if left, err := b.Reserve(1, bytes); total+left != bytes || left >= 7 || err != nil {
		t.Errorf("%d granted and %d left of %d, %v", total, left, bytes, err)
	}
	if _, err := b.Reserve(1, 1); !errors.Is(err, ErrBudget) || !b.Spent() {
		t.Errorf("past the budget: %v, spent %t", err, b.Spent())
	}
	b.Return(5)
	if n, err := b.Reserve(5, 9); n != 5 || err != nil {
		t.Errorf("what came back: %d, %v", n, err)
	}
}

func TestWithoutABudgetNothingIsRefused(t *testing.T) {
	t.Parallel()
	b := BudgetOf(t.Context())
	if n, err := b.Reserve(1, 5); n != 5 || err != nil || b.Spent() {
		t.Errorf("got %d, %v, spent %t", n, err, b.Spent())
	}
	b.Return(5)
}
