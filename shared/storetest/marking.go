package storetest

import (
	"context"
	"testing"
	"time"
)

// It is one time for all, so this is one test.
var markingTests = []test{
	{"is since the first that asks", func(t *testing.T, s Store) {
		got, calls := make([]time.Time, crowd), make([]func(context.Context) error, crowd)
		for i := range calls {
			calls[i] = func(ctx context.Context) (err error) {
				got[i], err = s.MarkingSince(ctx, after(i))
				return err
			}
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "MarkingSince", err, nil)
		}
		first := got[0]
		if first.Before(after(0)) || !first.Before(after(crowd)) {
			t.Errorf("it is since %v", first)
		}
		for _, now := range []time.Time{after(-1000), after(1000)} {
			since, err := s.MarkingSince(t.Context(), now)
			check(t, "MarkingSince", err, nil)
			got = append(got, since)
		}
		for _, at := range got {
			equal(t, "since", at, first)
		}
	}},
}
