// Package issuer stands in for an identity provider on this machine. It has a key,
// publishes it, and gives a token to anybody who asks. It is only for the local cloud
// and its tests, and must not be reachable by others.
package issuer

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
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

// Issuer signs tokens. Its keys live as long as the Issuer.
type Issuer struct {
	url string

	mu   sync.Mutex
	keys map[string]ed25519.PrivateKey // by id
}

// New returns an issuer with one key, that will be served at the URL.
func New(url string) (*Issuer, error) {
	i := &Issuer{url: url, keys: map[string]ed25519.PrivateKey{}}
	return i, i.AddKey(keyID)
}

// AddKey publishes one more key.
func (i *Issuer) AddKey(id string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[id] = key
	return nil
}

func (i *Issuer) key(id string) ed25519.PrivateKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[id]
}

// published are the public keys as a set has them.
func (i *Issuer) published() (all []map[string]string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, key := range i.keys {
		public := key.Public().(ed25519.PublicKey)
		all = append(all, map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": id,
			"x": base64.RawURLEncoding.EncodeToString(public)})
	}
	return all
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
	Key    string        // id of the key that signs; "" for the first

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
	id := cmp.Or(c.Key, keyID)
	token.Header["kid"] = id
	signed, err := token.SignedString(i.key(id))
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
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": i.published()}) // a client that went away needs no keys
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
	if c.More, err = More(q["claim"]); err != nil {
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

func More(claims []string) (map[string]any, error) {
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
