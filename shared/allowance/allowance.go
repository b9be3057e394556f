// Package allowance bounds what one payer, an address or a viewer, can make the owner
// pay in a minute, whatever it sends and however many processes serve it.
//
// Counting each frame in the store would cost nearly as much as the frame. So only a
// sample is counted: a cost c is written with the probability c/n, as n. The expected
// sum is exact, even over many processes that know nothing of each other, and its
// standard deviation is √(n × sum). The answer to the write is what all have counted. A
// process that finds it beyond the allowance refuses the payer until the minute ends,
// without another write.
package allowance

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	// window is how long costs add up.
	window = time.Minute

	// sample is the least that is written, in units. With it the writes cost a
	// hundredth of what they count, and each process has 60 units on average before it
	// hears what the others have counted.
	sample = 60

	// storeTime bounds a count: it must not hold up a client.
	storeTime = 250 * time.Millisecond

	// maxKnown is how many payers beyond their allowance a process remembers.
	maxKnown = 10_000

	// far is how many times its allowance a payer has spent when it ignores refusals.
	far = 1.2
)

// Store adds up what payers have spent.
type Store interface {
	// Spend adds the units to what the payer has spent in the window that begins at
	// that time, and returns the sum. It need not be kept long after the window. A call
	// that lost its answer may have been counted.
	Spend(ctx context.Context, payer string, window time.Time, units int) (sum int, err error)
}

// State is how a payer stands.
type State int

// The states: what is asked for may be done; it is refused; or it is asked for by a
// payer that goes on although it was refused.
const (
	Within State = iota
	Beyond
	FarBeyond
)

// Allowance is what every payer may spend in a minute. A nil Allowance has no limit.
type Allowance struct {
	Store     Store
	PerMinute int              // in units, see prices.go
	Now       func() time.Time // nil for time.Now
	Chance    func() float64   // in [0, 1); nil for a random one
	Log       *slog.Logger     // gets the kinds of payers that are beyond, not who they are; nil for none

	mu    sync.Mutex         // guards what follows
	began time.Time          // of the window
	known map[string]float64 // what payers beyond their allowance have spent in it
}

// New returns an allowance of perMinute units a minute, or nil for 0.
func New(store Store, perMinute int, log *slog.Logger) *Allowance {
	if perMinute == 0 {
		return nil
	}
	return &Allowance{Store: store, PerMinute: perMinute, Log: log}
}

// Draw takes the cost, in units, from what each payer has left, and returns the worst
// of their states; it skips payers that are "". If the store does not answer, everybody
// is within: what guards the owner's money must not stop those who cost nothing.
func (a *Allowance) Draw(ctx context.Context, cost float64, payers ...string) State {
	worst := Within
	if a == nil || cost <= 0 {
		return worst
	}
	for _, payer := range payers {
		if payer != "" {
			worst = max(worst, a.draw(ctx, cost, payer))
		}
	}
	return worst
}

func (a *Allowance) draw(ctx context.Context, cost float64, payer string) State {
	began := a.now().Truncate(window)
	if state := a.beyond(ctx, began, payer, cost, 0); state != Within {
		return state
	}
	units := max(sample, math.Ceil(cost))
	if a.chance()*units >= cost {
		return Within
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	sum, err := a.Store.Spend(ctx, payer, began, int(units))
	if err != nil || sum <= a.PerMinute {
		return Within
	}
	return a.beyond(ctx, began, payer, 0, float64(sum))
}

// beyond adds the cost to what a payer has spent that is beyond its allowance, as is
// known or as the sum shows, and returns its state.
func (a *Allowance) beyond(ctx context.Context, began time.Time, payer string, cost, sum float64) State {
	a.mu.Lock()
	defer a.mu.Unlock()
	if began.After(a.began) || len(a.known) >= maxKnown {
		a.began, a.known = began, map[string]float64{}
	}
	spent, isKnown := a.known[payer]
	if !isKnown && sum == 0 {
		return Within
	}
	if !isKnown && a.Log != nil {
		kind, _, _ := strings.Cut(payer, "/")
		a.Log.WarnContext(ctx, "allowance is spent", "payer", kind, "units", int(sum))
	}
	spent = max(spent, sum) + cost
	a.known[payer] = spent
	if spent > far*float64(a.PerMinute) {
		return FarBeyond
	}
	return Beyond
}

// Again is when all have their allowance again, in whole seconds from 1 to 60.
func (a *Allowance) Again() int {
	now := a.now()
	return int(math.Ceil(now.Truncate(window).Add(window).Sub(now).Seconds()))
}

func (a *Allowance) now() time.Time {
	if a.Now == nil {
		return time.Now()
	}
	return a.Now()
}

func (a *Allowance) chance() float64 {
	if a.Chance == nil {
		return rand.Float64()
	}
	return a.Chance()
}

// Viewer is the payer for a viewer with a token, or "".
func Viewer(id string) string {
	if id == "" {
		return ""
	}
	return "viewer/" + id
}

// Address is the payer for an IP address. An IPv6 network counts as one: its 2^64
// addresses belong to one customer (RFC 6177).
func Address(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "address/" + address
	}
	ip = ip.Unmap()
	network := netip.PrefixFrom(ip, ip.BitLen())
	if ip.Is6() {
		network = netip.PrefixFrom(ip, 64).Masked()
	}
	return "address/" + network.String()
}
