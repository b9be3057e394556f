// Package issuer stands in for an identity provider on this machine. It has a key,
// publishes it, and gives a token to anybody who asks. It is only for the local cloud
// and its tests, and must not be reachable by others.
package issuer

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"subwire/shared/topology"
)

const (
	audience = "subwire-local"
	keyID    = "local"

	// defaultLife is how long a token is valid by default.
	defaultLife = time.Hour
)

// Issuer signs tokens. Its key lives as long as the Issuer.
type Issuer struct {
	url string
	key ed25519.PrivateKey
}

// New returns an issuer that will be served at the URL.
func New(url string) (*Issuer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return &Issuer{url, key}, nil
}

// Settings make the functions accept the issuer's tokens.
func (i *Issuer) Settings() map[string]string {
	return map[string]string{
		topology.Auth.Env:         topology.JWT,
		topology.JWTIssuer.Env:    i.url,
		topology.JWTAudience.Env:  audience,
		topology.JWTAlgorithm.Env: jwt.SigningMethodEdDSA.Alg(),
		topology.JWTKeysURL.Env:   i.url + "/jwks.json",
	}
}

// Claims of a token, in addition to those that every token has.
type Claims struct {
	Viewer string        // sub
	Name   string        // "" for none
	Read   []string      // chats_read; "*" for every chat
	Write  []string      // chats_write; "*" for every chat
	Life   time.Duration // 0 for an hour; may be negative

	More map[string]any // any others, by name; they replace those above
}

func (i *Issuer) Token(c Claims) (string, error) {
	if c.Life == 0 {
		c.Life = defaultLife
	}
	now := time.Now()
	claims := jwt.MapClaims{"iss": i.url, "aud": audience, "sub": c.Viewer, "iat": now.Unix(), "exp": now.Add(c.Life).Unix(),
		"chats_read": c.Read, "chats_write": c.Write}
	if c.Name != "" {
		claims["name"] = c.Name
	}
	maps.Copy(claims, c.More)
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = keyID
	signed, err := token.SignedString(i.key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}

// ServeHTTP answers /jwks.json, and /token with the parameters viewer, name,
// read, write (chats, separated by commas), life (such as 5m) and any number of claim:
// NAME=VALUE, where the value is JSON, or else text.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/jwks.json":
		public := i.key.Public().(ed25519.PublicKey)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{ // a client that went away needs no keys
			"kty": "OKP", "crv": "Ed25519", "kid": keyID, "x": base64.RawURLEncoding.EncodeToString(public)}}})
	case "/token":
		i.serveToken(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (i *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c := Claims{Viewer: q.Get("viewer"), Name: q.Get("name"), Read: list(q.Get("read")), Write: list(q.Get("write"))}
	var err error
	if life := q.Get("life"); life != "" {
		if c.Life, err = time.ParseDuration(life); err != nil {
			http.Error(w, "life is no time such as 5m", http.StatusBadRequest)
			return
		}
	}
	if c.More, err = more(q["claim"]); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if c.Viewer == "" {
		http.Error(w, "viewer is missing", http.StatusBadRequest)
		return
	}
	token, err := i.Token(c)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, token)
}

func more(claims []string) (map[string]any, error) {
	all := map[string]any{}
	for _, claim := range claims {
		name, value, ok := strings.Cut(claim, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("claim %q is not NAME=VALUE", claim)
		}
		all[name] = value
		if json.Valid([]byte(value)) {
			all[name] = json.RawMessage(value)
		}
	}
	return all, nil
}

func list(text string) []string {
	if text == "" {
		return []string{}
	}
	return strings.Split(text, ",")
}
