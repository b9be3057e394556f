package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/golang-jwt/jwt/v5"
)

// keys finds the key that a token says it is signed with. An errNoKey is the
// token's fault.
type keys interface {
	key(ctx context.Context, t *jwt.Token) (any, error)
}

// parser returns what turns a static key into what the library verifies with,
// or nil for an algorithm that is not taken.
func parser(algorithm string) func(key []byte) (any, error) {
	switch algorithm {
	case "RS256", "PS256":
		return func(b []byte) (any, error) { return jwt.ParseRSAPublicKeyFromPEM(b) }
	case "ES256":
		return func(b []byte) (any, error) { return jwt.ParseECPublicKeyFromPEM(b) }
	case "EdDSA":
		return func(b []byte) (any, error) { return jwt.ParseEdPublicKeyFromPEM(b) }
	case hmac:
		return parseSecret
	}
	return nil
}

const hmac = "HS256"

// minSecretBytes is the least for HS256 (RFC 7518 section 3.2).
const minSecretBytes = 32

func parseSecret(b []byte) (any, error) {
	if len(b) < minSecretBytes {
		return nil, fmt.Errorf("a secret for %s has at least %d bytes", hmac, minSecretBytes)
	}
	if strings.Contains(string(b), "-----BEGIN") {
		return nil, fmt.Errorf("a key in PEM is no secret for %s", hmac)
	}
	return b, nil
}

// keys is where the config says that keys are.
func (c Config) keys(awsCfg aws.Config) (keys, error) {
	parse := parser(c.Algorithm)
	u, err := url.Parse(c.KeysURL)
	name, isParameter := strings.CutPrefix(c.Key, "ssm:")
	switch {
	case parse == nil:
		return nil, fmt.Errorf("algorithm is %q: it must be RS256, PS256, ES256, EdDSA or HS256", c.Algorithm)
	case (c.KeysURL == "") == (c.Key == ""):
		return nil, errors.New("one of the URL of the keys and the key must be set")
	case c.KeysURL != "" && (err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == ""):
		return nil, errors.New("URL of the keys is no URL")
	case c.KeysURL != "" && c.Algorithm == hmac:
		return nil, fmt.Errorf("a secret for %s must not be published", hmac)
	case c.KeysURL != "":
		return &remoteKeys{url: c.KeysURL, client: &http.Client{Timeout: fetchTime}}, nil
	case isParameter:
		return &parameter{client: ssm.NewFromConfig(awsCfg), name: name, parse: parse}, nil
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

// parameter is a static key in AWS Systems Manager's Parameter Store, which
// also reads secrets of Secrets Manager (/aws/reference/secretsmanager/NAME).
// It is read once, with the first token.
type parameter struct {
	client *ssm.Client
	name   string
	parse  func([]byte) (any, error)

	mu    sync.Mutex // guards value, and makes one reader read
	value any
}

func (p *parameter) key(ctx context.Context, _ *jwt.Token) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.value != nil {
		return p.value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	out, err := p.client.GetParameter(ctx, &ssm.GetParameterInput{Name: &p.name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read parameter %s: %w", p.name, err)
	}
	if p.value, err = p.parse([]byte(aws.ToString(out.Parameter.Value))); err != nil {
		p.value = nil
		return nil, fmt.Errorf("parameter %s: %w", p.name, err)
	}
	return p.value, nil
}

const (
	// fetchTime bounds one request for keys: a client waits for its answer.
	fetchTime = 3 * time.Second

	// keysAge is after how long keys are fetched again, as one may have been
	// withdrawn. When that fails, the old ones serve until it succeeds.
	keysAge = 15 * time.Minute

	// fetchPause is the least time between two fetches, so that tokens with
	// made-up key ids cannot have the keys fetched for each.
	fetchPause = 30 * time.Second

	// failedPause is the same after a fetch that failed: clients wait for it.
	failedPause = 5 * time.Second
)

// remoteKeys are a JSON Web Key Set behind a URL (RFC 7517 section 5). There
// is no goroutine that refreshes them: Lambda freezes those.
type remoteKeys struct {
	url    string
	client *http.Client

	mu      sync.Mutex // guards what follows, and makes one reader fetch
	set     keyfunc.Keyfunc
	fetched time.Time // when the set was fetched
	tried   time.Time // when it last was to be fetched
	failed  error     // what came of that
}

func (k *remoteKeys) key(ctx context.Context, t *jwt.Token) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.fetched) > keysAge {
		if err := k.fetch(ctx); err != nil && k.set == nil {
			return nil, err
		}
	}
	key, err := k.set.KeyfuncCtx(ctx)(t)
	if errors.Is(err, jwkset.ErrKeyNotFound) { // it may be new
		switch fetchErr := k.fetch(ctx); {
		case fetchErr == nil:
			key, err = k.set.KeyfuncCtx(ctx)(t)
		case !errors.Is(fetchErr, errPause):
			return nil, fetchErr // that is not the token's fault
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoKey, err)
	}
	return key, nil
}

var errPause = errors.New("keys were fetched a moment ago")

// fetch gets the set, unless that was tried a moment ago: then it returns what
// came of that, or errPause.
func (k *remoteKeys) fetch(ctx context.Context) error {
	pause := fetchPause
	if k.failed != nil {
		pause = failedPause
	}
	if k.set != nil && time.Since(k.tried) < pause {
		return cmp.Or(k.failed, errPause)
	}
	k.tried = time.Now()
	set, err := k.read(ctx)
	if k.failed = err; err != nil {
		return err
	}
	k.set, k.fetched = set, k.tried
	return nil
}

func (k *remoteKeys) read(ctx context.Context) (keyfunc.Keyfunc, error) {
	storage, err := jwkset.NewStorageFromHTTP(k.url, jwkset.HTTPClientStorageOptions{Ctx: ctx, Client: k.client, HTTPTimeout: fetchTime})
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	set, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: storage})
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return set, nil
}
