// Package auth finds out who sends a request. It checks the JSON Web Token in an
// Authorization header (RFC 7519, RFC 8725 "JSON Web Token Best Current Practices", RFC
// 6750 "Bearer Token Usage"). It decides nothing about what the viewer may do, and
// keeps no more of a token than a pubsub.Viewer.
package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/golang-jwt/jwt/v5"

	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// Config says whose tokens are accepted. All but Mode is for topology.JWT only.
type Config struct {
	Mode      string        // topology.Anonymous or topology.JWT
	Issuer    string        // claim iss
	Audience  string        // must be in the claim aud
	Algorithm string        // the only one accepted, of topology.Algorithms
	KeysURL   string        // of a JSON Web Key Set, as topology.JWTKeysURL reads it; or else
	Key       string        // public key in PEM, secret for HS256, or ssm:NAME for a parameter that holds one
	Leeway    time.Duration // how far the issuer's clock may differ from ours
	Claims    []string      // that a Viewer keeps, for the product's rules
}

// ConfigOf returns the config that a function was given, for a product that looks at
// these claims. The deployment may have others kept.
func ConfigOf(v topology.Values, claims []string) Config {
	return Config{
		Mode:      topology.Auth.In(v),
		Issuer:    topology.JWTIssuer.In(v),
		Audience:  topology.JWTAudience.In(v),
		Algorithm: topology.JWTAlgorithm.In(v),
		KeysURL:   topology.JWTKeysURL.In(v),
		Key:       topology.JWTKey.In(v),
		Leeway:    topology.JWTLeeway.In(v),
		Claims:    slices.Concat(claims, topology.Claims.In(v)),
	}
}

// Limits on what is taken from a token, in bytes. API Gateway takes 10 KB of headers; a
// viewer is in every row of its subscriptions.
const (
	maxTokenBytes  = 8 << 10
	maxClaimsBytes = 2 << 10
)

// Authenticator checks tokens. It may be used by many goroutines at once.
type Authenticator struct {
	anonymous bool
	parser    *jwt.Parser
	keys      keys
	leeway    time.Duration
	claims    []string
}

// New returns an authenticator, or an error that says what is wrong with the config. It
// does no network I/O: keys are fetched when a token needs them. The AWS config is for
// a key in a parameter.
func New(c Config, awsCfg aws.Config) (*Authenticator, error) {
	if c.Mode == topology.Anonymous {
		return &Authenticator{anonymous: true}, nil
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	keys, err := c.keys(awsCfg)
	if err != nil {
		return nil, err
	}
	return &Authenticator{keys: keys, leeway: c.Leeway, claims: c.Claims, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{c.Algorithm}), // refuses "none", and an HMAC with a public key as secret
		jwt.WithIssuer(c.Issuer),
		jwt.WithAudience(c.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), // refuses a token from the future; nbf is always checked
		jwt.WithLeeway(c.Leeway),
		jwt.WithJSONNumber(),
	)}, nil
}

func (c Config) check() error {
	if c.Mode != topology.JWT {
		return fmt.Errorf("mode is %q: it must be %s or %s", c.Mode, topology.Anonymous, topology.JWT)
	}
	if c.Leeway < 0 || c.Leeway > 5*time.Minute {
		return fmt.Errorf("leeway is %s: it must be up to 5m", c.Leeway)
	}
	return topology.CheckJWT(c.Issuer, c.Audience, c.Algorithm, c.KeysURL, c.Key)
}

