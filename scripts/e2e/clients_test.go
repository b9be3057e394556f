package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"subwire/shared/topology"
)

// The client package that pages and programs share has its own tests.
func TestTheClientPackage(t *testing.T) {
	t.Parallel()
	needClients(t)
	cmd := exec.CommandContext(within(t), "node", "--test")
	cmd.Dir = "../../shared/js"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// recipe is a program behind docs/clients.md. Its command, relative to
// scripts/clients, also takes HTTP_URL WS_URL CHAT_ID.
type recipe struct {
	client  string
	command []string
}

// built is the folder of what scripts/clients.sh builds.
const built = "../../.cache/clients/"

// recipes are all of them, without Rust's if there was no cargo.
func recipes() []recipe {
	classPath := built + "jvm/classes" + string(os.PathListSeparator) + built + "jvm/lib/*"
	all := []recipe{
		{"graphql-ws", []string{"node", "resume-graphql-ws.mjs"}},
		{"Apollo Client", []string{"node", "apollo.mjs"}},
		{"urql", []string{"node", "urql.mjs"}},
		{"Relay", []string{"node", "relay.mjs"}},
		{"gql (Python)", []string{built + "gql/bin/python", "gql/listen.py"}},
		{"genqlient (Go)", []string{built + "genqlient"}},
		{"Spring for GraphQL", []string{"java", "-cp", classPath, "spring.SpringKt"}},
		{"Apollo Kotlin", []string{"java", "-cp", classPath, "apollo.ApolloKotlinKt"}},
	}
	rust := built + "rust/debug/subwire-client"
	if _, err := os.Stat(rust); err == nil {
		all = append(all, recipe{"graphql-ws-client (Rust)", []string{rust}})
	}
	return all
}

// The recipes of docs/clients.md. Each client gets a message as it is written, loses
// its network for five messages and its function on the way back, receives them all,
// once each and in order, and completes. The test runs alone, as it takes down
// everybody's network.
func TestTheRecipesResumeAfterALostNetwork(t *testing.T) {
	recipes := recipes()
	clients, chats := make([]*client, len(recipes)), make([]string, len(recipes))
	for i, r := range recipes {
		chats[i] = fresh("e2e-recipe")
		clients[i] = startClient(t, append(r.command, local.HTTPURL, local.WSURL, chats[i])...)
		awaitSubscribers(t, chats[i], 1) // one after another: most start their own virtual machine
	}
	expect := func(contents ...string) {
		t.Helper()
		for i, c := range clients {
			for _, content := range contents {
				if got := c.line(t); !strings.Contains(got, `"content":"`+content+`"`) {
					t.Fatalf("%s: got %s, want %s", recipes[i].client, got, content)
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
	write("1", "2")
	expect("1", "2")

	missed := []string{"3", "4", "5", "6", "7"}
	setDown(true)
	for _, chatID := range chats {
		awaitSubscribers(t, chatID, 0)
	}
	write(missed...)
	local.Functions[topology.Message.Name].Kill() // on the host it runs nowhere
	setDown(false)
	expect(missed...)
	write("8")
	expect("8")

	for i, c := range clients {
		if recipes[i].command[0] == "node" {
			c.stdin.Close()
		} else {
			fmt.Fprintln(c.stdin, "complete")
		}
	}
	for i, chatID := range chats {
		await(t, recipes[i].client+" completes", func() bool { _, ok := completed.Load(chatID); return ok || onHost })
		awaitSubscribers(t, chatID, 0)
	}
}

// Rover asks with the introspection query of 2018. The other clients' schema file is
// its output.
func TestRoverReadsTheSchema(t *testing.T) {
	t.Parallel()
	needClients(t)
	const rover = "../clients/node_modules/@apollo/rover-linux-x64/rover"
	if _, err := os.Stat(rover); err != nil {
		t.Skip("npm has installed no Rover on this machine: it is pinned for Linux on x86-64")
	}
	cmd := exec.CommandContext(within(t), rover, "graph", "introspect", local.HTTPURL, "--skip-update-check")
	cmd.Env = append(os.Environ(), "APOLLO_TELEMETRY_DISABLED=1", "APOLLO_CONFIG_HOME="+t.TempDir())
	cmd.Stderr = &logs
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\nlogs:\n%s", err, logs.String())
	}
	want, err := os.ReadFile("../clients/schema.graphql")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("scripts/clients/schema.graphql is not what Rover prints:\n%s", got)
	}
}

// snippet is a block of code with the path of its source file.
var snippet = regexp.MustCompile("(?s)```\\w+ (\\S+)\n(.*?)```")

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
	if len(files) < 10 {
		t.Errorf("there are snippets of %v only", files)
	}
}
