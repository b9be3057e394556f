package apigw

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"subwire/shared/pubsub"
)

// rawServer hands each connection to serve, then closes it.
func rawServer(t *testing.T, config *tls.Config, serve func(conn net.Conn)) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scheme := "http://"
	if config != nil {
		listener, scheme = tls.NewListener(listener, config), "https://"
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			serving.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	return scheme + listener.Addr().String()
}

// receive reads the next request; nil if there is none.
func receive(r *bufio.Reader) *http.Request {
	request, err := http.ReadRequest(r)
	if err != nil {
		return nil
	}
	io.Copy(io.Discard, request.Body)
	return request
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// errorBodies are bodies of errors, by name, with the type in the header.
var errorBodies = map[string]struct{ header, body string }{
	"Empty":         {"", ""},
	"Typed":         {"GoneException", ""},
	"NotJSON":       {"LimitExceededException", "<html>slow down</html>"},
	"OtherJSON":     {"BadRequestException", `{"message":"Bad Request"}`},
	"OtherType":     {"ForbiddenException", `{"message":"Invalid connectionId: x"}`},
	"InvalidID":     {"BadRequestException:http://internal.amazon.com/x/", `{"message":"Invalid connectionId: x","connectionId":"x"}`},
	"InvalidIDType": {"", `{"__type":"com.amazonaws#BadRequestException","message":"Invalid connectionId: x"}`},
}

// want is the expected verdict.
func want(status int, body string) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == 410, status == 400 && strings.HasPrefix(body, "InvalidID"):
		return pubsub.ErrGone
	case status == 413:
		return pubsub.ErrTooLarge
	}
	return pubsub.ErrBusy
}

// Every status with every body, by our own posts and by the SDK's.
func TestEveryAnswerHasItsVerdict(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]func(aws.Config, string, int) *Client{"Own": New, "SDK": bySDK} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var posts atomic.Int32
			url := rawServer(t, nil, answerAsAsked(&posts))
			c := build(testConfig(), url, 4)
			t.Cleanup(func() { closeIdle(c) })
			asked := int32(0)
			for status := 100; status < 600; status++ {
				for body := range errorBodies {
					err := c.Post(t.Context(), fmt.Sprint(status, ".", body), []byte("{}"))
					expect(t, fmt.Sprint(status, " ", body), err, want(status, body))
					asked++
				}
			}
			if more := posts.Load() - asked; more < 0 || int(more) > len(errorBodies) { // a 408 on a used connection is not believed
				t.Errorf("%d posts more than calls", more)
			}
		})
	}
}

// answerAsAsked answers with the status and the body named by the request's connection
// id. It hangs up after an answer that is not final.
func answerAsAsked(posts *atomic.Int32) func(net.Conn) {
	return func(conn net.Conn) {
		for r := bufio.NewReader(conn); ; {
			request := receive(r)
			if request == nil {
				return
			}
			posts.Add(1)
			code, name, _ := strings.Cut(path.Base(request.URL.Path), ".")
			status, _ := strconv.Atoi(code)
			said := errorBodies[name]
			if status == 204 || status == 304 {
				said.body = ""
			}
			fmt.Fprintf(conn, "HTTP/1.1 %d What\r\nX-Amzn-ErrorType: %s\r\nContent-Length: %d\r\n\r\n%s", status, said.header, len(said.body), said.body)
			if status < 200 {
				return
			}
		}
	}
}

// expect checks that err is the wanted one of pubsub's errors, and gives a reason.
func expect(t *testing.T, what string, err, want error) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("%s: got %v", what, err)
		}
		return
	}
	for _, kind := range []error{pubsub.ErrGone, pubsub.ErrBusy, pubsub.ErrTooLarge} {
		if got := errors.Is(err, kind); got != (kind == want) {
			t.Errorf("%s: errors.Is(%v, %q) = %v", what, err, kind, got)
		}
	}
	var reasoned interface{ Reason() string }
	if !errors.As(err, &reasoned) || reasoned.Reason() == "" {
		t.Errorf("%s: %v has no reason", what, err)
	}
}

func TestAReasonIsTheStatusAndTheType(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, newClient func(*testing.T, http.HandlerFunc) *Client) {
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amzn-ErrorType", "ForbiddenException")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"message":"secret"}`)
		})
		var reasoned interface{ Reason() string }
		err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}"))
		if !errors.As(err, &reasoned) || reasoned.Reason() != "status 403 ForbiddenException" {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnAnswerThatIsCutLosesNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer string
		want   error
	}{
		"Nothing":                  {"", pubsub.ErrBusy},
		"Garbage":                  {"SSH-2.0-OpenSSH\r\n", pubsub.ErrBusy},
		"PartOfTheStatusLine":      {"HTTP/1.1 2", pubsub.ErrBusy},
		"PartOfTheHeaders":         {"HTTP/1.1 200 OK\r\nContent-Le", pubsub.ErrBusy},
		"PartOfTheHeadersOfA410":   {"HTTP/1.1 410 Gone\r\nContent-Le", pubsub.ErrBusy},
		"OnlyAnInterimAnswer":      {"HTTP/1.1 102 Processing\r\n\r\n", pubsub.ErrBusy},
		"PartOfTheBody":            {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", nil},
		"PartOfTheBodyOfA410":      {"HTTP/1.1 410 Gone\r\nContent-Length: 10\r\n\r\nhalf", pubsub.ErrGone},
		"PartOfTheBodyOfA403":      {"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nhalf", pubsub.ErrBusy},
		"WholeJSONInPartOfTheBody": {"HTTP/1.1 400 No\r\nContent-Length: 100\r\nX-Amzn-ErrorType: BadRequestException\r\n\r\n{\"message\":\"Invalid connectionId: x\"}", pubsub.ErrBusy},
		"ADoubtfulLength":          {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", pubsub.ErrBusy},
	} {
		for way, build := range map[string]func(aws.Config, string, int) *Client{"Own": New, "SDK": bySDK} {
			t.Run(name+way, func(t *testing.T) {
				t.Parallel()
				url := rawServer(t, nil, func(conn net.Conn) {
					if receive(bufio.NewReader(conn)) != nil {
						io.WriteString(conn, tc.answer)
					}
				})
				c := build(testConfig(), url, 4)
				t.Cleanup(func() { closeIdle(c) })
				expect(t, name, c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")), tc.want)
			})
		}
	}
}

func TestMissingCredentialsLoseNothing(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]func(aws.Config, string, int) *Client{"Own": New, "SDK": bySDK} {
		cfg := testConfig()
		cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no credentials")
		})
		expect(t, name, build(cfg, "http://127.0.0.1:1/prod", 4).Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")), pubsub.ErrBusy)
	}
}

