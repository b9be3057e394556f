package storetest

import (
	"context"
	"testing"
	"time"
)

var spendTests = []test{
	{"adds up what a payer spends in a window", func(t *testing.T, s Store) {
		payer, window := unique("address/192.0.2.1"), time.Now().Truncate(time.Minute)
		sum, err := s.Spend(t.Context(), payer, window, 60)
		check(t, "Spend", err, nil)
		atLeast(t, sum, 60)
		more, err := s.Spend(t.Context(), payer, window, 1000)
		check(t, "Spend", err, nil)
		atLeast(t, more, sum+1000)
	}},
	{"begins anew with another window or payer", func(t *testing.T, s Store) {
		payer, window := unique("viewer/ada"), time.Now().Truncate(time.Minute)
		_, err := s.Spend(t.Context(), payer, window, 1_000_000)
		check(t, "Spend", err, nil)
		for name, spend := range map[string]func() (int, error){
			"next window": func() (int, error) { return s.Spend(t.Context(), payer, window.Add(time.Minute), 1) },
			"other payer": func() (int, error) { return s.Spend(t.Context(), payer+"/2", window, 1) },
		} {
			if sum, err := spend(); err != nil || sum >= 1_000_000 {
				t.Errorf("%s: the sum is %d, error %v", name, sum, err)
			}
		}
	}},
	{"loses nothing of many at once", func(t *testing.T, s Store) {
		payer, window := unique("address/192.0.2.2"), time.Now().Truncate(time.Minute)
		calls := make([]func(context.Context) error, crowd)
		for i := range calls {
			calls[i] = func(ctx context.Context) error {
				_, err := s.Spend(ctx, payer, window, 7)
				return err
			}
		}
		for _, err := range race(t.Context(), calls...) {
			check(t, "Spend", err, nil)
		}
		sum, err := s.Spend(t.Context(), payer, window, 1)
		check(t, "Spend", err, nil)
		atLeast(t, sum, 7*crowd+1)
	}},
}

var audienceTests = []test{
	{"is the latest that was noted, until it expires", func(t *testing.T, s Store) {
		topic, later := unique("topic"), time.Now().Add(time.Hour)
		for _, tt := range []struct {
			targets int
			expires time.Time
			want    int
		}{{70, later, 70}, {3, later, 3}, {9, time.Now().Add(-2 * time.Second), 0}} {
			check(t, "SetAudience", s.SetAudience(t.Context(), topic, tt.targets, tt.expires), nil)
			got, err := s.Audience(t.Context(), topic)
			check(t, "Audience", err, nil)
			equal(t, "audience", got, tt.want)
		}
		unknown, err := s.Audience(t.Context(), unique("topic"))
		check(t, "Audience", err, nil)
		equal(t, "audience of an unknown topic", unknown, 0)
	}},
}

// atLeast allows for calls that were counted twice because they lost their answer.
func atLeast(t *testing.T, sum, want int) {
	t.Helper()
	if sum < want || sum > 10*want {
		t.Errorf("the sum is %d, want %d", sum, want)
	}
}
