package chaos

import (
	"strings"
	"testing"
	"time"

	"subwire/scripts/internal/apigwemu"
)

// The account's quota is so small that posts, frames, handshakes and mutations are
// refused on any machine. That costs time, and nothing else.
func TestNothingIsLostOnAThrottledAccount(t *testing.T) {
	onEveryProduct(t, time.Minute, func(t *testing.T, p product, seed uint64) {
		n := size(10, 4)
		rate := float64(size(150, 40)) // and the burst is smaller than one event's posts
		h := start(t, Setup{Seed: seed, Product: p, Subjects: n,
			Clients: few(p, size(45, 12)), Guests: few(p, size(5, 3)), Redelivery: time.Second,
			Limits: apigwemu.Limits{AccountRate: rate, AccountBurst: 4}})
		failed := postAll(t, h, subjects(p, n), size(50, 9), nil)
		settle(t, h, failed, 0.1)
		run, err := h.Run(within(t))
		if err != nil {
			t.Fatal(err)
		}
		refused := failed + len(run.Retried)
		for what, n := range h.Ends() {
			if strings.Contains(what, "429") || strings.Contains(what, "Too Many Requests") {
				refused += n
			}
		}
		if refused == 0 {
			t.Error("nothing was refused")
		}
	})
}
