package auth

import (
	"cmp"
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/golang-jwt/jwt/v5"

	"subwire/shared/sdkhttp"
	"subwire/shared/topology"
)

// keys finds the key that a token names as its own. An errNoKey is the token's fault.
type keys interface {
	key(ctx context.Context, t *jwt.Token) (any, error)
}

// parser returns the function that turns a static key into what the library verifies
// with, or nil for an algorithm that is not accepted.
func parser(algorithm string) func(key []byte) (any, error) {
	switch algorithm {
	case "RS256", "PS256":
		return parseRSA
	case "ES256":
		return parseEC
	case "EdDSA":
		return func(b []byte) (any, error) { return jwt.ParseEdPublicKeyFromPEM(b) }
	case topology.HS256:
		return parseSecret
	}
	return nil
}

func parseRSA(b []byte) (any, error) {
	key, err := jwt.ParseRSAPublicKeyFromPEM(b)
	if err == nil && key.N.BitLen() < minRSABits {
		err = errShortRSA
	}
	return key, err
}

func parseEC(b []byte) (any, error) {
	key, err := jwt.ParseECPublicKeyFromPEM(b)
	if err == nil && key.Curve != elliptic.P256() {
		err = errors.New("its curve must be P-256") // RFC 7518 section 3.4
	}
	return key, err
}

// minSecretBytes is the minimum for HS256 (RFC 7518 section 3.2).
const minSecretBytes = 32

func parseSecret(b []byte) (any, error) {
	if len(b) < minSecretBytes {
		return nil, fmt.Errorf("a secret for %s has at least %d bytes", topology.HS256, minSecretBytes)
	}
	if strings.Contains(string(b), "-----BEGIN") {
		return nil, fmt.Errorf("a key in PEM is no secret for %s", topology.HS256)
	}
	return b, nil
}

// keys returns the keys that the config names; check must have accepted it.
func (c Config) keys(awsCfg aws.Config) (keys, error) {
	parse := parser(c.Algorithm)
	name, isParameter := strings.CutPrefix(c.Key, topology.ParameterPrefix)
	switch {
	case parse == nil:
		return nil, fmt.Errorf("algorithm is %q: it must be one of %s", c.Algorithm,
			strings.Join(topology.Algorithms(), ", "))
	case c.KeysURL != "":
		return &remoteKeys{url: c.KeysURL, algorithm: c.Algorithm, lock: make(chan struct{}, 1),
			client: &http.Client{Timeout: fetchTime}, log: slog.Default()}, nil
	case isParameter:
		return &parameter{client: newParameters(awsCfg), name: name, parse: parse}, nil
	}
	key, err := parse([]byte(c.Key))
	if err != nil {
		return nil, fmt.Errorf("key for %s: %w", c.Algorithm, err)
	}
	return staticKey{key}, nil
}

// staticKey is one key for every token.
type staticKey struct{ value any }

func (k staticKey) key(context.Context, *jwt.Token) (any, error) { return k.value, nil }

// parameter is a static key in AWS Systems Manager's Parameter Store, which also reads
// secrets of Secrets Manager (/aws/reference/secretsmanager/NAME). It is read once,
// with the first token.
type parameter struct {
	client *ssm.Client
	name   string
	parse  func([]byte) (any, error)

	mu    sync.Mutex // guards what follows, and lets only one reader read
	value any
	tried time.Time // when it was last tried
	err   error     // how that ended
}

func (p *parameter) key(ctx context.Context, _ *jwt.Token) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.value != nil || paused(p.tried) {
		return p.value, p.err
	}
	p.tried = time.Now()
	p.value, p.err = p.read(ctx)
	return p.value, p.err
}

func (p *parameter) read(ctx context.Context) (any, error) {
	text, err := readParameter(ctx, p.client, p.name)
	if err != nil {
		return nil, err
	}
	key, err := p.parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", p.name, err)
	}
	return key, nil
}

// ReadParameter returns the text of a parameter, decrypted. It takes three seconds at most.
func ReadParameter(ctx context.Context, cfg aws.Config, name string) (string, error) {
	return readParameter(ctx, newParameters(cfg), name)
}

func newParameters(cfg aws.Config) *ssm.Client {
	return ssm.NewFromConfig(cfg, func(o *ssm.Options) { o.HTTPClient = sdkhttp.Wrap(o.HTTPClient) })
}

func readParameter(ctx context.Context, client *ssm.Client, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", fmt.Errorf("read parameter %s: %w", name, err)
	}
	return aws.ToString(out.Parameter.Value), nil
}

