package lambdart

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"subwire/shared/topology"
)

// DefaultConcurrency is how many invocations an account runs at once ("Lambda quotas"
// in the Lambda Developer Guide). A new account often has 10.
const DefaultConcurrency = 1000

// perSecond is how many invocations per second each unit of concurrency allows
// ("Understanding Lambda function scaling"). The allowed burst is undocumented: a
// second's worth is a guess.
const perSecond = 10

// ErrReserved says that an account cannot reserve that much concurrency.
var ErrReserved = errors.New("unreserved concurrency would be below its minimum")

// Account is the concurrency that functions share: how many invocations run at once.
// It is safe for concurrent use.
type Account struct {
	concurrency, least int
	shared             *pool // unreserved
}

// NewAccount returns an account with the given concurrency; 0 for the default.
func NewAccount(concurrency int) *Account {
	concurrency = cmp.Or(concurrency, DefaultConcurrency)
	return &Account{concurrency: concurrency, least: min(topology.LeastUnreserved, concurrency), shared: newPool(concurrency)}
}

// pool returns the pool of a function that has reserved n, or the shared one for 0.
// Call it before any invocation.
func (a *Account) pool(n int) (*pool, error) {
	if n == 0 {
		return a.shared, nil
	}
	if !a.shared.shrink(n, a.least) {
		return nil, fmt.Errorf("reserve %d: %w of %d", n, ErrReserved, a.least)
	}
	return newPool(n), nil
}

// Claimed is how much of the concurrency is reserved or in use: ClaimedAccountConcurrency
// in "Types of metrics for Lambda functions".
func (a *Account) Claimed() int {
	a.shared.mu.Lock()
	defer a.shared.mu.Unlock()
	return a.concurrency - a.shared.left
}

// pool limits how many invocations run at once, and how many begin in a second.
type pool struct {
	mu     sync.Mutex
	size   int
	left   int
	starts float64 // invocations that may begin at once, as of at
	at     time.Time
}

func newPool(size int) *pool { return &pool{size: size, left: size, starts: float64(perSecond * size)} }

// shrink takes n away, unless less than least would remain.
func (p *pool) shrink(n, least int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.size-n < least {
		return false
	}
	p.size, p.left = p.size-n, p.left-n
	return true
}

// begin reports whether one more invocation may run now; if so, call end.
func (p *pool) begin(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	rate := float64(perSecond * p.size)
	p.starts = min(rate, p.starts+rate*now.Sub(p.at).Seconds())
	p.at = now
	if p.left == 0 || p.starts < 1 {
		return false
	}
	p.left--
	p.starts--
	return true
}

func (p *pool) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left++
}
