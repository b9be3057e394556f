package cloud

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"subwire/scripts/internal/balancer"
	"subwire/scripts/internal/lambdart"
	"subwire/shared/topology"
)

// Hosts are the processes of the other host, behind a load balancer. Functions reach them
// through it, too, so an event meets any of them, which forwards it. A process that is
// killed is replaced on its address, as harsh as can be; one that fails, on another one; and
// one that is drained, on another one, and first, as ECS does.
type Hosts struct {
	URL      string // of the load balancer, for functions
	Key      string // with which their requests are signed
	Balancer *balancer.Balancer

	binary  string
	env     func(h *Host) ([]string, error) // of one process
	output  io.Writer
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	nodes   []*Host    // those that take sockets
	leaving []*Host    // those that drain
	stopped bool
}

// Host is one of the processes. A replacement on the same address is another Host.
type Host struct {
	Address string // HOST:PORT on loopback

	cmd     *exec.Cmd
	offline atomic.Bool   // the network between it and DynamoDB and SQS is down
	exited  chan struct{} // closed when it has
}

const (
	// hostStart bounds how long a process takes to become healthy, on a busy machine.
	hostStart = time.Minute

	// hostAgain is how long after its end a process is replaced.
	hostAgain = 100 * time.Millisecond

	// localDrain is short, for the sake of Ctrl-C and of tests.
	localDrain = 2 * time.Second

	// drainGrace is how long a process may take to drain. It is then killed.
	drainGrace = 10*time.Second + localDrain
)

// prepareHosts opens the load balancer and tells the functions of it, before they start.
func (c *Cloud) prepareHosts(l net.Listener) error {
	binary, err := filepath.Abs(filepath.Join(c.cfg.Root, "bin", "local", topology.Host.Name, "bootstrap"))
	if err != nil {
		return fmt.Errorf("find host: %w", err)
	}
	c.cfg.Settings = maps.Clone(c.cfg.Settings)
	if c.cfg.Settings == nil {
		c.cfg.Settings = map[string]string{}
	}
	c.Hosts = &Hosts{URL: "http://" + l.Addr().String(), Key: rand.Text(),
		// Its time for silence is AWS's default, which is harsher than topology.Fargate.Silent.
		Balancer: balancer.New(balancer.Config{Log: c.cfg.Log}),
		binary:   binary,
		output: c.lines.of(topology.Host.Name,
			c.toConsole(topology.Host.Name, c.watch.log(topology.Host.Name, c.cfg.Output))),
	}
	c.cfg.Settings[topology.HostURL.Env] = c.Hosts.URL
	c.cfg.Settings[topology.HostKey.Env] = c.Hosts.Key
	c.serve(c.Hosts.Balancer.Listen(l), withFaults(c.Injector.Gateway(), c.Hosts.Balancer))
	return nil
}

// startHosts starts the processes, and waits until all are healthy.
func (c *Cloud) startHosts(ctx context.Context, callback string) error {
	own := c.environ(c.cfg.App.Function(topology.Host.Name), callback)
	c.Hosts.env = func(h *Host) ([]string, error) {
		services, err := c.hostServices(h)
		if err != nil {
			return nil, err
		}
		return slices.Concat(lambdart.Base(), own, services, []string{
			topology.HostAddressEnv + "=" + h.Address,
			topology.HostPortEnv + "=" + h.Address[strings.LastIndex(h.Address, ":")+1:],
			topology.HostDrainEnv + "=" + localDrain.String(),
		}), nil
	}
	for range c.cfg.Hosts {
		if _, err := c.Hosts.add(""); err != nil {
			return err
		}
	}
	return c.Hosts.awaitAll(ctx, c.cfg.Hosts)
}

// hostServices are the addresses of DynamoDB and SQS for one process, which can be cut off
// from both.
func (c *Cloud) hostServices(h *Host) ([]string, error) {
	env := c.Backend.Environ() // of equal names the last counts
	for name, to := range map[string]http.Handler{"AWS_ENDPOINT_URL_DYNAMODB": c.dynamoDB, "AWS_ENDPOINT_URL_SQS": c.sqs} {
		reached := c.watchCalls(c.Injector.Before(to))
		address, err := c.address(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if h.offline.Load() {
				panic(http.ErrAbortHandler) // the caller sees a broken connection
			}
			reached.ServeHTTP(w, r)
		}))
		if err != nil {
			return nil, err
		}
		env = append(env, name+"="+address)
	}
	return env, nil
}

