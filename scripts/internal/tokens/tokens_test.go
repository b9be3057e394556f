package tokens

import (
	"testing"
	"testing/synctest"
	"time"
)

// took counts how many single tokens the bucket gives at once.
func took(b *Bucket) (n int) {
	for n < 1000 && b.Take(1) {
		n++
	}
	return n
}

func TestABucketGivesItsBurstAndThenItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(10, 5)
		if n := took(b); n != 5 || b.Full() {
			t.Errorf("a new bucket gave %d, then is full: %t", n, b.Full())
		}
		time.Sleep(200 * time.Millisecond)
		if n := took(b); n != 2 {
			t.Errorf("after 200 ms it gave %d", n)
		}
		time.Sleep(time.Hour)
		if n := took(b); n != 5 {
			t.Errorf("after an hour it gave %d", n)
		}
	})
}

func TestADebtIsPaidFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(10, 5)
		b.Spend(15)
		time.Sleep(time.Second)
		if n := took(b); n != 0 {
			t.Errorf("in debt it gave %d", n)
		}
		time.Sleep(500 * time.Millisecond)
		if !b.Full() || took(b) != 5 {
			t.Error("the debt is not paid")
		}
	})
}

func TestABucketOfANegativeRateHasNoLimit(t *testing.T) {
	t.Parallel()
	b := New(-1, 0)
	b.Spend(1e9)
	if n := took(b); n != 1000 || !b.Full() {
		t.Errorf("it gave %d", n)
	}
}
