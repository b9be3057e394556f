package apigw

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// poster posts without the SDK, whose middleware costs several times as much as the
// post.
type poster struct {
	credentials aws.CredentialsProvider
	signer      *signer
	pool        *pool
	skew        atomic.Int64 // what to add to our clock, in ns
}

// newPoster returns nil for what the SDK does better: the caller's own client, or a
// proxy.
func newPoster(cfg aws.Config, stage *url.URL, maxConns int, hashed bool) *poster {
	client, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok && cfg.HTTPClient != nil || cfg.Credentials == nil {
		return nil
	}
	if client == nil {
		client = awshttp.NewBuildableClient()
	}
	t := client.GetTransport()
	if t.DialTLSContext != nil {
		return nil
	}
	if t.Proxy != nil {
		if proxy, err := t.Proxy(&http.Request{URL: stage}); proxy != nil || err != nil {
			return nil
		}
	}
	return &poster{credentials: cached(cfg.Credentials), signer: newSigner(cfg.Region, stage, hashed),
		pool: newPool(stage, t, maxConns)}
}

func cached(p aws.CredentialsProvider) aws.CredentialsProvider {
	if c, ok := p.(*aws.CredentialsCache); ok {
		return c
	}
	return aws.NewCredentialsCache(p)
}

// post posts the frame before the deadline, at most twice. It returns the answer or why
// there was none.
func (p *poster) post(ctx context.Context, deadline time.Time, connectionID string, frame []byte) (response, error) {
	credentials, err := p.credentials.Retrieve(ctx)
	if err != nil {
		return response{}, fmt.Errorf("credentials: %w", err)
	}
	c, err := p.pool.get(ctx, deadline)
	if err != nil {
		return response{}, err
	}
	reused := c.reused
	a, err := p.send(ctx, deadline, c, credentials, connectionID, frame)
	if reused && unbelievable(a, err) && ctx.Err() == nil {
		p.pool.close() // the server closed it while it was idle, and perhaps the others too
		if c, err = p.pool.connect(ctx, deadline); err != nil {
			return response{}, err
		}
		a, err = p.send(ctx, deadline, c, credentials, connectionID, frame)
	}
	if err == nil && a.status == http.StatusForbidden && p.correctClock(a.date) {
		return response{}, errors.New("our clock was wrong")
	}
	return a, err
}

// unbelievable reports whether the outcome of a post on a used connection may have
// nothing to do with the post: the connection was closed, or it is what a load balancer
// writes before it closes an idle one.
func unbelievable(a response, err error) bool {
	if err != nil {
		return !errors.Is(err, os.ErrDeadlineExceeded)
	}
	return a.status == http.StatusRequestTimeout
}

// send sends the signed post on the connection, and keeps the connection if possible.
func (p *poster) send(ctx context.Context, deadline time.Time, c *conn, by aws.Credentials,
	connectionID string, frame []byte) (response, error) {
	now := time.Now().Add(time.Duration(p.skew.Load()))
	c.request = p.signer.append(c.request[:0], by, now, connectionID, frame)
	a, err := c.exchange(ctx, deadline)
	if a.keep {
		p.pool.put(c)
	} else {
		c.Close()
	}
	return a, err
}

// maxSkew is how wrong our clock may be before we go by the gateway's, which refuses
// signatures that are off by five minutes.
const maxSkew = 4 * time.Minute

// correctClock reports whether our time differs too much from an answer's date. If so,
// that counts from now on.
func (p *poster) correctClock(date string) bool {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return false
	}
	skew := time.Until(theirs)
	wrong := (skew - time.Duration(p.skew.Load())).Abs() > maxSkew
	if wrong {
		p.skew.Store(int64(skew))
	}
	return wrong
}