// add starts a process on the address, or on a free port if that is "".
func (hs *Hosts) add(address string) (*Host, error) {
	if address == "" {
		var err error
		if address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	h := &Host{Address: address, exited: make(chan struct{})}
	env, err := hs.env(h)
	if err != nil {
		return nil, err
	}
	h.cmd = exec.Command(hs.binary)
	h.cmd.Env, h.cmd.Dir, h.cmd.SysProcAttr = env, filepath.Dir(hs.binary), lambdart.ChildAttr()
	out := lambdart.Lines(hs.output, topology.Host.Name+": ")
	h.cmd.Stdout, h.cmd.Stderr = out, out
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.stopped {
		return nil, errors.New("start host: the cloud has stopped")
	}
	started := make(chan error)
	hs.running.Go(func() { hs.supervise(h, started) })
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start host: %w", err)
	}
	hs.nodes = append(hs.nodes, h)
	hs.Balancer.Add(h.Address)
	return h, nil
}

// freeAddress returns an address that nobody listens on. Its port is below those that the
// kernel gives away (from 32768; ip_local_port_range in "IP Sysctl" of the kernel's
// documentation): a connection of anybody could have one of these by the time at which the
// process starts, or starts again.
func freeAddress() (string, error) {
	var l net.Listener
	var err error
	for range 100 {
		if l, err = listen(fmt.Sprintf("127.0.0.1:%d", 20_000+mathrand.IntN(12_000))); err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("find address for host: %w", err)
}

// supervise starts a process, waits for its end and replaces it, unless it was to end.
func (hs *Hosts) supervise(h *Host, started chan<- error) {
	runtime.LockOSThread() // the kernel kills it when the thread that started it ends
	defer runtime.UnlockOSThread()
	err := h.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = h.cmd.Wait() // its log tells why
	hs.mu.Lock()
	stays := slices.Contains(hs.nodes, h)
	same := func(other *Host) bool { return other == h }
	hs.nodes, hs.leaving = slices.DeleteFunc(hs.nodes, same), slices.DeleteFunc(hs.leaving, same)
	again := stays && !hs.stopped
	hs.mu.Unlock()
	hs.Balancer.Remove(h.Address)
	close(h.exited)
	if !again {
		return
	}
	time.Sleep(hostAgain) // a process that cannot start must not spin
	address := h.Address
	if h.cmd.ProcessState.ExitCode() > 0 { // perhaps somebody else has got its port
		address = ""
	}
	if _, err := hs.add(address); err != nil {
		fmt.Fprintf(hs.output, "%s: not replaced: %v\n", topology.Host.Name, err) // there is nobody to tell but the reader
	}
}

// setDown takes the network of every socket away, or gives it back.
func (c *Cloud) setDown(down bool) {
	c.Gateway.SetDown(down)
	if c.Hosts != nil {
		c.Hosts.Balancer.SetDown(down)
	}
}

// Nodes are the processes that take sockets.
func (hs *Hosts) Nodes() []*Host {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return slices.Clone(hs.nodes)
}

// Node is the i-th of Nodes.
func (hs *Hosts) Node(i int) (*Host, error) {
	nodes := hs.Nodes()
	if i < 0 || i >= len(nodes) {
		return nil, fmt.Errorf("there are %d hosts, and no host %d", len(nodes), i)
	}
	return nodes[i], nil
}

// At is the one of Nodes with that address.
func (hs *Hosts) At(address string) (h *Host, ok bool) {
	nodes := hs.Nodes()
	i := slices.IndexFunc(nodes, func(h *Host) bool { return h.Address == address })
	if i < 0 {
		return nil, false
	}
	return nodes[i], true
}

// Kill kills the process, as when its machine is lost, and returns when another is healthy
// on its address.
func (hs *Hosts) Kill(ctx context.Context, h *Host) error {
	n := len(hs.Nodes())
	if err := h.kill(); err != nil {
		return err
	}
	return hs.awaitAll(ctx, n)
}

// awaitAll waits until n processes run and are healthy.
func (hs *Hosts) awaitAll(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, hostStart)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(hs.Nodes()) < n || len(hs.Balancer.Healthy()) < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the hosts are not healthy")
		}
	}
	return nil
}

