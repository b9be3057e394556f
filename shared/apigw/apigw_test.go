package apigw

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"subwire/shared/pubsub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testConfig asks for retries, which must not happen.
func testConfig() aws.Config {
	return aws.Config{
		Region:           "eu-central-1",
		RetryMaxAttempts: 3,
		RetryMode:        aws.RetryModeStandard,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
		}),
	}
}

// bySDK is New for a client that posts with the SDK.
func bySDK(cfg aws.Config, url string, conns int) *Client { return newSDK(cfg, url, conns, false) }

// newClient returns a client for the stage "prod", answered by h.
func newClient(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	return startClient(t, New, h)
}

func startClient(t *testing.T, build func(aws.Config, string, int) *Client, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	c := build(testConfig(), srv.URL+"/prod", 4)
	t.Cleanup(func() {
		srv.Close()
		closeIdle(c)
	})
	return c
}

// closeIdle closes kept connections.
func closeIdle(c *Client) {
	if c.poster != nil {
		c.poster.pool.close()
	}
}

// bothWays runs a test with our own post and with the SDK's: they must not differ.
func bothWays(t *testing.T, test func(t *testing.T, start func(*testing.T, http.HandlerFunc) *Client)) {
	for name, build := range map[string]func(aws.Config, string, int) *Client{"Own": New, "SDK": bySDK} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(t *testing.T, h http.HandlerFunc) *Client { return startClient(t, build, h) })
		})
	}
}

func TestPostSendsTheFrameSignedToTheStage(t *testing.T) {
	t.Parallel()
	bothWays(t, testPostSendsTheFrameSignedToTheStage)
}

func testPostSendsTheFrameSignedToTheStage(t *testing.T, newClient func(*testing.T, http.HandlerFunc) *Client) {
	type request struct{ Method, URI, Body string }
	got := make(chan request, 1)
	var signed atomic.Bool
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		signed.Store(strings.Contains(r.Header.Get("Authorization"), "/execute-api/aws4_request"))
		got <- request{r.Method, r.RequestURI, string(body)}
	})
	for id, escaped := range map[string]string{
		"R1kmxc2VNjMCFIA=": "R1kmxc2VNjMCFIA%3D",
		"R1/mxc+VNjMCFIA=": "R1%2Fmxc%2BVNjMCFIA%3D",
	} {
		if err := c.Post(t.Context(), id, []byte(`{"type":"pong"}`)); err != nil {
			t.Fatal(err)
		}
		want := request{"POST", "/prod/@connections/" + escaped, `{"type":"pong"}`}
		if diff := cmp.Diff(want, <-got); diff != "" {
			t.Errorf("request for %s (-want +got):\n%s", id, diff)
		}
		if !signed.Load() {
			t.Errorf("request for %s is not signed for execute-api", id)
		}
	}
}

func TestPostOfALostConnectionIsBusy(t *testing.T) {
	t.Parallel()
	bothWays(t, testPostOfALostConnectionIsBusy)
}

func testPostOfALostConnectionIsBusy(t *testing.T, newClient func(*testing.T, http.HandlerFunc) *Client) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")); !errors.Is(err, pubsub.ErrBusy) {
		t.Errorf("Post = %v, want ErrBusy", err)
	}
}

func TestPostThatRunsIntoItsOwnDeadlineIsBusy(t *testing.T) {
	t.Parallel()
	bothWays(t, testPostThatRunsIntoItsOwnDeadlineIsBusy)
}

func testPostThatRunsIntoItsOwnDeadlineIsBusy(t *testing.T, newClient func(*testing.T, http.HandlerFunc) *Client) {
	c := newClient(t, silent)
	c.timeout = time.Millisecond
	err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}"))
	if !errors.Is(err, pubsub.ErrBusy) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Post = %v, want ErrBusy and not the caller's deadline", err)
	}
}

func TestPostWhoseAnswerBreaksOffWasDelivered(t *testing.T) {
	t.Parallel()
	bothWays(t, testPostWhoseAnswerBreaksOffWasDelivered)
}

func testPostWhoseAnswerBreaksOffWasDelivered(t *testing.T, newClient func(*testing.T, http.HandlerFunc) *Client) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, "half")
	})
	if err := c.Post(t.Context(), "R1kmxc2VNjMCFIA=", []byte("{}")); err != nil {
		t.Errorf("Post = %v, want nil", err)
	}
}

func TestTheCallersCancellationIsRecognisable(t *testing.T) {
	t.Parallel()
	bothWays(t, testTheCallersCancellationIsRecognisable)
}

func testTheCallersCancellationIsRecognisable(t *testing.T, newClient func(*testing.T, http.HandlerFunc) *Client) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		silent(w, r)
	})
	for name, call := range map[string]func() error{
		"post":   func() error { return c.Post(ctx, "R1kmxc2VNjMCFIA=", []byte("{}")) },
		"delete": func() error { return c.Delete(ctx, "R1kmxc2VNjMCFIA=") },
	} {
		err := call()
		if !errors.Is(err, context.Canceled) || errors.Is(err, pubsub.ErrBusy) {
			t.Errorf("%s = %v, want context.Canceled and not ErrBusy", name, err)
		}
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
		busy   bool
	}{
		"of an open connection succeeds":   {status: 204},
		"of a gone connection succeeds":    {status: 410},
		"of an ill-formed id succeeds":     {status: 400, body: `{"message":"Invalid connectionId: x","__type":"BadRequestException"}`},
		"that was not understood is busy":  {status: 400, body: `{"message":"Bad Request"}`, busy: true},
		"at a busy gateway is busy":        {status: 429, busy: true},
		"without permission (yet) is busy": {status: 403, busy: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodDelete || r.RequestURI != "/prod/@connections/R1kmxc2VNjMCFIA%3D" {
					t.Errorf("request = %s %s", r.Method, r.RequestURI)
				}
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			err := c.Delete(t.Context(), "R1kmxc2VNjMCFIA=")
			if (err != nil) != tt.busy || errors.Is(err, pubsub.ErrBusy) != tt.busy {
				t.Errorf("Delete = %v, want ErrBusy: %v", err, tt.busy)
			}
		})
	}
}

func TestThePoolKeepsConnectionsForEveryWorker(t *testing.T) {
	t.Parallel()
	client := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.DisableCompression = true // stands for the settings to keep
	})
	for _, n := range []int{4, 512} {
		tr := pooled(client, n).(*awshttp.BuildableClient).GetTransport()
		if tr.MaxIdleConnsPerHost < n || tr.MaxIdleConns < n || !tr.DisableCompression {
			t.Errorf("maxConns %d: MaxIdleConns %d, MaxIdleConnsPerHost %d, configured settings kept: %v",
				n, tr.MaxIdleConns, tr.MaxIdleConnsPerHost, tr.DisableCompression)
		}
	}
}

// silent does not answer before the caller has gone.
func silent(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // otherwise the server does not notice that the caller hangs up
	<-r.Context().Done()
}
