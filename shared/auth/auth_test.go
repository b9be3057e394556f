package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"subwire/shared/auth"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://issuer.example"
	audience = "subwire"
	leeway   = 30 * time.Second
)

// secret is long enough for HS256.
var secret = []byte(strings.Repeat("s", 32))

func newRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// publicPEM encodes the public key in the form operators have.
func publicPEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// good are valid claims.
func good() jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{"iss": issuer, "aud": audience, "sub": "ada", "iat": now.Unix(), "nbf": now.Unix(),
		"exp": now.Add(time.Hour).Unix()}
}

// with returns good claims with some changed; nil removes one.
func with(changes jwt.MapClaims) jwt.MapClaims {
	c := good()
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(t testing.TB, m jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(m, claims)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + signed
}

func authenticator(t testing.TB, c auth.Config) *auth.Authenticator {
	t.Helper()
	c.Mode, c.Issuer, c.Audience, c.Leeway = topology.JWT, issuer, audience, leeway
	c.Claims = []string{"name", "chats_read", "chats_write"}
	a, err := auth.New(c, aws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTokens(t *testing.T) {
	t.Parallel()
	key, other := newRSA(t), newRSA(t)
	public := publicPEM(t, &key.PublicKey)
	a := authenticator(t, auth.Config{Algorithm: "RS256", Key: public})
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	rs256 := func(changes jwt.MapClaims) string { return sign(t, jwt.SigningMethodRS256, key, nil, with(changes)) }
	parts := strings.Split(rs256(nil), ".")
	for name, tc := range map[string]struct {
		authorization string
		want          error
		reason        string // in the error
	}{
		"Good":                   {rs256(nil), nil, ""},
		"SchemeInAnyCase":        {"bearer" + strings.TrimPrefix(rs256(nil), "Bearer"), nil, ""},
		"OneOfManyAudiences":     {rs256(jwt.MapClaims{"aud": []string{"other", audience}}), nil, ""},
		"WithinTheLeeway":        {rs256(jwt.MapClaims{"exp": at(-leeway / 2), "nbf": at(leeway / 2), "iat": at(leeway / 2)}), nil, ""},
		"Missing":                {"", pubsub.ErrTokenMissing, ""},
		"OtherScheme":            {"Basic YTpi", pubsub.ErrTokenInvalid, "no Bearer"},
		"EmptyToken":             {"Bearer ", pubsub.ErrTokenInvalid, "no Bearer"},
		"NoToken":                {"Bearer secret-nonsense", pubsub.ErrTokenInvalid, "malformed"},
		"ManyDots":               {"Bearer " + strings.Repeat(".", 8000), pubsub.ErrTokenInvalid, "malformed"},
		"TooLong":                {rs256(jwt.MapClaims{"x": strings.Repeat("x", 8<<10)}), pubsub.ErrTokenInvalid, "more than"},
		"OtherKey":               {sign(t, jwt.SigningMethodRS256, other, nil, good()), pubsub.ErrTokenInvalid, "signature"},
		"ChangedClaims":          {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"eve"}`)) + "." + parts[2], pubsub.ErrTokenInvalid, "signature"},
		"NoSignature":            {parts[0] + "." + parts[1] + ".", pubsub.ErrTokenInvalid, "signature"},
		"AlgorithmNone":          {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, good()), pubsub.ErrTokenInvalid, "algorithm"},
		"PublicKeyAsSecret":      {sign(t, jwt.SigningMethodHS256, []byte(public), nil, good()), pubsub.ErrTokenInvalid, "algorithm"},
		"OtherAlgorithmSameKey":  {sign(t, jwt.SigningMethodRS512, key, nil, good()), pubsub.ErrTokenInvalid, "algorithm"},
		"CriticalHeader":         {sign(t, jwt.SigningMethodRS256, key, map[string]any{"crit": []string{"b64"}}, good()), pubsub.ErrTokenInvalid, "critical"},
		"Expired":                {rs256(jwt.MapClaims{"exp": at(-time.Minute)}), pubsub.ErrTokenExpired, ""},
		"ExpiredOfAnotherIssuer": {rs256(jwt.MapClaims{"exp": at(-time.Minute), "iss": "evil"}), pubsub.ErrTokenInvalid, "issuer"},
		"HalfAPairAsSubject":     {rs256(jwt.MapClaims{"sub": json.RawMessage(`"\ud83d"`)}), pubsub.ErrTokenInvalid, "claim sub"},
		"NoExpiry":               {rs256(jwt.MapClaims{"exp": nil}), pubsub.ErrTokenInvalid, "missing"},
		"ExpiryIsNoNumber":       {rs256(jwt.MapClaims{"exp": "tomorrow"}), pubsub.ErrTokenInvalid, "invalid"},
		"NotYetValid":            {rs256(jwt.MapClaims{"nbf": at(time.Minute)}), pubsub.ErrTokenInvalid, "not valid yet"},
		"FromTheFuture":          {rs256(jwt.MapClaims{"iat": at(time.Minute)}), pubsub.ErrTokenInvalid, "future"},
		"OtherIssuer":            {rs256(jwt.MapClaims{"iss": issuer + "/"}), pubsub.ErrTokenInvalid, "issuer"},
		"NoIssuer":               {rs256(jwt.MapClaims{"iss": nil}), pubsub.ErrTokenInvalid, "missing"},
		"OtherAudience":          {rs256(jwt.MapClaims{"aud": "subwire2"}), pubsub.ErrTokenInvalid, "audience"},
		"NoAudience":             {rs256(jwt.MapClaims{"aud": nil}), pubsub.ErrTokenInvalid, "missing"},
		"NoSubject":              {rs256(jwt.MapClaims{"sub": nil}), pubsub.ErrTokenInvalid, "sub"},
		"EmptySubject":           {rs256(jwt.MapClaims{"sub": ""}), pubsub.ErrTokenInvalid, "sub"},
		"SubjectTooLong":         {rs256(jwt.MapClaims{"sub": strings.Repeat("x", 257)}), pubsub.ErrTokenInvalid, "sub"},
		"ClaimsTooLarge":         {rs256(jwt.MapClaims{"chats_read": strings.Repeat("x", 2<<10)}), pubsub.ErrTokenInvalid, "claims"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, life, err := a.Authenticate(t.Context(), tc.authorization)
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.reason) {
				t.Fatalf("got %v, want %v: %s", err, tc.want, tc.reason)
			}
			if err != nil && v != (pubsub.Viewer{}) {
				t.Errorf("a refused token names %+v", v)
			}
			if err == nil && (v.ID != "ada" || !life.Expires.After(time.Now())) {
				t.Errorf("got %+v until %s", v, life.Expires)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), parts[2])) {
				t.Errorf("the error holds some of the token: %v", err)
			}
		})
	}
}

func TestAViewerKeepsTheAllowedClaimsOnly(t *testing.T) {
	t.Parallel()
	a := authenticator(t, auth.Config{Algorithm: "HS256", Key: string(secret)})
	token := sign(t, jwt.SigningMethodHS256, secret, nil, with(jwt.MapClaims{"email": "ada@example.com", "name": "Ada L.",
		"chats_write": "*", "chats_read": []any{"lobby", 12345678901234567}}))
	got, life, err := a.Authenticate(t.Context(), token)
	want := pubsub.Viewer{ID: "ada", Claims: `{"chats_read":["lobby",12345678901234567],"chats_write":"*","name":"Ada L."}`}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if left := time.Until(life.Expires); left < time.Hour-time.Minute || left > time.Hour+leeway {
		t.Errorf("it is good for %s", left)
	}
}

// What a deployment names is kept besides what the product needs, within the same bound.
func TestADeploymentKeepsMoreClaims(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"CLAIMS": "tenant,role,name", "AUTH": "jwt", "JWT_ISSUER": issuer, "JWT_AUDIENCE": audience,
		"JWT_ALGORITHM": "HS256", "JWT_KEY": string(secret)}
	values, errs := topology.Read(topology.Settings(), func(env string) string { return settings[env] })
	if errs != nil {
		t.Fatal(errs)
	}
	a, err := auth.New(auth.ConfigOf(values, []string{"name"}), aws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for want, more := range map[string]jwt.MapClaims{
		`{"name":"Ada","role":["a"],"tenant":7}`: {"name": "Ada", "tenant": 7, "role": []string{"a"}, "email": "ada@example.com"},
		"":                                       {"role": strings.Repeat("x", 2<<10)},
	} {
		v, life, err := a.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, secret, nil, with(more)))
		if v.Claims != want || (err == nil) != (want != "") {
			t.Errorf("got %+v, %v", v, err)
		}
		if since := time.Since(life.Issued); err == nil && (since < 0 || since > time.Minute) {
			t.Errorf("it was issued at %s", life.Issued)
		}
	}
}

// signers are keys for every accepted algorithm.
func signers(t testing.TB) map[string]struct{ private, public any } {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs := newRSA(t)
	return map[string]struct{ private, public any }{
		"RS256": {rs, &rs.PublicKey}, "PS256": {rs, &rs.PublicKey}, "ES256": {ec, &ec.PublicKey}, "EdDSA": {ed, edPublic}}
}

func TestEveryAlgorithmTakesItsOwnTokensOnly(t *testing.T) {
	t.Parallel()
	keys := signers(t)
	for algorithm, own := range keys {
		a := authenticator(t, auth.Config{Algorithm: algorithm, Key: publicPEM(t, own.public)})
		for signer, k := range keys {
			token := sign(t, jwt.GetSigningMethod(signer), k.private, nil, good())
			if _, _, err := a.Authenticate(t.Context(), token); (err == nil) != (signer == algorithm) {
				t.Errorf("%s with a token of %s: %v", algorithm, signer, err)
			}
		}
	}
}

func TestNobodyNeedsATokenInAnonymousMode(t *testing.T) {
	t.Parallel()
	a, err := auth.New(auth.Config{Mode: topology.Anonymous}, aws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, authorization := range []string{"", "Bearer nonsense"} {
		v, life, err := a.Authenticate(t.Context(), authorization)
		if err != nil || v != (pubsub.Viewer{}) || life != (pubsub.Life{}) {
			t.Errorf("%q: %+v until %s, %v", authorization, v, life.Expires, err)
		}
	}
}

func TestConfigsThatAreRefused(t *testing.T) {
	t.Parallel()
	rs := newRSA(t)
	public := publicPEM(t, &rs.PublicKey)
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rs)}))
	short := publicPEM(t, &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537})
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wide := publicPEM(t, &p384.PublicKey)
	url := "https://issuer.example/jwks.json"
	for name, tc := range map[string]struct {
		config auth.Config
		want   string
	}{
		"NoMode":            {auth.Config{Issuer: "i", Audience: "a", Algorithm: "RS256", Key: public}, "mode"},
		"NoIssuer":          {auth.Config{Mode: topology.JWT, Audience: "a", Algorithm: "RS256", Key: public}, "needs JWT_ISSUER"},
		"NoAudience":        {auth.Config{Mode: topology.JWT, Issuer: "i", Algorithm: "RS256", Key: public}, "JWT_AUDIENCE"},
		"AlgorithmNone":     {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "none", Key: public}, "algorithm"},
		"NoKey":             {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "RS256"}, "either JWT_JWKS_URL or JWT_KEY"},
		"TwoKeys":           {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "RS256", Key: public, KeysURL: url}, "either JWT_JWKS_URL or JWT_KEY"},
		"KeyIsNoPEM":        {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "RS256", Key: "nonsense"}, "key for RS256"},
		"PrivateKey":        {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "RS256", Key: private}, "key for RS256"},
		"KeyOfAnotherKind":  {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "ES256", Key: public}, "key for ES256"},
		"ShortKey":          {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "RS256", Key: short}, "2048 bits"},
		"KeyOfAnotherCurve": {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "ES256", Key: wide}, "P-256"},
		"ShortSecret":       {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "HS256", Key: "short"}, "32 bytes"},
		"PublicKeyAsSecret": {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "HS256", Key: public}, "no secret"},
		"PublishedSecret":   {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "HS256", KeysURL: url}, "published"},
		"WideLeeway":        {auth.Config{Mode: topology.JWT, Issuer: "i", Audience: "a", Algorithm: "RS256", Key: public, Leeway: time.Hour}, "leeway"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := auth.New(tc.config, aws.Config{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestEveryAlgorithmOfTopologyIsKnown(t *testing.T) {
	t.Parallel()
	for _, algorithm := range topology.Algorithms() {
		authenticator(t, auth.Config{Algorithm: algorithm, Key: "ssm:/key"})
	}
}

// Whatever a header holds, it is refused without a panic, unless it is a token that the
// key signed.
func FuzzAuthenticate(f *testing.F) {
	a := authenticator(f, auth.Config{Algorithm: "HS256", Key: string(secret)})
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	// The same in every process: the fuzzer's workers get the seeds of their parent.
	valid := sign(f, jwt.SigningMethodHS256, secret, nil, with(jwt.MapClaims{"iat": 0, "nbf": 0, "exp": 4102444800}))
	for _, seed := range []string{"", "Bearer", "Bearer a.b.c", "Basic x", valid, valid + "x", "Bearer " + strings.Repeat(".", 99),
		"Bearer " + part(`{"alg":"none"}`) + "." + part(`{"sub":"ada"}`) + ".",
		"Bearer " + part(`{"alg":"HS256","crit":null}`) + "." + part(`{"exp":1e999}`) + ".AA",
		"Bearer " + part(`{"alg":["HS256"]}`) + "." + part(`null`) + ".",
		"Bearer " + part(`null`) + "." + part(`[]`) + "."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		v, _, err := a.Authenticate(t.Context(), authorization)
		if err == nil && !signedWith(secret, authorization) {
			t.Errorf("%q is taken for %+v", authorization, v)
		}
		if err != nil && !errors.Is(err, pubsub.ErrTokenMissing) && !errors.Is(err, pubsub.ErrTokenInvalid) && !errors.Is(err, pubsub.ErrTokenExpired) {
			t.Errorf("%q: %v", authorization, err)
		}
		if v.Claims != "" && !json.Valid([]byte(v.Claims)) {
			t.Errorf("claims are %q", v.Claims)
		}
	})
}

// signedWith reports whether key signed the token of a header, by HS256 (RFC 7518,
// section 3.2). Padding bits in the last character of a signature mean nothing.
func signedWith(key []byte, authorization string) bool {
	parts := strings.Split(authorization[strings.LastIndex(authorization, " ")+1:], ".")
	if len(parts) != 3 {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	return err == nil && hmac.Equal(signature, mac.Sum(nil))
}
