package auth_test

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/golang-jwt/jwt/v5"

	"subwire/shared/auth"
	"subwire/shared/pubsub"
)

// jwk is the public key in a set, under the key id.
func jwk(kid string, key *rsa.PublicKey) string {
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q}`, kid, encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes()))
}

// keySet serves what it holds as a key set and counts the requests.
type keySet struct {
	keys    atomic.Value // string; "" fails
	fetched atomic.Int32
}

func (k *keySet) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	k.fetched.Add(1)
	keys := k.keys.Load().(string)
	if keys == "" {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, `{"keys":[`+keys+`]}`)
}

// RoundTrip answers without a network, for tests on synthetic time.
func (k *keySet) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	k.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestKeysAreFetchedWithTheFirstTokenAndKept(t *testing.T) {
	t.Parallel()
	key, other := newRSA(t), newRSA(t)
	set := &keySet{}
	set.keys.Store(jwk("1", &key.PublicKey))
	server := httptest.NewServer(set)
	t.Cleanup(server.Close)
	a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: server.URL})
	if n := set.fetched.Load(); n != 0 {
		t.Errorf("fetched %d times before any token", n)
	}
	id := func(kid any) map[string]any { return map[string]any{"kid": kid} }
	for _, tc := range []struct {
		name   string
		header map[string]any
		key    *rsa.PrivateKey
		want   error
	}{
		{"good", id("1"), key, nil},
		{"good again", id("1"), key, nil},
		{"of another key", id("1"), other, pubsub.ErrTokenRefused},
		{"without key id", nil, key, pubsub.ErrTokenRefused},
		{"with a strange key id", id(1), key, pubsub.ErrTokenRefused},
		{"with an unknown key id", id("2"), key, pubsub.ErrTokenRefused},
		{"with another unknown key id", id("3"), key, pubsub.ErrTokenRefused},
	} {
		if _, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, tc.key, tc.header, good())); !errors.Is(err, tc.want) {
			t.Errorf("a token %s: %v", tc.name, err)
		}
	}
	if n := set.fetched.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestASecretInAKeySetVerifiesNothing(t *testing.T) {
	t.Parallel()
	set := &keySet{}
	set.keys.Store(fmt.Sprintf(`{"kty":"oct","kid":"1","k":%q}`, base64.RawURLEncoding.EncodeToString(secret)))
	server := httptest.NewServer(set)
	t.Cleanup(server.Close)
	a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: server.URL})
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodRS256} {
		var private any = secret
		if m == jwt.SigningMethodRS256 {
			private = newRSA(t)
		}
		token := sign(t, m, private, map[string]any{"kid": "1"}, good())
		if _, _, err := a.Authenticate(t.Context(), token); !errors.Is(err, pubsub.ErrTokenRefused) {
			t.Errorf("%s: %v", m.Alg(), err)
		}
	}
}

// Keys come and go while a process lives, and their server may be down.
func TestKeysThatChange(t *testing.T) {
	old, young := newRSA(t), newRSA(t)
	set := &keySet{}
	defaultTransport := http.DefaultTransport
	http.DefaultTransport = set
	t.Cleanup(func() { http.DefaultTransport = defaultTransport })
	synctest.Test(t, func(t *testing.T) {
		a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: "https://issuer.example/keys"})
		check := func(what, kid string, key *rsa.PrivateKey, accepted bool) {
			t.Helper()
			_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": kid}, good()))
			if (err == nil) != accepted {
				t.Errorf("%s: %v", what, err)
			}
		}
		set.keys.Store("")
		_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, old, map[string]any{"kid": "old"}, good()))
		if err == nil || errors.Is(err, pubsub.ErrTokenRefused) {
			t.Errorf("without keys a token is not the one to blame: %v", err)
		}
		set.keys.Store(jwk("old", &old.PublicKey))
		check("the server is up again", "old", old, true)
		set.keys.Store(jwk("old", &old.PublicKey) + "," + jwk("young", &young.PublicKey))
		check("a new key, a moment after a fetch", "young", young, false)
		time.Sleep(time.Minute)
		check("a new key", "young", young, true)
		set.keys.Store(jwk("young", &young.PublicKey))
		check("a withdrawn key, within its time", "old", old, true)
		time.Sleep(16 * time.Minute)
		check("a withdrawn key", "old", old, false)
		set.keys.Store("")
		time.Sleep(time.Hour)
		check("the server is down", "young", young, true)
		for range 2 { // the second is within the pause
			_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, old, map[string]any{"kid": "newest"}, good()))
			if err == nil || errors.Is(err, pubsub.ErrTokenRefused) {
				t.Errorf("a key that may be new is not the token's fault: %v", err)
			}
		}
	})
}

// ssm answers GetParameter.
type ssm struct {
	value string // "" for an error
	reads atomic.Int32
}

func (s *ssm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.reads.Add(1)
	body, _ := io.ReadAll(r.Body)
	if s.value == "" || r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" || !strings.Contains(string(body), `"Name":"/subwire/key"`) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ParameterNotFound"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]string{"Value": s.value}})
}

func TestAKeyInAParameterIsReadOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value    string
		accepted bool
		reads    int32
	}{
		"Secret":      {string(secret), true, 1},
		"ShortSecret": {"short", false, 2},
		"Missing":     {"", false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := &ssm{value: tc.value}
			server := httptest.NewServer(service)
			t.Cleanup(server.Close)
			a, err := auth.New(auth.Config{Mode: auth.JWT, Issuer: issuer, Audience: audience, Algorithm: "HS256", Key: "ssm:/subwire/key"},
				aws.Config{Region: "eu-central-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, secret, nil, good()))
				if (err == nil) != tc.accepted || errors.Is(err, pubsub.ErrTokenRefused) {
					t.Errorf("got %v", err)
				}
			}
			if n := service.reads.Load(); n != tc.reads {
				t.Errorf("read %d times", n)
			}
		})
	}
}
