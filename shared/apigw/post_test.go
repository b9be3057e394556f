package apigw

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"subwire/shared/pubsub"
)

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// The SDK's signer signs what we send, as a server reads it.
func TestSignaturesAreThoseOfTheSDK(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	stages := []string{"https://abc.execute-api.eu-central-1.amazonaws.com/prod", "http://127.0.0.1:4001/local", "https://ws.example.com:443",
		"https://ws.example.com:8443/base/pa%20th/", "http://ws.example.com:80/prod"}
	var signers []*signer
	for _, hashed := range []bool{false, true} {
		for _, stage := range stages {
			signers = append(signers, newSigner("eu-central-1", parse(t, stage), hashed))
		}
	}
	for i := range 2000 {
		id, body := make([]byte, rng.IntN(20)+1), make([]byte, rng.IntN(500))
		for j := range id {
			id[j] = "ABCxyz019-._~=+/@ %é!"[rng.IntN(20)]
		}
		for j := range body {
			body[j] = byte(rng.Uint32())
		}
		creds := aws.Credentials{AccessKeyID: fmt.Sprint("AKID", rng.IntN(3)), SecretAccessKey: fmt.Sprint("secret", rng.IntN(3))}
		if rng.IntN(2) == 0 {
			creds.SessionToken = strings.Repeat("token+/=", rng.IntN(300)+1)
		}
		now := time.Unix(1_790_000_000+rng.Int64N(3)*rng.Int64N(1_000_000), rng.Int64N(1e9))
		raw := signers[i%len(signers)].append(nil, creds, now, string(id), body)

		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatalf("id %q: %v", id, err)
		}
		got, read := r.Header.Get("Authorization"), new(bytes.Buffer)
		if _, err := read.ReadFrom(r.Body); err != nil || !bytes.Equal(read.Bytes(), body) {
			t.Fatalf("id %q: the body that arrives differs (%v)", id, err)
		}
		if want := parse(t, stages[i%len(stages)]).Path; !strings.HasPrefix(r.URL.Path, strings.TrimSuffix(want, "/")+"/@connections/") ||
			!strings.HasSuffix(r.URL.Path, string(id)) {
			t.Fatalf("id %q arrives in path %q", id, r.URL.Path)
		}
		r.Header.Del("Authorization")
		r.ContentLength = 0 // we do not sign it
		sum := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "execute-api", "eu-central-1", now); err != nil {
			t.Fatal(err)
		}
		if want := r.Header.Get("Authorization"); got != want {
			t.Fatalf("id %q, stage %s:\n got %s\nwant %s", id, stages[i%len(stages)], got, want)
		}
	}
}

func TestAConnectionIsUsedAgain(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"WithoutABody": func(w http.ResponseWriter, r *http.Request) {},
		"Chunked": func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				io.WriteString(w, "part")
				w.(http.Flusher).Flush()
			}
		},
		"AfterContinue": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusContinue) },
		"AfterAnError":  func(w http.ResponseWriter, r *http.Request) { http.Error(w, "busy", http.StatusTooManyRequests) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			remotes := map[string]bool{}
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				remotes[r.RemoteAddr] = true
				io.Copy(io.Discard, r.Body)
				answer(w, r)
			})
			for range 3 {
				if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")); err != nil && !errors.Is(err, pubsub.ErrBusy) {
					t.Fatal(err)
				}
			}
			if len(remotes) != 1 {
				t.Errorf("%d connections for three posts", len(remotes))
			}
		})
	}
}

// A connection that the server closed while idle does not make a post busy; one that
// breaks while it is new does.
func TestAConnectionThatWasClosedIsReplaced(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var requests atomic.Int32
	go func() { // each connection serves one request and closes unannounced
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				requests.Add(1)
				io.Copy(io.Discard, r.Body)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
			conn.Close()
		}
	}()
	c := New(testConfig(), "http://"+listener.Addr().String(), 4)
	defer closeIdle(c)
	for range 5 {
		if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if n := requests.Load(); n != 5 {
		t.Errorf("%d requests for five posts", n)
	}
}

