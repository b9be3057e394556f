package cloud

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"subwire/scripts/internal/balancer"
	"subwire/shared/topology"
)

// fakeHost, in the environment, makes this test's binary a host.
const fakeHost = "SUBWIRE_FAKE_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(fakeHost) != "" {
		runFakeHost()
	}
	os.Exit(m.Run())
}

// runFakeHost answers every request with its process id until it gets a signal.
func runFakeHost() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv(topology.HostPortEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) }))
	<-ctx.Done()
	os.Exit(0)
}

func startFakeHosts(t *testing.T, n int) *Hosts {
	t.Helper()
	hs := &Hosts{Balancer: balancer.New(balancer.Config{}), binary: os.Args[0], output: io.Discard,
		env: func(h *Host) ([]string, error) {
			_, port, err := net.SplitHostPort(h.Address)
			return []string{fakeHost + "=1", topology.HostPortEnv + "=" + port}, err
		}}
	t.Cleanup(hs.stop)
	for range n {
		if _, err := hs.add(""); err != nil {
			t.Fatal(err)
		}
	}
	if err := hs.awaitAll(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return hs
}

func pidAt(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	pid, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(pid)
}

func TestAKilledHostIsReplacedOnItsAddress(t *testing.T) {
	t.Parallel()
	hs := startFakeHosts(t, 2)
	victim := hs.Nodes()[0]
	before := pidAt(t, victim.Address)
	if err := hs.Kill(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	if pidAt(t, victim.Address) == before {
		t.Error("it was not killed")
	}
	for name, again := range map[string]func(context.Context, *Host) error{"lost": hs.Lose, "drained": hs.Drain} {
		if err := again(t.Context(), victim); err == nil {
			t.Errorf("a host that is not there was %s", name)
		}
	}
	if !slices.Contains(hs.Balancer.Healthy(), victim.Address) {
		t.Error("the other one at its address gets no requests")
	}
}

func TestALostHostIsReplacedElsewhere(t *testing.T) {
	t.Parallel()
	hs := startFakeHosts(t, 2)
	lost := hs.Nodes()[0]
	if err := hs.Lose(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get("http://" + lost.Address); err == nil {
		t.Error("somebody answers at its address")
	}
	if n := len(hs.Nodes()); n != 2 {
		t.Errorf("there are %d hosts", n)
	}
}

func TestADrainedHostIsReplacedFirstAndElsewhere(t *testing.T) {
	t.Parallel()
	hs := startFakeHosts(t, 1)
	before := hs.Nodes()[0]
	if err := hs.Drain(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	after := hs.Nodes()
	if len(after) != 1 || after[0].Address == before.Address {
		t.Errorf("the hosts are %v", after)
	}
	if healthy := hs.Balancer.Healthy(); !slices.Equal(healthy, []string{after[0].Address}) {
		t.Errorf("requests go to %v", healthy)
	}
	if h, err := hs.Node(1); err == nil {
		t.Errorf("there is a second host, %s", h.Address)
	}
	if h, ok := hs.At(before.Address); ok {
		t.Errorf("there is a host at %s", h.Address)
	}
	if h, ok := hs.At(after[0].Address); !ok || h != after[0] {
		t.Errorf("no host is at %s", after[0].Address)
	}
}

func TestAHostThatWasDrainedIsKilledAtLast(t *testing.T) {
	t.Parallel()
	hs := startFakeHosts(t, 1)
	h := hs.Nodes()[0]
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil { // it does not hear
		t.Fatal(err)
	}
	hs.mu.Lock()
	hs.nodes, hs.leaving = nil, []*Host{h}
	hs.mu.Unlock()
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hs.end(late, h); err == nil {
		t.Error("it ended in order")
	}
}

// Between the choice of a port and its use somebody else may get it.
func TestAHostThatCannotHaveItsAddressGetsAnother(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	hs := startFakeHosts(t, 0)
	if _, err := hs.add(taken.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := hs.awaitAll(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := hs.Balancer.Healthy(); got[0] == taken.Addr().String() {
		t.Errorf("the host is at %v", got)
	}
}

func TestAHostThatIsNotReplacedIsNamed(t *testing.T) {
	t.Parallel()
	hs := startFakeHosts(t, 1)
	said, w := io.Pipe()
	hs.mu.Lock()
	hs.output, hs.env = w, func(*Host) ([]string, error) { return nil, errors.New("no address for DynamoDB") }
	hs.mu.Unlock()
	if err := hs.Nodes()[0].kill(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if want := "host: not replaced: no address for DynamoDB\n"; line != want || err != nil {
		t.Errorf("said %q, %v", line, err)
	}
}
