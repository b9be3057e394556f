package deployment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"subwire/scripts/internal/backend"
	"subwire/shared/products"
	"subwire/shared/topology"
)

// stateFile describes the running local cloud, relative to the repository's root. It
// holds no secret: the local servers have none.
var stateFile = filepath.Join(".cache", "local.json")

// answerLimit bounds the wait for a local server to accept a connection.
const answerLimit = 2 * time.Second

// errNoLocal says what to do if no local cloud is running.
var errNoLocal = errors.New("no local cloud runs here; start one with make run")

type state struct {
	App      string            `json:"app"`      // name of the product
	DynamoDB string            `json:"dynamodb"` // endpoint, also for the streams
	SQS      string            `json:"sqs"`      // endpoint
	HTTPURL  string            `json:"httpUrl"`
	WSURL    string            `json:"wsUrl"`
	Gateway  string            `json:"gatewayUrl"`
	Tables   map[string]string `json:"tables"`
	Queues   map[string]string `json:"queues"`

	FanoutGroups int    `json:"fanoutGroups"`
	ControlURL   string `json:"controlUrl"`

	CanaryEvery time.Duration `json:"canaryEvery"`
}

// Line is a line of a function's log, which the local cloud's control API gives.
type Line struct {
	At       time.Time `json:"at"`
	Function string    `json:"function"`
	Text     string    `json:"text"`
}

// Save notes in the repository at root that d runs on the backend, so that --local
// finds it; d.AWS is ignored. Of several local clouds the last is found. Call forget
// when the cloud ends: it removes the note, unless another cloud has written its own.
func Save(root string, b *backend.Backend, d Deployment) (forget func(), err error) {
	data, err := json.MarshalIndent(state{d.App.Name, b.DynamoDB.Endpoint, b.SQS.Endpoint, d.HTTPURL, d.WSURL, d.GatewayURL, d.Tables, d.Queues, d.FanoutGroups, d.ControlURL, d.App.CanaryEvery}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode state of the local cloud: %w", err)
	}
	path := filepath.Join(root, stateFile)
	if err := write(path, data); err != nil {
		return nil, fmt.Errorf("note that the local cloud runs: %w", err)
	}
	return func() {
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, data) {
			_ = os.Remove(path) // a leftover is recognised as stale
		}
	}, nil
}

// write replaces the file in one step, so that no reader sees half of it.
func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "local-*.json")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// ErrNoControl is about a local cloud of an older version, which has no control API to ask.
var ErrNoControl = errors.New("the local cloud is of another version; start one with make run")

// AskControl decodes what the local cloud's control API answers at the URL, which is JSON.
func AskControl(ctx context.Context, url string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the local cloud: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the local cloud answers %s", response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("decode the answer of the local cloud: %w", err)
	}
	return nil
}

// findLocal returns the local cloud of the repository that contains the folder.
func findLocal(ctx context.Context, folder string) (Deployment, error) {
	path, data, err := findState(folder)
	if err != nil {
		return Deployment{}, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return Deployment{}, fmt.Errorf("read %s: %w", path, err)
	}
	for _, endpoint := range []string{s.DynamoDB, s.SQS, s.HTTPURL, s.WSURL} {
		if err := answers(ctx, endpoint); err != nil {
			return Deployment{}, fmt.Errorf("the local cloud of %s does not answer at %q any more; start one with make run: %w", path, endpoint, err)
		}
	}
	app, err := products.Named(s.App)
	if s.FanoutGroups < 1 || err != nil {
		return Deployment{}, fmt.Errorf("the local cloud of %s is of another version; start one with make run", path)
	}
	app.Inputs, app.CanaryEvery = s.Queues[topology.Events.Name] != "", s.CanaryEvery
	b := &backend.Backend{DynamoDB: &backend.Server{Endpoint: s.DynamoDB}, SQS: &backend.Server{Endpoint: s.SQS}}
	return Deployment{App: app, AWS: b.AWS(), HTTPURL: s.HTTPURL, WSURL: s.WSURL, GatewayURL: s.Gateway, Tables: s.Tables, Queues: s.Queues, FanoutGroups: s.FanoutGroups,
		ControlURL: s.ControlURL}, nil
}

// findState looks for the state file in the folder and its parents.
func findState(folder string) (path string, data []byte, err error) {
	folder, err = filepath.Abs(folder)
	if err != nil {
		return "", nil, fmt.Errorf("find the local cloud: %w", err)
	}
	for {
		path = filepath.Join(folder, stateFile)
		data, err = os.ReadFile(path)
		if err == nil {
			return path, data, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, fmt.Errorf("find the local cloud: %w", err)
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", nil, errNoLocal
		}
		folder = parent
	}
}

// answers returns an error unless something listens at the URL.
func answers(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: answerLimit}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	return conn.Close()
}
