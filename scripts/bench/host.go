package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/apigw"
	"subwire/shared/host/process"
	"subwire/shared/memory"
	"subwire/shared/metrics"
	"subwire/shared/node"
	"subwire/shared/sigv4"
	"subwire/shared/sockets"
	"subwire/shared/topology"
)

// runHost is Subwire's side of bench hosts: what functions/host runs, with a store in
// memory and anonymous viewers. It reads its set-up, says where it is, and serves until
// its input ends.
func runHost(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := json.NewDecoder(bufio.NewReader(in))
	var setup hostSetup
	if err := lines.Decode(&setup); err != nil {
		return fmt.Errorf("read set-up: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close()
	profile, err := newProfile(setup.Profile)
	if err != nil {
		return err
	}
	defer profile.stop()
	key := rand.Text()
	parts := hostParts(setup, listener.Addr().String(), key, profile.begin)
	h, set := process.New(parts)
	ctx, end := context.WithCancel(ctx)
	defer end()
	go h.Run(ctx)
	go set.Run(ctx)
	go flush(ctx, parts.Metrics)
	go func() { _ = set.Server().Serve(listener) }() // the process ends with it
	for !h.Ready() {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	at := parts.Address
	answer := hostAnswer{URL: "ws://" + at + "/graphql",
		Node: &hostNode{URL: "http://" + at, ID: set.Self().Node(), Key: key}}
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if err := lines.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("events come by the management API: %v", err)
	}
	return nil
}

// hostParts are those of functions/host without AWS. What should be sent later is lost; a
// lost event ends the benchmark. called runs for each call of the management API.
func hostParts(setup hostSetup, address, key string, called func()) process.Parts {
	signer := sigv4.Signer{AccessKey: node.AccessKey, SecretKey: key, Region: node.Region}
	return process.Parts{
		Store:    memory.New(),
		Executor: executor(),
		Checks:   later{},
		Retries:  later{},
		Dead:     later{},
		Passes:   passes(),
		Settings: topology.Defaults(),
		Log:      slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Metrics:  metrics.New("bench", io.Discard, time.Now),
		Address:  address,
		Sockets: sockets.Config{
			PingInterval: time.Duration(setup.PingMS) * time.Millisecond,
			Verify: func(r *http.Request) (bodyHash string, ok bool) {
				called()
				return signer.VerifyHead(r, time.Now())
			},
		},
	}
}

// flush writes the metrics as often as a host does.
func flush(ctx context.Context, m *metrics.Meter) {
	for tick := time.Tick(10 * time.Second); ; {
		select {
		case <-tick:
			m.Flush()
		case <-ctx.Done():
			return
		}
	}
}

// profile is of the process's CPU, from the first event on.
type profile struct {
	file  *os.File // nil for none
	begin func()
}

func newProfile(name string) (p profile, err error) {
	if name == "" {
		return profile{begin: func() {}}, nil
	}
	p.file, err = os.Create(name)
	p.begin = sync.OnceFunc(func() { _ = pprof.StartCPUProfile(p.file) }) // no other profile runs
	return p, err
}

func (p profile) stop() {
	if p.file != nil {
		pprof.StopCPUProfile()
		p.file.Close()
	}
}

// hostNode is how a sender reaches Subwire's side.
type hostNode struct {
	URL string `json:"url"`
	ID  string `json:"id"`
	Key string `json:"key"`
}

// maxPosts is how often an event is posted that the node does not take, which is a sender's
// number, too. A node remembers what it has delivered.
const maxPosts = 3

// poster posts events to the node one after the other, signed, as a sender does. stop
// returns the first error.
func (n hostNode) poster(ctx context.Context) (post func(root []byte) error, stop func() error) {
	client := apigw.NewHashed(aws.Config{Region: node.Region, Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: node.AccessKey, SecretAccessKey: n.Key}, nil
		})}, n.URL, 1)
	deliver := func(body []byte) (err error) {
		for range maxPosts {
			if err = client.Post(ctx, n.ID, body); err == nil {
				return nil
			}
		}
		return err
	}
	bodies, done := make(chan []byte, mostEvents), make(chan error, 1)
	go func() {
		var first error
		for body := range bodies {
			if first == nil {
				first = deliver(body)
			}
		}
		done <- first
	}()
	post = func(root []byte) error {
		e, err := eventOf(root)
		if err != nil {
			return err
		}
		body, err := node.Encode(e)
		if err != nil {
			return err
		}
		bodies <- body
		return nil
	}
	return post, func() error { close(bodies); return <-done }
}
