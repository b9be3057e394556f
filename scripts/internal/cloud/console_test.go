package cloud

import (
	"context"
	"math"
	"net"
	"testing"

	"subwire/shared/products"
)

// Those that are opening count, so that asking often opens no more than asking once.
func TestSubscribersAreBounded(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	app, err := products.App("chat")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	d := &deck{Cloud: &Cloud{run: ctx, WSURL: "ws://" + silent.Addr().String()}, app: app}
	for _, step := range []struct {
		add     int
		refused bool
	}{{1500, false}, {501, true}, {math.MaxInt, true}, {-1, true}, {500, false}, {1, true}} {
		if n, err := d.subscribe(ctx, step.add); (err != nil) != step.refused {
			t.Errorf("%d more: %d, error %v", step.add, n, err)
		}
	}
	stop()
	d.running.Wait()
	if d.subscribers.all != 0 {
		t.Errorf("%d are left", d.subscribers.all)
	}
}
