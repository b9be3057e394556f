package storetest

import (
	"context"
	"testing"
	"time"
)

// It is one time for all, so this is one test.
var markingTests = []test{
	{"lasts from the first that says so until it is stopped", func(t *testing.T, s Store) {
		since := func(now time.Time) time.Time {
			t.Helper()
			got, err := s.MarkingSince(t.Context(), now)
			check(t, "MarkingSince", err, nil)
			return got
		}
		equal(t, "the first time", since(after(0)), after(0))
		equal(t, "a later one", since(after(10)), after(0))
		equal(t, "an earlier one", since(after(-10)), after(0))
		for range 2 {
			check(t, "StopMarking", s.StopMarking(t.Context()), nil)
		}
		got, calls := make([]time.Time, crowd), make([]func(context.Context) error, crowd)
		for i := range calls {
			calls[i] = func(ctx context.Context) (err error) {
				got[i], err = s.MarkingSince(ctx, after(100+i))
				return err
			}
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "MarkingSince", err, nil)
		}
		first := since(after(1000))
		if first.Before(after(100)) || !first.Before(after(100+crowd)) {
			t.Errorf("it was stopped, and begins at %v", first)
		}
		for _, at := range got {
			equal(t, "who says so at once", at, first)
		}
	}},
}