// Authenticate returns the viewer that an Authorization header names, and the life of the
// token, with the leeway. Errors: pubsub.ErrTokenMissing;
// pubsub.ErrTokenExpired; pubsub.ErrTokenInvalid, with a reason that holds nothing of
// the token; any other when no key was available.
func (a *Authenticator) Authenticate(ctx context.Context, authorization string) (
	v pubsub.Viewer, life pubsub.Life, err error) {
	if a.anonymous {
		return v, life, nil
	}
	token, err := bearer(authorization)
	if err != nil {
		return v, life, err
	}
	var unavailable error
	var found jwt.MapClaims
	parsed, err := a.parser.ParseWithClaims(token, &found, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical {
			return nil, errCritical // RFC 7515 section 4.1.11: we understand none
		}
		key, err := a.keys.key(ctx, t)
		if !errors.Is(err, errNoKey) {
			unavailable = err
		}
		return key, err
	})
	if unavailable != nil {
		return v, life, unavailable
	}
	if err != nil {
		return v, life, tokenError(err)
	}
	exp, err := parsed.Claims.GetExpirationTime()
	if err != nil || exp == nil {
		return v, life, fmt.Errorf("%w: no expiry", pubsub.ErrTokenInvalid)
	}
	life.Expires = exp.Add(a.leeway)
	if issued, err := parsed.Claims.GetIssuedAt(); err == nil && issued != nil {
		life.Issued = issued.Time
	}
	v, err = a.viewer(found)
	return v, life, err
}

// bearer returns the token in an Authorization header.
func bearer(authorization string) (string, error) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	token = strings.TrimSpace(token)
	switch {
	case authorization == "":
		return "", pubsub.ErrTokenMissing
	case !strings.EqualFold(scheme, "Bearer") || token == "":
		return "", fmt.Errorf("%w: it is no Bearer token", pubsub.ErrTokenInvalid)
	case len(token) > maxTokenBytes:
		return "", fmt.Errorf("%w: it has more than %d bytes", pubsub.ErrTokenInvalid, maxTokenBytes)
	}
	return token, nil
}

var (
	errCritical = errors.New("critical header")
	errNoKey    = errors.New("no key for the token")
)

// tokenError says why the library refused a token, and holds nothing of the token.
func tokenError(err error) error {
	for _, reason := range []struct {
		cause error
		text  string
	}{
		{errCritical, "critical header"},
		{errNoKey, "unknown key"},
		{jwt.ErrTokenMalformed, "malformed"},
		{jwt.ErrTokenSignatureInvalid, "wrong algorithm or signature"},
		{jwt.ErrTokenInvalidIssuer, "wrong issuer"},
		{jwt.ErrTokenInvalidAudience, "wrong audience"},
		{jwt.ErrTokenRequiredClaimMissing, "required claim missing"},
		{jwt.ErrTokenNotValidYet, "not valid yet"},
		{jwt.ErrTokenUsedBeforeIssued, "issued in the future"},
	} {
		if errors.Is(err, reason.cause) {
			return fmt.Errorf("%w: %s", pubsub.ErrTokenInvalid, reason.text)
		}
	}
	if errors.Is(err, jwt.ErrTokenExpired) { // after everything else was found good
		return pubsub.ErrTokenExpired
	}
	return fmt.Errorf("%w: invalid", pubsub.ErrTokenInvalid)
}

// viewer keeps the claims of the config.
func (a *Authenticator) viewer(found jwt.MapClaims) (pubsub.Viewer, error) {
	id, _ := found["sub"].(string)
	wasText := !strings.ContainsRune(id, utf8.RuneError) // decoders put it where the input is not text
	if id == "" || len(id) > pubsub.MaxViewerBytes || !wasText {
		return pubsub.Viewer{}, fmt.Errorf("%w: claim sub is not a text of 1 to %d bytes", pubsub.ErrTokenInvalid,
			pubsub.MaxViewerBytes)
	}
	kept := map[string]any{}
	for _, name := range a.claims {
		if value, ok := found[name]; ok {
			kept[name] = value
		}
	}
	if len(kept) == 0 {
		return pubsub.Viewer{ID: id}, nil
	}
	raw, err := json.Marshal(kept) // sorted names: equal claims give equal texts
	if err != nil || len(raw) > maxClaimsBytes {
		return pubsub.Viewer{}, fmt.Errorf("%w: its claims have more than %d bytes", pubsub.ErrTokenInvalid, maxClaimsBytes)
	}
	return pubsub.Viewer{ID: id, Claims: string(raw)}, nil
}
