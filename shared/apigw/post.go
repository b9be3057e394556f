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

// poster posts without the SDK, whose middleware costs several times as much
// as the post itself.
type poster struct {
	credentials aws.CredentialsProvider
	signer      *signer
	pool        *pool
	skew        atomic.Int64 // what to add to our clock, in ns
}

// newPoster returns nil for what the SDK does better: a client of the caller's
// own, or a proxy.
func newPoster(cfg aws.Config, stage *url.URL, maxConns int) *poster {
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
	return &poster{credentials: cached(cfg.Credentials), signer: newSigner(cfg.Region, stage), pool: newPool(stage, t, maxConns)}
}

func cached(p aws.CredentialsProvider) aws.CredentialsProvider {
	if c, ok := p.(*aws.CredentialsCache); ok {
		return c
	}
	return aws.NewCredentialsCache(p)
}

// post posts the frame before the deadline. A status of 0 means that no answer
// came; an error may come with a status, too.
func (p *poster) post(ctx context.Context, deadline time.Time, connectionID string, frame []byte) (status int, err error) {
	credentials, err := p.credentials.Retrieve(ctx)
	if err != nil {
		return 0, fmt.Errorf("credentials: %w", err)
	}
	for {
		c, err := p.pool.get(ctx, deadline)
		if err != nil {
			return 0, unsent{err}
		}
		now := time.Now().Add(time.Duration(p.skew.Load()))
		c.request = p.signer.append(c.request[:0], credentials, now, connectionID, frame)
		a, err := c.exchange(ctx, deadline)
		if a.keep {
			p.pool.put(c)
		} else {
			c.Close()
		}
		switch {
		case a.status == 0 && c.reused && ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded):
			p.pool.close() // the server closed it while it was idle, and the others with it
			continue
		case err != nil:
			return a.status, unsent{err}
		case a.status == http.StatusForbidden && p.correctClock(a.date):
			return http.StatusServiceUnavailable, errors.New("our clock was wrong")
		case a.status >= http.StatusMultipleChoices:
			return a.status, fmt.Errorf("status %d %s", a.status, a.errorType)
		}
		return a.status, nil
	}
}

// unsent is an error of the network.
type unsent struct{ error }

// maxSkew is how wrong our clock may be before the gateway's counts; it
// refuses signatures that differ by five minutes.
const maxSkew = 4 * time.Minute

// correctClock reports whether our time differs too much from the date of an
// answer, and takes over that from now on.
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