// transports are ways to reach a server: plain, and with both versions of TLS.
func transports(t *testing.T) map[string]struct{ server, client *tls.Config } {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	ways := map[string]struct{ server, client *tls.Config }{"Plain": {}}
	for name, version := range map[string]uint16{"TLS1.2": tls.VersionTLS12, "TLS1.3": tls.VersionTLS13} {
		ways[name] = struct{ server, client *tls.Config }{
			&tls.Config{Certificates: srv.TLS.Certificates, MaxVersion: version}, &tls.Config{RootCAs: roots}}
	}
	return ways
}

// trusting is a client that trusts the server.
func trusting(t *testing.T, url string, config *tls.Config) *Client {
	t.Helper()
	cfg := testConfig()
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) { tr.TLSClientConfig = config.Clone() })
	c := New(cfg, url, 4)
	t.Cleanup(func() { closeIdle(c) })
	return c
}

// What a server writes on an idle connection is not an answer to the next post: that
// goes over another connection, and the gateway gets it.
func TestAnAnswerThatNobodyAskedForIsNotBelieved(t *testing.T) {
	t.Parallel()
	ways := transports(t)
	for name, unasked := range map[string]string{
		"408":        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"200":        ok,
		"PartOfOne":  "HTTP/1.1 2",
		"TheEnd":     "",
		"410":        "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
		"WithAnswer": ok, // in one record with it, or right behind it
	} {
		for way, config := range ways {
			t.Run(name+way, func(t *testing.T) {
				t.Parallel()
				var posts atomic.Int32
				written := make(chan struct{}, 10)
				url := rawServer(t, config.server, func(conn net.Conn) {
					r := bufio.NewReader(conn)
					for receive(r) != nil {
						posts.Add(1)
						switch name {
						case "WithAnswer":
							io.WriteString(conn, ok+unasked)
						case "TheEnd":
							io.WriteString(conn, ok)
							conn.Close()
						default:
							io.WriteString(conn, ok)
							io.WriteString(conn, unasked)
						}
						written <- struct{}{}
					}
				})
				c := trusting(t, url, config.client)
				for i := range 5 {
					expect(t, name, c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")), nil)
					<-written
					if n := posts.Load(); n != int32(i+1) {
						t.Fatalf("post %d: the gateway has %d", i+1, n)
					}
				}
			})
		}
	}
}

func TestAConnectionIsUsedAgainOverTLS(t *testing.T) {
	t.Parallel()
	for way, config := range transports(t) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			url := rawServer(t, config.server, func(conn net.Conn) {
				connections.Add(1)
				for r := bufio.NewReader(conn); receive(r) != nil; {
					io.WriteString(conn, ok)
				}
			})
			c := trusting(t, url, config.client)
			for range 20 {
				expect(t, way, c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")), nil)
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// A 408 may cross a post; a server may close a connection when it gets one. The post is
// then sent once more, on a new connection, and only once.
func TestAPostIsSentTwiceAtMost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer string // to all but the first request of a connection, or to all
		all    bool
		want   error
		posts  int32 // for the second call
	}{
		"A408OnAUsedConnection":      {"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", false, nil, 2},
		"A408Always":                 {"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", true, pubsub.ErrBusy, 2},
		"AUsedConnectionIsClosed":    {"", false, nil, 2},
		"PartOfAnAnswer":             {"HTTP/1.1 4", false, nil, 2},
		"AConnectionIsAlwaysClosed":  {"", true, pubsub.ErrBusy, 1},
		"OtherAnswersStand":          {"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", false, pubsub.ErrGone, 1},
		"A503StandsAndIsNotRepeated": {"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", true, pubsub.ErrBusy, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var posts atomic.Int32
			url := rawServer(t, nil, func(conn net.Conn) {
				r := bufio.NewReader(conn)
				for first := true; receive(r) != nil; first = false {
					posts.Add(1)
					answer := tc.answer
					if first && !tc.all {
						answer = ok
					}
					io.WriteString(conn, answer)
					if !strings.HasSuffix(answer, "\r\n\r\n") {
						return
					}
				}
			})
			c := trusting(t, url, nil)
			first := want(200, "")
			if tc.all {
				first = tc.want
			}
			expect(t, "first", c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")), first)
			posts.Store(0)
			expect(t, "second", c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")), tc.want)
			if n := posts.Load(); n != tc.posts {
				t.Errorf("the gateway got %d posts, want %d", n, tc.posts)
			}
		})
	}
}
