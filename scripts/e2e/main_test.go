// Package e2e tests the whole pipeline as its users meet it: the deployed binaries,
// in the local cloud, with real sockets and real clients. It has only tests. They
// need what make test prepares: the functions built for this machine, and the clients
// that scripts/clients.sh installs.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat"
	"subwire/shared/chat/chattest"
	"subwire/shared/dynamo"
	"subwire/shared/topology"
)

// One cloud serves most tests. Each test has its own chats.
var (
	local *cloud.Cloud
	store *dynamo.Store
	logs  lockedBuffer // what the functions print
)

// hurried is a second cloud, where seconds stand for minutes and hours and only one
// origin is allowed. The first test that needs it starts it.
var hurried = sync.OnceValues(func() (*cloud.Cloud, error) {
	isHurried.Store(true)
	return startCloud(context.Background(), cloud.Config{Root: "../..", Output: &logs,
		Settings: map[string]string{topology.InitTimeout.Env: "3s", topology.AllowedOrigins.Env: "https://Good.Example:443"},
		Limits:   apigwemu.Limits{Idle: 10 * time.Second, Age: 12 * time.Second}})
})

var isHurried atomic.Bool // whether hurried was started

func TestMain(m *testing.M) {
	flag.Parse()
	if err := skipOnHost(); err != nil {
		panic(err)
	}
	// Tests wait a lot, but not for each other: with more of them, functions run out of time
	// on a machine with two cores.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	var code int
	err := func() (err error) {
		if local, err = startCloud(context.Background(), cloud.Config{Root: "../..", Output: &logs, Control: "127.0.0.1:0", Canary: time.Hour,
			// However busy the machine is, a client that keeps to the protocol is not late.
			Settings: map[string]string{topology.InitTimeout.Env: "5m", topology.LargeTopics.Env: "true"}}); err != nil {
			return err
		}
		defer stopClouds()
		local.Gateway.SetFaults(faults)
		store = dynamo.New(dynamo.NewClient(local.Backend.AWS()), dynamo.Tables{
			Connections: local.Tables[topology.Connections.Name], Subscriptions: local.Tables[topology.Subscriptions.Name]})
		code = m.Run()
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the local cloud:", err)
		code = 1
	}
	os.Exit(code)
}

// stopClouds stops all at once, as each takes its time.
func stopClouds() {
	var wg sync.WaitGroup
	wg.Go(local.Stop)
	if isHurried.Load() {
		if c, err := hurried(); err == nil {
			wg.Go(c.Stop)
		}
	}
	if isSecured.Load() {
		if c, err := secured(); err == nil {
			wg.Go(c.Stop)
		}
	}
	if isShopping.Load() {
		if c, err := shopping(); err == nil {
			wg.Go(c.Stop)
		}
	}
	wg.Wait()
}

// faults are active in the local cloud from its start. They delay each message of an
// operation whose id begins with "race" for a moment, so that those of one connection are
// handled in any order. They note the id of each connection that names itself:
// {"type":"connection_init","payload":{"name":"x"}}. Posts to single connections fail as
// failPosts says. Chats of subscriptions that clients complete are noted, and connections
// whose pings or pongs reach the function.
var (
	faults = apigwemu.Faults{Post: onPost, Time: timeOfTurns, Message: func(ctx context.Context, connectionID, body string) {
		var m struct {
			Type, ID string
			Payload  struct {
				Name      string
				Variables struct{ ChatID string }
			}
		}
		_ = json.Unmarshal([]byte(body), &m) // not all is JSON
		if m.Payload.Name != "" {
			connectionIDs.Store(m.Payload.Name, connectionID)
		}
		operation := connectionID + " " + m.ID
		switch m.Type {
		case "subscribe":
			chatIDs.Store(operation, m.Payload.Variables.ChatID)
		case "complete":
			if chatID, ok := chatIDs.Load(operation); ok {
				completed.Store(chatID, true)
			}
		case "ping", "pong":
			pinging.Store(connectionID, true)
		}
		if strings.HasPrefix(m.ID, "race") {
			select {
			case <-time.After(rand.N(20 * time.Millisecond)):
			case <-ctx.Done():
			}
		}
	}}
	connectionIDs sync.Map // by name
	chatIDs       sync.Map // by connection and operation
	completed     sync.Map // chats
	pinging       sync.Map // connections
)

// connectionID waits for the connection with that name.
func connectionID(t *testing.T, name string) (id string) {
	t.Helper()
	await(t, "connection "+name, func() (ok bool) {
		if onHost {
			id, ok = stored.find(t, name)
			return ok
		}
		found, ok := connectionIDs.Load(name)
		id, _ = found.(string)
		return ok
	})
	return id
}

// lockedBuffer is a buffer that is safe for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// patience bounds every wait for the pipeline. It is not an expectation: the machine
// may be busy, and all tests share one shard of the stream, where some write a
// thousand messages.
const patience = 3 * time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s\nfunctions' logs:\n%s", patience, what, logs.String())
		}
	}
}

