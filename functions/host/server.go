package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"subwire/functions/internal/operations"
	"subwire/shared/boot"
	"subwire/shared/edge"
	"subwire/shared/gql"
	"subwire/shared/host"
	"subwire/shared/host/process"
	"subwire/shared/metrics"
	"subwire/shared/node"
	"subwire/shared/queue"
	"subwire/shared/sigv4"
	"subwire/shared/sockets"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

const (
	// flushEvery is how often metrics are written.
	flushEvery = 10 * time.Second

	// forwardTime bounds a request to another node. The caller gives up as soon (package
	// apigw), and what it has given up need not go on.
	forwardTime = 5 * time.Second

	// forwardIdle is how long a connection to another node waits for the next request: less
	// than that leaves it open (sockets.Set.Server).
	forwardIdle = 90 * time.Second

	// forwardConns is how many connections to one node may wait so.
	forwardConns = 64

	// finishTime bounds what is left to do when no socket is left.
	finishTime = 10 * time.Second

	// drainGrace is how much longer than planned draining may take.
	drainGrace = 15 * time.Second
)

// server is the whole process.
type server struct {
	boot.Process
	env     boot.Host
	key     aws.CredentialsProvider
	host    *host.Host
	sockets *sockets.Set
	edge    edge.Guard
}

// newServer builds the process from its settings.
func newServer(p boot.Process, app *subwire.App) (*server, error) {
	env, key, err := p.Host()
	if err != nil {
		return nil, err
	}
	settings := p.Settings
	if err := topology.CheckHandshakeToken(settings); err != nil {
		return nil, err
	}
	limits := gql.LimitsOf(settings).OverSocket()
	o, err := operations.New(p, app, limits)
	if err != nil {
		return nil, err
	}
	if env.Address == "" {
		if env.Address, err = taskAddress(context.Background(), env); err != nil {
			return nil, err
		}
	}
	s := &server{Process: p, env: env, key: key, edge: topology.EdgeSecret.In(settings)}
	s.build(o, app)
	return s, nil
}

// build puts the process together on AWS.
func (s *server) build(o operations.Operations, app *subwire.App) {
	queues := queue.NewClient(s.AWS)
	s.host, s.sockets = process.New(process.Parts{
		Store:     o.Store,
		Executor:  o.Executor,
		Auth:      o.Auth,
		Checks:    o.Checks,
		Documents: o.Documents,
		Allowance: o.Allowance,
		Audiences: o.Audiences,
		Retries:   queue.New(queues, s.Queue(topology.Retries)),
		Dead:      queue.New(queues, s.Queue(topology.RetriesDead)),
		Passes:    app.Passes,
		Settings:  s.Settings,
		Log:       s.Log,
		Metrics:   s.Metrics,
		Address:   s.env.Address,
		Sockets: sockets.Config{
			Address: s.address,
			Verify:  s.verify,
			Client:  forwarder(),
			Sign:    s.sign,

			MaxSockets: s.mostSockets(),
		},
	})
}

// forwarder makes the requests to other nodes. They are in the same network, so it uses no
// proxy. It follows no redirect: a node sends none, and a signed request must not go elsewhere.
func forwarder() *http.Client {
	return &http.Client{
		Timeout:       forwardTime,
		Transport:     &http.Transport{MaxIdleConnsPerHost: forwardConns, IdleConnTimeout: forwardIdle},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// mostSockets is how many the memory of a task is for; 0 elsewhere, for the default.
func (s *server) mostSockets() int {
	if s.env.Targets == "" {
		return 0
	}
	return topology.Fargate.MostSockets
}

// serve serves until ctx ends or the load balancer takes the process out, and then until
// its sockets are closed.
func (s *server) serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", ":"+s.env.Port)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := s.sockets.Server()
	server.Handler = s.behindEdge(s.withListed(server.Handler))
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()

	// What runs until no socket is left.
	running, stop := context.WithCancel(context.Background())
	defer stop()
	var parts sync.WaitGroup
	parts.Go(func() { s.host.Run(running) })
	parts.Go(func() { s.sockets.Run(running) })
	parts.Go(func() { s.measure(running) })

	leaving := make(chan struct{})
	go func() {
		if s.takenOut(ctx) {
			close(leaving)
		}
	}()
	select {
	case err := <-serving:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	case <-leaving:
	}
	s.Log.InfoContext(ctx, "draining", "sockets", s.sockets.Len(), "over", s.env.Drain.String())
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.env.Drain+drainGrace)
	defer cancel()
	s.sockets.Drain(draining, s.env.Drain)
	stop()
	parts.Wait()
	finishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	err = s.host.Finish(finishing)
	s.Metrics.Flush()
	return errors.Join(err, server.Close())
}

// measure writes the metrics every so often.
func (s *server) measure(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Metrics.Observe(metrics.Sockets, float64(s.sockets.Len()))
			s.Metrics.Flush()
		case <-ctx.Done():
			return
		}
	}
}

// behindEdge refuses clients that did not come through the owner's CloudFront, if there is
// one. Management requests are signed, and a health check tells nothing.
func (s *server) behindEdge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isClient := !strings.HasPrefix(r.URL.Path, node.ManagementPath) && r.URL.Path != "/healthz"
		if isClient && !s.edge.Admits(r.Header.Get(edge.SecretHeader)) {
			s.Metrics.AddRefusal(metrics.Refused, "403")
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// address is the client's. In a deployment the last of X-Forwarded-For is what the load
// balancer saw ("HTTP headers and Application Load Balancers": it appends); what stands
// before it is the client's to invent.
func (s *server) address(r *http.Request) string {
	source, _, _ := net.SplitHostPort(r.RemoteAddr)
	if s.env.Targets != "" {
		list := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
		if last := strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:]); last != "" {
			source = last
		}
	}
	return s.edge.Address(source, r.Header.Get(edge.AddressHeader))
}

// verify reports whether a management request is from who has the key, and which hash its
// body must have.
func (s *server) verify(r *http.Request) (bodyHash string, ok bool) {
	c, err := s.key.Retrieve(r.Context())
	if err != nil {
		s.Log.ErrorContext(r.Context(), "key of hosts not read", "error", err)
		return "", false
	}
	from := sigv4.Signer{AccessKey: c.AccessKeyID, SecretKey: c.SecretAccessKey, Region: node.Region}
	return from.VerifyHead(r, time.Now())
}

// signer remembers the key that it has derived: most posts are forwarded.
var signer = v4.NewSigner()

// sign signs a request to another node.
func (s *server) sign(r *http.Request, body []byte) error {
	c, err := s.key.Retrieve(r.Context())
	if err != nil {
		return err
	}
	hash := sigv4.Hash(body)
	r.Header.Set(sigv4.BodyHash, hash)
	return signer.SignHTTP(r.Context(), c, r, hash, "execute-api", node.Region, time.Now())
}
