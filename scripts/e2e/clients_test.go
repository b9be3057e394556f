package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"subwire/shared/topology"
)

// What pages and programs share for resuming has tests of its own.
func TestTheResumeHelper(t *testing.T) {
	t.Parallel()
	needClients(t)
	cmd := exec.CommandContext(within(t), "node", "--test")
	cmd.Dir = "../clients"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The recipes of docs/clients.md: each client gets a message as it is written,
// loses its network for five messages and its function on the way back, and has
// them all, once each and in order. It runs alone, as it takes everybody's
// network.
func TestTheRecipesResumeAfterALostNetwork(t *testing.T) {
	programs := []string{"resume-graphql-ws.mjs", "apollo.mjs", "urql.mjs", "relay.mjs"}
	clients, chats := make([]*node, len(programs)), make([]string, len(programs))
	for i, program := range programs {
		chats[i] = fresh("e2e-recipe")
		clients[i] = startNode(t, program, local.HTTPURL, local.WSURL, chats[i])
	}
	expect := func(contents ...string) {
		t.Helper()
		for i, c := range clients {
			for _, content := range contents {
				if got := c.line(t); !strings.Contains(got, `"content":"`+content+`"`) {
					t.Fatalf("%s: got %s, want %s", programs[i], got, content)
				}
			}
		}
	}
	write := func(contents ...string) {
		t.Helper()
		for _, content := range contents {
			for _, chatID := range chats {
				post(t, chatID, content)
			}
		}
	}
	for _, chatID := range chats {
		awaitSubscribers(t, chatID, 1)
	}
	write("1", "2")
	expect("1", "2")

	missed := []string{"3", "4", "5", "6", "7"}
	local.Gateway.SetDown(true)
	for _, chatID := range chats {
		awaitSubscribers(t, chatID, 0)
	}
	write(missed...)
	local.Functions[topology.Message.Name].Kill()
	local.Gateway.SetDown(false)
	expect(missed...)
	write("8")
	expect("8")
}

// snippet is a block of code with the path of the file that it is from.
var snippet = regexp.MustCompile("(?s)```js (\\S+)\n(.*?)```")

// What docs/clients.md shows is what the tests run.
func TestTheRecipesInTheDocsAreTheProgramsThatRun(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for _, found := range snippet.FindAllStringSubmatch(string(page), -1) {
		file, err := os.ReadFile("../../" + found[1])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(file), found[2]) {
			t.Errorf("not in %s:\n%s", found[1], found[2])
		}
		files[found[1]] = true
	}
	if len(files) < 5 {
		t.Errorf("there are snippets of %v only", files)
	}
}
