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
	rounds(t, time.Minute, func(t *testing.T, seed uint64) {
		chatCount := size(10, 3)
		rate := float64(size(150, 40)) // and the burst is smaller than one event's posts
		h := start(t, Setup{Seed: seed, Chats: chatCount, Clients: size(45, 10), Guests: size(5, 2), Redelivery: time.Second,
			Limits: apigwemu.Limits{AccountRate: rate, AccountBurst: 4}})
		failed := postAll(t, h, chats(chatCount), size(50, 12), nil)
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