func TestABodyThatIsRefusedUnreadIsTooLarge(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", make([]byte, 200<<10)); !errors.Is(err, pubsub.ErrTooLarge) {
		t.Errorf("Post = %v, want ErrTooLarge", err)
	}
}

func TestPostsGoOverTLSOnlyToWhomIsTrusted(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	for name, tc := range map[string]struct {
		roots *x509.CertPool
		want  error
	}{"Trusted": {roots, nil}, "Unknown": {x509.NewCertPool(), pubsub.ErrBusy}} {
		cfg := testConfig()
		cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) { tr.TLSClientConfig = &tls.Config{RootCAs: tc.roots} })
		c := New(cfg, srv.URL, 4)
		if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")); !errors.Is(err, tc.want) {
			t.Errorf("%s: Post = %v, want %v", name, err, tc.want)
		}
		closeIdle(c)
	}
}

func TestAWrongClockIsCorrectedByTheGateways(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(time.Hour)
	var refused atomic.Int32
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", hour.UTC().Format(http.TimeFormat))
		if at, err := time.Parse(dateTime, r.Header.Get("X-Amz-Date")); err != nil || hour.Sub(at) > 5*time.Minute {
			refused.Add(1)
			w.WriteHeader(http.StatusForbidden)
		}
	})
	if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")); !errors.Is(err, pubsub.ErrBusy) {
		t.Errorf("Post = %v, want ErrBusy", err)
	}
	if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")); err != nil || refused.Load() != 1 {
		t.Errorf("second Post = %v, refused %d times", err, refused.Load())
	}
}

func TestNewCredentialsAreUsedWhenTheOldHaveExpired(t *testing.T) {
	t.Parallel()
	cfg, asked := testConfig(), 0
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		asked++
		return aws.Credentials{AccessKeyID: fmt.Sprint("AKID", asked), SecretAccessKey: "s", CanExpire: true, Expires: time.Now().Add(time.Duration(asked-1) * time.Hour)}, nil
	})
	var keys []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		keys = append(keys, key[:len("AKID1")])
	}))
	defer srv.Close()
	c := New(cfg, srv.URL, 4)
	defer closeIdle(c)
	for range 3 {
		if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(keys, " "); got != "AKID1 AKID2 AKID2" {
		t.Errorf("signed with %s", got)
	}
}

func TestWhatIsUnusualIsLeftToTheSDK(t *testing.T) {
	t.Parallel()
	proxy := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.Proxy = func(*http.Request) (*url.URL, error) { return &url.URL{Host: "proxy"}, nil }
	})
	for name, client := range map[string]aws.HTTPClient{"Proxy": proxy, "ForeignClient": http.DefaultClient} {
		cfg := testConfig()
		cfg.HTTPClient = client
		if c := New(cfg, "https://example.com/prod", 4); c.poster != nil {
			t.Errorf("%s: it posts by itself", name)
		}
	}
}

// instant is a server that answers each request at once and allocates nothing.
type instant struct {
	net.Conn
	answer []byte
	left   []byte
}

func (c *instant) Write(b []byte) (int, error) {
	c.left = c.answer
	return len(b), nil
}

func (c *instant) Read(b []byte) (int, error) {
	n := copy(b, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (*instant) SetDeadline(time.Time) error { return nil }

func (*instant) Close() error { return nil }

func BenchmarkPost(b *testing.B) {
	cfg := testConfig()
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return &instant{answer: []byte("HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 07:00:00 GMT\r\nContent-Length: 0\r\nConnection: keep-alive\r\n" +
				"x-amzn-RequestId: c6af9ac6-7b61-11e6-9a41-93e8deadbeef\r\n\r\n")}, nil
		}
	})
	c := New(cfg, "http://example.com/prod", 4)
	frame := bytes.Repeat([]byte("x"), 300)
	if err := c.Post(b.Context(), "R1kmxc2VNjMCFIA=", frame); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Post(b.Context(), "R1kmxc2VNjMCFIA=", frame); err != nil {
			b.Fatal(err)
		}
	}
}
