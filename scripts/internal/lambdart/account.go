package lambdart

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
)

// DefaultConcurrency is how many invocations an account runs at once ("Lambda
// quotas" in the Lambda Developer Guide). A fresh account often has 10.
const DefaultConcurrency = 1000

// leastUnreserved is what must be left for functions that reserve nothing
// ("Configuring reserved concurrency for a function").
const leastUnreserved = 100

// ErrReserved says that an account has no such concurrency to reserve.
var ErrReserved = errors.New("unreserved concurrency would be below its minimum")

// Account is what functions share: how many invocations run at once. Many
// goroutines may use it at once.
type Account struct {
	least int

	mu   sync.Mutex
	left int // that is neither reserved nor used
}

// NewAccount returns an account with so much concurrency; 0 for the default.
func NewAccount(concurrency int) *Account {
	concurrency = cmp.Or(concurrency, DefaultConcurrency)
	return &Account{least: min(leastUnreserved, concurrency), left: concurrency}
}

// reserve takes n for one function, before any invocation.
func (a *Account) reserve(n int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > 0 && a.left-n < a.least {
		return fmt.Errorf("reserve %d of %d: %w of %d", n, a.left, ErrReserved, a.least)
	}
	a.left -= n
	return nil
}

// begin reports whether one more invocation may run; if so, end follows.
func (a *Account) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left == 0 {
		return false
	}
	a.left--
	return true
}

func (a *Account) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left++
}