// Drain replaces the process, and returns when it has ended: another one is healthy before
// the load balancer takes it out and it gets the signal to end.
func (hs *Hosts) Drain(ctx context.Context, h *Host) error {
	if _, err := hs.add(""); err != nil {
		return err
	}
	if err := hs.awaitAll(ctx, len(hs.Nodes())); err != nil {
		return err
	}
	if err := hs.leave(h); err != nil {
		return err
	}
	hs.Balancer.Remove(h.Address)
	return hs.end(ctx, h)
}

// leave takes a process off those that take sockets: nobody replaces it. One that is none of
// them is an error, as another may have its address by now.
func (hs *Hosts) leave(h *Host) error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	i := slices.Index(hs.nodes, h)
	if i < 0 {
		return fmt.Errorf("host %s takes no sockets any more", h.Address)
	}
	hs.nodes = slices.Delete(hs.nodes, i, i+1)
	hs.leaving = append(hs.leaving, h)
	return nil
}

// kill kills the process and waits for its end. One that has ended is no error.
func (h *Host) kill() error {
	if err := h.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill host: %w", err)
	}
	<-h.exited
	return nil
}

// end asks a process to end, and kills it if it does not.
func (hs *Hosts) end(ctx context.Context, h *Host) error {
	_ = h.cmd.Process.Signal(syscall.SIGTERM) // it may have exited
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	select {
	case <-h.exited:
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	return errors.Join(fmt.Errorf("host %s did not end within %s", h.Address, drainGrace), h.kill())
}

// CutOff takes the process from DynamoDB and SQS, or lets it reach them again. Its clients
// still reach it.
func (h *Host) CutOff(off bool) { h.offline.Store(off) }

// stop ends all processes, side by side.
func (hs *Hosts) stop() {
	hs.mu.Lock()
	hs.stopped = true
	all := slices.Concat(hs.nodes, hs.leaving)
	hs.mu.Unlock()
	var ending sync.WaitGroup
	for _, h := range all {
		ending.Go(func() { _ = hs.end(context.Background(), h) })
	}
	ending.Wait()
	hs.running.Wait()
	hs.Balancer.Close()
}

// Lose kills the process for good, as when its machine is lost, and its address with it. It
// returns when another one is healthy in its place.
func (hs *Hosts) Lose(ctx context.Context, h *Host) error {
	n := len(hs.Nodes())
	if err := hs.leave(h); err != nil {
		return err
	}
	if err := h.kill(); err != nil {
		return err
	}
	if _, err := hs.add(""); err != nil {
		return err
	}
	return hs.awaitAll(ctx, n)
}

// control is the part of the control API for hosts (see control.go).
func (hs *Hosts) control(mux *http.ServeMux) {
	do := func(act func(ctx context.Context, h *Host) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h, ok := hs.At(r.PathValue("address"))
			if !ok {
				http.NotFound(w, r)
				return
			}
			if err := act(r.Context(), h); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}
	mux.HandleFunc("GET /hosts", func(w http.ResponseWriter, _ *http.Request) {
		all := []string{}
		for _, h := range hs.Nodes() {
			all = append(all, h.Address)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(all) // fails only if the reader has gone
	})
	mux.HandleFunc("PUT /hosts/{address}/kill", do(hs.Kill))
	mux.HandleFunc("PUT /hosts/{address}/drain", do(hs.Drain))
	cutOff := func(off bool) http.HandlerFunc {
		return do(func(_ context.Context, h *Host) error { h.CutOff(off); return nil })
	}
	mux.HandleFunc("PUT /hosts/{address}/offline", cutOff(true))
	mux.HandleFunc("PUT /hosts/{address}/online", cutOff(false))
}
