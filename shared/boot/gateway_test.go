package boot

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"subwire/shared/memory"
	"subwire/shared/node"
	"subwire/shared/sigv4"
	"subwire/shared/topology"
)

// A frame to a node is signed with the key of hosts, however it is given; one to any other
// connection is not.
func TestTheGatewayReachesHostsWithTheirKey(t *testing.T) {
	t.Parallel()
	var ssm atomic.Int32
	parameters := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ssm.Add(1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"Parameter":{"Value":"secret"}}`)
	}))
	t.Cleanup(parameters.Close)
	for _, key := range []string{"secret", "ssm:/hosts/key"} {
		var toHosts, toAPI atomic.Int32
		signer := sigv4.Signer{AccessKey: node.AccessKey, SecretKey: "secret", Region: node.Region}
		hosts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hash, signed := signer.VerifyHead(r, time.Now())
			body, err := io.ReadAll(r.Body)
			if err != nil || !signed || hash != sigv4.Hash(body) {
				t.Errorf("%s %s is not signed: %v", r.Method, r.URL, err)
			}
			toHosts.Add(1)
		}))
		api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Authorization"), node.AccessKey+"/") {
				t.Errorf("%s %s is signed with the key of hosts", r.Method, r.URL)
			}
			toAPI.Add(1)
		}))
		t.Cleanup(hosts.Close)
		t.Cleanup(api.Close)
		p := Process{AWS: aws.Config{Region: "us-east-1", BaseEndpoint: &parameters.URL,
			Credentials: credentials.NewStaticCredentialsProvider("ours", "ours", "")},
			Config: Config{Callback: api.URL, Settings: topology.Values{topology.HostURL.Setting: hosts.URL + "/nodes", topology.HostKey.Setting: key}}}
		g := p.Gateway(memory.New(), 2)
		socket := node.Address{HostPort: "10.0.0.1:80", Boot: "b", Socket: "s"}.String()
		for _, id := range []string{socket, "L0SM9cOFvHcCIhw=", socket} {
			if err := g.Post(t.Context(), id, []byte("frame")); err != nil {
				t.Error(err)
			}
			if err := g.Delete(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
		if toHosts.Load() != 4 || toAPI.Load() != 2 {
			t.Errorf("with %q, %d reached hosts and %d the API", key, toHosts.Load(), toAPI.Load())
		}
	}
	if n := ssm.Load(); n != 1 {
		t.Errorf("the parameter was read %d times", n)
	}
}

// doer answers requests without a network.
type doer func() *http.Response

func (d doer) Do(*http.Request) (*http.Response, error) { return d(), nil }

// While the parameter cannot be read again, requests are signed with the key as it was.
func TestTheOldKeyServesWhileThereIsNoNewOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		status, key := http.StatusBadRequest, "old"
		reads := 0
		parameters := doer(func() *http.Response {
			reads++
			body := `{"__type":"InternalServerError"}`
			if status == http.StatusOK {
				body = `{"Parameter":{"Value":"` + key + `"}}`
			}
			return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
				Body: io.NopCloser(strings.NewReader(body))}
		})
		keys := Process{AWS: aws.Config{Region: "us-east-1", HTTPClient: parameters,
			Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
			Credentials: credentials.NewStaticCredentialsProvider("ours", "ours", "")},
			Config: Config{Settings: topology.Values{topology.HostKey.Setting: "ssm:/hosts/key"}}}.hostKey()
		read := func(want string, wantReads int) {
			t.Helper()
			got, err := keys.Retrieve(t.Context())
			if (err != nil) != (want == "") || got.SecretAccessKey != want || reads != wantReads {
				t.Errorf("got %q after %d reads, %v; want %q after %d", got.SecretAccessKey, reads, err, want, wantReads)
			}
		}
		read("", 1) // there is no old one
		status = http.StatusOK
		read("old", 2)
		read("old", 2)
		status, key = http.StatusBadRequest, "new"
		time.Sleep(hostKeyAge)
		read("old", 3)
		read("old", 3)
		time.Sleep(hostKeyPause)
		read("old", 4)
		status = http.StatusOK
		time.Sleep(hostKeyPause)
		read("new", 5)
	})
}

func TestWithoutHostsThereIsOnlyTheAPI(t *testing.T) {
	t.Parallel()
	p := Process{Config: Config{Callback: "https://api/stage", Settings: topology.Defaults()}}
	if g, routed := p.Gateway(memory.New(), 1).(node.Route); routed {
		t.Errorf("got %+v", g)
	}
}

func TestHostsNeedAKey(t *testing.T) {
	t.Parallel()
	env := full()
	env["HOST_URL"] = "http://hosts"
	_, err := Load(topology.Disconnect, nil, func(name string) string { return env[name] })
	if err == nil || err.Error() != "HOST_URL needs HOST_KEY" {
		t.Errorf("got %v", err)
	}
	if _, err := (HostKey{}).Retrieve(t.Context()); err == nil {
		t.Error("an empty key signs")
	}
}
