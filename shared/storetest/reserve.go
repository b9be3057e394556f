package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"subwire/shared/pacing"
)

// begun is a time by the real clock: DynamoDB Local deletes lines that have expired by it.
var begun = time.Now().Truncate(time.Microsecond)

// turnAt may start from a second ago, until in ten seconds.
func turnAt(now time.Time, lasts time.Duration) pacing.Turn {
	return pacing.Turn{Earliest: now.Add(-time.Second), Latest: now.Add(10 * time.Second), Lasts: lasts}
}

var reserveTests = []test{
	{"turns follow each other", func(t *testing.T, s Store) {
		line, now := unique("line"), begun
		want := now.Add(-time.Second)
		for i, lasts := range []time.Duration{time.Millisecond, 3 * time.Microsecond, time.Second} {
			start, err := s.Reserve(t.Context(), line, turnAt(now, lasts))
			check(t, "Reserve", err, nil)
			if i > 0 {
				atLeastAt(t, start, want)
			}
			want = start.Add(lasts)
		}
	}},
	{"a line that has run out gives no more credit than is asked for", func(t *testing.T, s Store) {
		line := unique("line")
		_, err := s.Reserve(t.Context(), line, turnAt(begun, time.Millisecond))
		check(t, "Reserve", err, nil)
		later := begun.Add(time.Hour)
		start, err := s.Reserve(t.Context(), line, turnAt(later, time.Millisecond))
		check(t, "Reserve", err, nil)
		atLeastAt(t, start, later.Add(-time.Second))
	}},
	{"a turn that would start too late is not taken", func(t *testing.T, s Store) {
		line := unique("line")
		latest := begun.Add(10 * time.Second)
		_, err := s.Reserve(t.Context(), line, turnAt(begun, 12*time.Second))
		check(t, "Reserve", err, nil)
		var starts []time.Time
		for range 3 {
			start, err := s.Reserve(t.Context(), line, turnAt(begun, time.Hour))
			check(t, "Reserve", err, nil)
			starts = append(starts, start)
		}
		if !starts[0].After(latest) || starts[1] != starts[0] || starts[2] != starts[0] {
			t.Errorf("the turns start at %v, the latest time is %v", starts, latest)
		}
		start, err := s.Reserve(t.Context(), line, turnAt(begun.Add(time.Minute/4), time.Second))
		check(t, "Reserve", err, nil)
		if start.After(begun.Add(time.Minute)) {
			t.Errorf("what was not reserved takes time: the next turn starts %v later", start.Sub(begun))
		}
	}},
	{"a line that only a wrong clock can have made begins anew", func(t *testing.T, s Store) {
		line, wrong := unique("line"), begun.Add(24*time.Hour)
		_, err := s.Reserve(t.Context(), line, turnAt(wrong, time.Second))
		check(t, "Reserve", err, nil)
		start, err := s.Reserve(t.Context(), line, turnAt(begun, time.Second))
		check(t, "Reserve", err, nil)
		if start.After(begun.Add(10 * time.Second)) {
			t.Errorf("it starts %v later", start.Sub(begun))
		}
	}},
	{"no two get the same turn", func(t *testing.T, s Store) {
		line, starts := unique("line"), make([]time.Time, crowd)
		calls := make([]func(context.Context) error, crowd)
		for i := range calls {
			calls[i] = func(ctx context.Context) (err error) {
				starts[i], err = s.Reserve(ctx, line, turnAt(begun, time.Millisecond))
				return err
			}
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "Reserve", err, nil)
		}
		slices.SortFunc(starts, time.Time.Compare)
		for i, start := range starts[1:] {
			atLeastAt(t, start, starts[i].Add(time.Millisecond))
		}
	}},
}

// atLeastAt allows for turns that were lost with their answer.
func atLeastAt(t *testing.T, start, want time.Time) {
	t.Helper()
	if start.Before(want) || start.After(want.Add(9*time.Second)) {
		t.Errorf("the turn starts %v after the one that is due", start.Sub(want))
	}
}
