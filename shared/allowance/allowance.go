// Package allowance bounds what one payer, an address or a viewer, makes the
// owner pay in a minute, whatever it sends and however many processes serve it.
//
// To count each frame in the store would cost nearly as much as the frame. So
// only a sample is counted: a cost c is written with the probability c/n, as n.
// The expected sum is exact, also over many processes that know nothing of each
// other, and its standard deviation is √(n × sum). The answer to the write is
// what all have counted; a process that finds it beyond the allowance refuses
// the payer until the minute ends, without a further write.
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
	// window is for how long costs add up.
	window = time.Minute

	// sample is what is written at least, in units. It makes the writes cost a
	// hundredth of what they count, and leaves each process 60 units on average
	// before it hears of what the others have counted.
	sample = 60

	// storeTime is how long a count may take: it must not hold up a client.
	storeTime = 250 * time.Millisecond

	// maxKnown is how many payers beyond their allowance a process remembers.
	maxKnown = 10_000

	// far is how many times its allowance a payer spends that does not heed refusals.
	far = 1.2
)

// Store adds up what payers have spent.
type Store interface {
	// Spend adds the units to what the payer has spent in the window that begins
	// at the time, and returns the sum. It need not be kept for long after the
	// window. A call whose answer is lost may have been counted.
	Spend(ctx context.Context, payer string, window time.Time, units int) (sum int, err error)
}

// State is how a payer stands.
type State int

// The states: what is asked for may be done, is to be refused, or is asked for
// by a payer that goes on although it was refused.
const (
	Within State = iota
	Beyond
	FarBeyond
)

// Allowance is what every payer may spend in a minute. Nil bounds nothing.
type Allowance struct {
	Store     Store
	PerMinute int              // in units, see prices.go
	Now       func() time.Time // nil for time.Now
	Chance    func() float64   // in [0, 1); nil for a random one
	Log       *slog.Logger     // is told the kinds of payers that are beyond, and not who; nil for none

	mu    sync.Mutex         // guards what follows
	began time.Time          // of the window
	known map[string]float64 // what payers that are beyond have spent in it
}

// New returns an allowance of so many units a minute, or nil for 0.
func New(store Store, perMinute int, log *slog.Logger) *Allowance {
	if perMinute == 0 {
		return nil
	}
	return &Allowance{Store: store, PerMinute: perMinute, Log: log}
}

// Draw takes the cost, in units, from what each payer has left, and says how the
// worst of them stands; payers that are "" are left out. While the store does
// not answer, everybody is within: what guards the owner's money must not stop
// those who pay for nothing.
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
	if state := a.beyond(began, payer, cost, 0); state != Within {
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
	return a.beyond(began, payer, 0, float64(sum))
}

// beyond adds the cost to what a payer has spent that is known to be beyond its
// allowance, or is found so by the sum, and says how it stands.
func (a *Allowance) beyond(began time.Time, payer string, cost, sum float64) State {
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
		a.Log.Warn("allowance is spent", "payer", kind, "units", int(sum))
	}
	spent = max(spent, sum) + cost
	a.known[payer] = spent
	if spent > far*float64(a.PerMinute) {
		return FarBeyond
	}
	return Beyond
}

// Again is how long it takes until all have their allowance again, in whole
// seconds from 1 to 60.
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

// Address is the payer for an IP address. It counts an IPv6 network as one: its
// 2^64 addresses are one customer's (RFC 6177).
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
