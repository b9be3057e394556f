package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/transportws"
)

func TestDo(t *testing.T) {
	t.Parallel()
	fault := errors.New("fault")
	for name, tc := range map[string]struct {
		time     time.Duration // of the context; 0 for no end
		reserve  time.Duration
		errs     []error // of the tries; the last one repeats
		want     error
		tries    int           // 0 for any number
		from, to time.Duration // that it takes
	}{
		"Succeeds":        {time: time.Minute, errs: []error{nil}, tries: 1},
		"Passes":          {time: time.Minute, errs: []error{fault, fault, nil}, tries: 3, to: 150 * time.Millisecond},
		"Decided":         {time: time.Minute, errs: []error{fault, pubsub.ErrGone}, want: pubsub.ErrGone, tries: 2, to: 50 * time.Millisecond},
		"LeavesReserve":   {time: 10 * time.Second, reserve: 4 * time.Second, errs: []error{fault}, want: fault, from: 6 * time.Second, to: 6 * time.Second},
		"ReserveHasBegun": {time: 2 * time.Second, reserve: 4 * time.Second, errs: []error{fault}, want: fault, from: time.Second, to: time.Second},
		"WithoutEnd":      {errs: []error{fault}, want: fault, from: 20 * time.Second, to: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tc.time > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.time)
					defer cancel()
				}
				tries, begin := 0, time.Now()
				err := retry.Do(ctx, tc.reserve, func(context.Context) error {
					tries++
					return tc.errs[min(tries, len(tc.errs))-1]
				})
				if took := time.Since(begin); err != tc.want || took < tc.from || took > tc.to {
					t.Errorf("%v after %s", err, took)
				}
				if tc.tries != 0 && tries != tc.tries {
					t.Errorf("%d tries", tries)
				}
			})
		})
	}
}

func TestDecided(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		pubsub.ErrGone:                  true,
		pubsub.ErrTooManyConnections:    true,
		transportws.ConnectionExpired(): true,
		pubsub.ErrBusy:                  false,
		context.DeadlineExceeded:        false,
		errors.New("no network"):        false,
	} {
		if wrapped := fmt.Errorf("step: %w", err); retry.Decided(wrapped) != want {
			t.Errorf("%v: decided is not %t", err, want)
		}
	}
	if !retry.Decided(pubsub.Refusal(pubsub.CodeLimit, "too much")) {
		t.Error("a refusal is not decided")
	}
}