// subscribers counts the stored subscriptions of a chat.
func subscribers(t *testing.T, chatID string) int { return listening(t, local, chat.Topic(chatID)) }

// chats is the store of a cloud's chat messages.
func chats(c *cloud.Cloud) *dynamo.Store {
	return dynamo.New(dynamo.NewClient(c.Backend.AWS()), dynamo.Tables{Products: c.Tables})
}

func awaitSubscribers(t *testing.T, chatID string, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d subscribers of %s", n, chatID), func() bool { return subscribers(t, chatID) == n })
}

func dial(t *testing.T) *wsclient.Client {
	t.Helper()
	c, err := wsclient.Dial(within(t), local.WSURL, wsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// dialRaw opens a socket without the protocol.
func dialRaw(t *testing.T, url string) *wsclient.Raw {
	t.Helper()
	raw, err := wsclient.DialRaw(within(t), url, wsclient.Options{AsFrames: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close(1000, "") })
	return raw
}

func send(t *testing.T, raw *wsclient.Raw, frames ...string) {
	t.Helper()
	for _, f := range frames {
		if err := raw.Send(within(t), f); err != nil {
			t.Fatal(err)
		}
	}
}

// receive returns the next frame after checking that it is well-formed.
func receive(t *testing.T, raw *wsclient.Raw) string {
	t.Helper()
	frame, err := raw.Next(within(t))
	if err != nil {
		t.Fatalf("await frame: %v\nfunctions' logs:\n%s", err, logs.String())
	}
	checkFrame(t, frame)
	return frame
}

func subscribe(t *testing.T, c *wsclient.Client, query, chatID string) *wsclient.Subscription {
	t.Helper()
	s, err := c.Subscribe(within(t), wsclient.Operation{Query: query, Variables: map[string]any{"chatId": chatID}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func next(t *testing.T, s *wsclient.Subscription) string {
	t.Helper()
	result, err := s.Next(within(t))
	if err != nil {
		t.Fatalf("next: %v\nfunctions' logs:\n%s", err, logs.String())
	}
	return string(result)
}

// post writes a message over HTTP, as a browser would.
func post(t *testing.T, chatID, content string) {
	t.Helper()
	status, body := request(t, encode(t, map[string]any{
		"query":     `mutation ($chatId: ID!, $content: String!) { postMessage(chatId: $chatId, content: $content, senderName: "Ada") { id } }`,
		"variables": map[string]string{"chatId": chatID, "content": content},
	}))
	if status != http.StatusOK || bytes.Contains(body, []byte("errors")) {
		t.Fatalf("post answered %d %s", status, body)
	}
}

// lateIn returns how many came after another that should have come later.
func lateIn(got, want []string) (late int) {
	latest := 0
	for _, g := range got {
		place := slices.Index(want, g)
		if place < latest {
			late++
		}
		latest = max(latest, place)
	}
	return late
}

var delivered = regexp.MustCompile(`"(?:batch|event) delivered".*"event":"(\w+)".*"Retried":([1-9]\d*)`)

// requeued returns how many targets of the chat's events went through the queue of
// retries, as they may on a machine without time: that many may come late.
func requeued(t *testing.T, chatID string) (n int) {
	t.Helper()
	messages, err := chattest.Messages(within(t), chats(local), chatID, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range delivered.FindAllStringSubmatch(logs.String(), -1) {
		if slices.ContainsFunc(messages, func(m chat.Message) bool { return m.ID == batch[1] }) {
			targets, _ := strconv.Atoi(batch[2]) // it is a number
			n += targets
		}
	}
	return n
}

func encode(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func request(t *testing.T, operation string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), http.MethodPost, local.HTTPURL, strings.NewReader(operation))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// client is a program of scripts/clients, which talks in JSON lines.
type client struct {
	stdin io.WriteCloser
	lines chan string // closed when the program has ended
}

// needClients ends a test whose clients are not installed.
func needClients(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("../clients/node_modules/graphql-ws"); err != nil {
		t.Fatal("the clients are not installed; run scripts/clients.sh")
	}
}

func startNode(t *testing.T, args ...string) *client {
	t.Helper()
	return startClient(t, append([]string{"node"}, args...)...)
}

// startClient runs a command in scripts/clients until the test ends.
func startClient(t *testing.T, command ...string) *client {
	t.Helper()
	needClients(t)
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Stderr = "../clients", &logs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &client{stdin: stdin, lines: make(chan string, 1000)}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			c.lines <- s.Text()
		}
		_ = cmd.Wait() // its output tells enough
	}()
	t.Cleanup(func() {
		stdin.Close()
		for range c.lines { // until it has ended
		}
	})
	return c
}

func (c *client) line(t *testing.T) string {
	t.Helper()
	select {
	case l, ok := <-c.lines:
		if !ok {
			t.Fatalf("the client has ended\nlogs:\n%s", logs.String())
		}
		return l
	case <-within(t).Done():
		t.Fatalf("no line from the client\nlogs:\n%s", logs.String())
		return ""
	}
}
