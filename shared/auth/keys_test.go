package auth_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/golang-jwt/jwt/v5"

	"subwire/shared/auth"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// jwk is the public key as in a set, under the key id.
func jwk(kid string, key *rsa.PublicKey) string {
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q}`, kid, encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes()))
}

// keySet serves its content as a key set and counts the requests.
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

// RoundTrip answers without a network, for tests in virtual time.
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
		{"of another key", id("1"), other, pubsub.ErrTokenInvalid},
		{"without key id", nil, key, pubsub.ErrTokenInvalid},
		{"with a strange key id", id(1), key, pubsub.ErrTokenInvalid},
		{"with an unknown key id", id("2"), key, pubsub.ErrTokenInvalid},
		{"with another unknown key id", id("3"), key, pubsub.ErrTokenInvalid},
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
		if _, _, err := a.Authenticate(t.Context(), token); !errors.Is(err, pubsub.ErrTokenInvalid) {
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
		if err == nil || errors.Is(err, pubsub.ErrTokenInvalid) {
			t.Errorf("without keys a token is not the one to blame: %v", err)
		}
		set.keys.Store(jwk("old", &old.PublicKey))
		check("the server is up again, a moment after a fetch that failed", "old", old, false)
		time.Sleep(time.Minute)
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
			if err == nil || errors.Is(err, pubsub.ErrTokenInvalid) {
				t.Errorf("a key that may be new is not the token's fault: %v", err)
			}
		}
	})
}

// Anybody can send tokens while the issuer cannot be asked. Each would make a process
// ask again, and wait for it.
func TestAnIssuerThatIsDownIsAskedOnceInAWhile(t *testing.T) {
	key := newRSA(t)
	answers := map[string]func(r *http.Request) (*http.Response, error){
		"Refuses": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"Slow": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"Status500": func(*http.Request) (*http.Response, error) { return answer(http.StatusInternalServerError, "") },
		"Garbage":   func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, "<html>") },
		"NoKeys":    func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, `{"keys":[]}`) },
	}
	defaultTransport := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = defaultTransport })
	for name, respond := range answers {
		synctest.Test(t, func(t *testing.T) {
			asked, start := 0, time.Now() // one request at a time, or the race detector objects
			http.DefaultTransport = transport(func(r *http.Request) (*http.Response, error) {
				asked++
				return respond(r)
			})
			a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: "https://issuer.example/keys"})
			send := func(kid any) {
				_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": kid}, good()))
				if err == nil || errors.Is(err, pubsub.ErrTokenInvalid) != (name == "NoKeys") {
					t.Errorf("%s: got %v", name, err)
				}
			}
			var all sync.WaitGroup
			for i := range 36 { // at once, then one after the other
				all.Go(func() { send(fmt.Sprint(i)) })
			}
			all.Wait()
			for i := range 36 {
				send(fmt.Sprint(i))
			}
			if asked != 1 {
				t.Errorf("%s: asked %d times at first", name, asked)
			}
			if waited := time.Since(start); waited > 3*time.Second {
				t.Errorf("%s: all waited %s, which is longer than one fetch", name, waited)
			}
			for range 300 {
				time.Sleep(time.Second)
				send("1")
			}
			if fetches := int(time.Since(start) / (30 * time.Second)); asked < fetches || asked > fetches+1 {
				t.Errorf("%s: asked %d times in %s", name, asked, time.Since(start))
			}
		})
	}
}

// answer is a response of an HTTP server.
func answer(status int, body string) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	return w.Result(), nil
}

// A token that no key could make good needs none.
func TestATokenThatNoKeyCouldVerifyFetchesNone(t *testing.T) {
	t.Parallel()
	set := &keySet{}
	set.keys.Store("")
	server := httptest.NewServer(set)
	t.Cleanup(server.Close)
	a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: server.URL})
	id := map[string]any{"kid": "1"}
	for name, authorization := range map[string]string{
		"NoToken":         "",
		"NoJWT":           "Bearer garbage",
		"TwoParts":        "Bearer a.b",
		"NoHeader":        "Bearer e30.e30.e30",
		"TooLong":         "Bearer " + strings.Repeat("a", 9000),
		"OtherAlgorithm":  sign(t, jwt.SigningMethodHS256, secret, id, good()),
		"NoAlgorithm":     sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, id, good()),
		"Critical":        sign(t, jwt.SigningMethodRS256, newRSA(t), map[string]any{"kid": "1", "crit": []string{"exp"}}, good()),
		"NoKeyID":         sign(t, jwt.SigningMethodRS256, newRSA(t), nil, good()),
		"SignatureNoText": sign(t, jwt.SigningMethodRS256, newRSA(t), id, good()) + "!",
	} {
		_, _, err := a.Authenticate(t.Context(), authorization)
		if !errors.Is(err, pubsub.ErrTokenInvalid) && !errors.Is(err, pubsub.ErrTokenMissing) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := set.fetched.Load(); n != 0 {
		t.Errorf("keys were fetched %d times", n)
	}
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
		"ShortSecret": {"short", false, 1},
		"Missing":     {"", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := &ssm{value: tc.value}
			server := httptest.NewServer(service)
			t.Cleanup(server.Close)
			a, err := auth.New(auth.Config{Mode: topology.JWT, Issuer: issuer, Audience: audience, Algorithm: "HS256", Key: "ssm:/subwire/key"},
				aws.Config{Region: "eu-central-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, secret, nil, good()))
				if (err == nil) != tc.accepted || errors.Is(err, pubsub.ErrTokenInvalid) {
					t.Errorf("got %v", err)
				}
			}
			if n := service.reads.Load(); n != tc.reads {
				t.Errorf("read %d times", n)
			}
		})
	}
}

// Issuers publish keys for others beside ours. A bad one must not fail a token that is
// signed with another.
func TestAForeignKeyFailsNoOtherToken(t *testing.T) {
	var log bytes.Buffer
	defaultLog := slog.Default()
	t.Cleanup(func() { slog.SetDefault(defaultLog) })
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	key, other := newRSA(t), newRSA(t)
	usable := jwk("foreign", &other.PublicKey)
	with := func(members string) string { return strings.Replace(usable, "{", "{"+members+",", 1) }
	for name, tc := range map[string]struct{ foreign, reason string }{
		"UnknownType":    {`{"kty":"AKP","alg":"ML-DSA-44","kid":"foreign","pub":"AAAA"}`, "type or curve"},
		"UnknownCurve":   {`{"kty":"EC","crv":"brainpoolP256r1","kid":"foreign","x":"AAAA","y":"AAAA"}`, "type or curve"},
		"Secret":         {`{"kty":"oct","kid":"foreign","k":"c2VjcmV0"}`, "type or curve"},
		"OtherAlgorithm": {with(`"alg":"RSA-OAEP-256"`), "for another algorithm"},
		"Encryption":     {with(`"use":"enc"`), "not for signatures"},
		"OtherOps":       {with(`"key_ops":["encrypt","wrapKey"]`), "without verify"},
		"OpsNoList":      {with(`"key_ops":"verify"`), "without verify"},
		"NoID":           {strings.Replace(usable, `"kid":"foreign",`, "", 1), "no id"},
		"NumberAsID":     {strings.Replace(usable, `"foreign"`, "1", 1), "member is missing or wrong"},
		"NoModulus":      {`{"kty":"RSA","kid":"foreign","e":"AQAB"}`, "member is missing or wrong"},
		"BrokenModulus":  {`{"kty":"RSA","kid":"foreign","n":"***","e":"AQAB"}`, "member is missing or wrong"},
		"NumberModulus":  {`{"kty":"RSA","kid":"foreign","n":5,"e":"AQAB"}`, "member is missing or wrong"},
		"ShortModulus":   {`{"kty":"RSA","kid":"foreign","n":"` + strings.Repeat("qqqq", 42) + `","e":"AQAB"}`, "at least 2048 bits"},
		"Private":        {with(`"d":"AQAB"`), "private key"},
		"NoObject":       {`"foreign"`, "member is missing or wrong"},
		"Null":           {`null`, "member is missing or wrong"},
		"Nothing":        {`{}`, "type or curve"},
	} {
		log.Reset()
		set := &keySet{}
		set.keys.Store(tc.foreign + "," + jwk("1", &key.PublicKey))
		server := httptest.NewServer(set)
		a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: server.URL})
		accepts := func(id string, key *rsa.PrivateKey) error {
			_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": id}, good()))
			return err
		}
		if err := accepts("1", key); err != nil {
			t.Errorf("%s: another key's token: %v", name, err)
		}
		if err := accepts("foreign", other); !errors.Is(err, pubsub.ErrTokenInvalid) {
			t.Errorf("%s: its own token: %v", name, err)
		}
		server.Close()
		n := base64.RawURLEncoding.EncodeToString(other.N.Bytes())
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), tc.reason) || strings.Contains(log.String(), n[:20]) {
			t.Errorf("%s: logged %s", name, log.String())
		}
	}
}

// Optional and unknown members of a key do no harm (RFC 7517 section 4).
func TestKeysWithOtherMembersAreTaken(t *testing.T) {
	t.Parallel()
	key := newRSA(t)
	for name, members := range map[string]string{
		"All":          `"alg":"RS256","use":"sig","key_ops":["verify"]`,
		"MoreOps":      `"key_ops":["sign","verify"]`,
		"Nulls":        `"alg":null,"use":null,"key_ops":null`,
		"Certificates": `"x5c":["not read"],"x5u":"http://192.0.2.1/not-fetched","x5t":5`,
		"Unknown":      `"exp":1,"KTY":"EC","ext":true`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := &keySet{}
			set.keys.Store(strings.Replace(jwk("1", &key.PublicKey), "{", "{"+members+",", 1))
			server := httptest.NewServer(set)
			t.Cleanup(server.Close)
			a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: server.URL})
			token := sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": "1"}, good())
			if _, _, err := a.Authenticate(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKeysThatShareAnIDAreAllTried(t *testing.T) {
	t.Parallel()
	first, second, third := newRSA(t), newRSA(t), newRSA(t)
	set := &keySet{}
	set.keys.Store(jwk("1", &first.PublicKey) + `,{"kty":"EC","kid":"1"},` + jwk("1", &second.PublicKey))
	server := httptest.NewServer(set)
	t.Cleanup(server.Close)
	a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: server.URL})
	for i, tc := range []struct {
		key      *rsa.PrivateKey
		accepted bool
	}{{first, true}, {second, true}, {third, false}} {
		_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, tc.key, map[string]any{"kid": "1"}, good()))
		if (err == nil) != tc.accepted || !tc.accepted && !errors.Is(err, pubsub.ErrTokenInvalid) {
			t.Errorf("key %d: %v", i+1, err)
		}
	}
}

// An issuer that withdraws all its keys wants their tokens refused. But what is not a
// key set says nothing about keys: the old ones stay in use.
func TestASetWithoutKeysRefusesAndNoSetDoesNot(t *testing.T) {
	key := newRSA(t)
	answer := `{"keys":[` + jwk("1", &key.PublicKey) + `]}`
	defaultTransport := http.DefaultTransport
	http.DefaultTransport = transport(func(*http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		_, _ = io.WriteString(w, answer)
		return w.Result(), nil
	})
	t.Cleanup(func() { http.DefaultTransport = defaultTransport })
	synctest.Test(t, func(t *testing.T) {
		a := authenticator(t, auth.Config{Algorithm: "RS256", KeysURL: "https://issuer.example/keys"})
		for _, step := range []struct {
			answer  string
			refused bool
		}{
			{answer, false},
			{`<html>we are at work</html>`, false},
			{`{"keys":[` + strings.Repeat(" ", 1<<20) + `]}`, false},
			{`{"keys":[]}`, true},
			{answer, false},
			{`{"keys":[{"kty":"EC","kid":"1"}]}`, true},
		} {
			answer = step.answer
			time.Sleep(time.Hour)
			_, _, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": "1"}, good()))
			if errors.Is(err, pubsub.ErrTokenInvalid) != step.refused || !step.refused && err != nil {
				t.Errorf("%.40s: %v", step.answer, err)
			}
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What an operator asks before a deployment is what the functions will find.
func TestKeysAreFetchedForAnOperator(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		keys, algorithm string
		usable          int
		want            string // part of the error
	}{
		"two":                {jwk("1", &newRSA(t).PublicKey) + "," + jwk("2", &newRSA(t).PublicKey), "RS256", 2, ""},
		"of other algorithm": {jwk("1", &newRSA(t).PublicKey), "ES256", 0, "no published key verifies tokens of ES256"},
		"none":               {`{"kty":"oct"}`, "RS256", 0, "no published key verifies tokens of RS256"},
		"down":               {"", "RS256", 0, "fetch keys: answered with status 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := &keySet{}
			set.keys.Store(tc.keys)
			server := httptest.NewServer(set)
			defer server.Close()
			usable, err := auth.FetchKeys(t.Context(), server.URL, tc.algorithm)
			if usable != tc.usable || (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %d, %v", usable, err)
			}
		})
	}
}