const (
	// fetchTime bounds one request for keys: a client is waiting for its answer.
	fetchTime = 3 * time.Second

	// keysAge is when keys are fetched again, as one may have been withdrawn. If that
	// fails, the old ones serve until it succeeds.
	keysAge = 15 * time.Minute

	// fetchPause is the least time between two fetches, however the first ended.
	// Anybody can send tokens, with made-up key ids too, and while the issuer is down
	// or slow each would wait for a fetch of its own.
	fetchPause = 30 * time.Second

	// maxSetBytes bounds what is read of a set: a hundred keys with their certificates
	// take less.
	maxSetBytes = 1 << 20
)

// paused reports whether it is too soon to fetch after a try at that time.
func paused(tried time.Time) bool { return time.Since(tried) < fetchPause }

// remoteKeys are a JSON Web Key Set behind a URL (RFC 7517 section 5). No goroutine
// refreshes them: Lambda would freeze it.
type remoteKeys struct {
	url       string
	algorithm string
	client    *http.Client
	log       *slog.Logger

	lock    chan struct{} // of size 1: its holder may use what follows, and fetch for the waiters
	set     keySet        // nil until one was fetched
	skipped []string      // keys of the set, as logged
	fetched time.Time     // when the set was fetched
	tried   time.Time     // when the last fetch was tried
	failed  error         // how that ended
}

func (k *remoteKeys) key(ctx context.Context, t *jwt.Token) (any, error) {
	id, ok := t.Header["kid"].(string)
	if !ok {
		return nil, errNoKey
	}
	select {
	case k.lock <- struct{}{}:
		defer func() { <-k.lock }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for keys: %w", ctx.Err())
	}
	if time.Since(k.fetched) > keysAge {
		if err := k.fetch(ctx); err != nil && k.set == nil {
			return nil, err
		}
	}
	if k.set[id] == nil { // it may be new
		if err := k.fetch(ctx); err != nil && !errors.Is(err, errPause) {
			return nil, err // not the token's fault
		}
	}
	if k.set[id] == nil {
		return nil, errNoKey
	}
	return jwt.VerificationKeySet{Keys: k.set[id]}, nil
}

var errPause = errors.New("keys were fetched a moment ago")

// fetch gets the set, unless that was tried a moment ago: then it returns that result,
// or errPause.
func (k *remoteKeys) fetch(ctx context.Context) error {
	if paused(k.tried) {
		return cmp.Or(k.failed, errPause)
	}
	k.tried = time.Now()
	body, err := k.read(ctx)
	var set keySet
	var skipped []string
	if err == nil {
		set, skipped, err = parseKeySet(body, k.algorithm)
	}
	if err != nil {
		k.failed = fmt.Errorf("fetch keys: %w", err)
		return k.failed
	}
	k.report(ctx, set, skipped)
	k.set, k.skipped, k.fetched, k.failed = set, skipped, k.tried, nil
	return nil
}

// FetchKeys returns how many of the keys behind the URL verify tokens of the algorithm. Its
// error says why there are none.
func FetchKeys(ctx context.Context, url, algorithm string) (usable int, err error) {
	k := remoteKeys{url: url, client: &http.Client{Timeout: fetchTime}}
	body, err := k.read(ctx)
	if err != nil {
		return 0, fmt.Errorf("fetch keys: %w", err)
	}
	set, skipped, err := parseKeySet(body, algorithm)
	if err == nil && len(set) == 0 {
		err = fmt.Errorf("no published key verifies tokens of %s: %s", algorithm, strings.Join(skipped, "; "))
	}
	return len(set), err
}

// report logs the skipped keys when they have changed, and a set that verifies no
// token. Such a set is still used: an issuer that withdraws its keys wants the old ones
// to stop working.
func (k *remoteKeys) report(ctx context.Context, set keySet, skipped []string) {
	if len(set) == 0 && (k.set == nil || len(k.set) > 0) {
		k.log.ErrorContext(ctx, "no published key verifies tokens", "algorithm", k.algorithm, "skipped", skipped)
	} else if len(skipped) > 0 && !slices.Equal(skipped, k.skipped) {
		k.log.WarnContext(ctx, "published keys were skipped", "algorithm", k.algorithm, "skipped", skipped)
	}
}

// read returns the body of a successful response.
func (k *remoteKeys) read(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json") // RFC 7517 section 8.5.2
	response, err := k.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered with status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxSetBytes+1))
	if err == nil && len(body) > maxSetBytes {
		err = fmt.Errorf("more than %d bytes", maxSetBytes)
	}
	return body, err
}
