package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"subwire/scripts/subwire/cli"
)

func TestCommandLinesThatAreWrong(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                "say what to do\nSee subwire --help.",
		"redrive":         `unknown command "redrive"`,
		"dead":            "say what to do\nSee subwire dead --help.",
		"dead drop":       `unknown command "drop"`,
		"dead list":       "Say --local or --stack NAME",
		"dead list --yes": "unknown flag: --yes",

		"dead list please --local":                    "please",
		"dead list --local -o yaml":                   "it is text or json",
		"dead list --local --stack a":                 "choose one",
		"dead show retries --local":                   "these are: fanout-dead.fifo, retries-dead, events-dead, stream-dead",
		"dead show retries-dead stream-dead --local":  "at most 1 arg",
		"dead send --yes --local":                     "send QUEUE, or send --all",
		"dead send retries-dead --all --local":        "send QUEUE, or send --all",
		"dead send --all --topic a --local":           "neither --topic nor --max",
		"dead send retries-dead --max -1 --local":     "must not be negative",
		"dead send retries-dead --rate 0.001 --local": "at least 0.01",
		"connections":                                "say what to do",
		"connections open":                           "unknown command",
		"connections list":                           "which deployment",
		"connections list --local x":                 `"x"`,
		"connections show --local":                   "accepts 1 arg",
		"connections close --local":                  "say which",
		"connections close --local --all --viewer x": "say which",
		"console":                                 "which deployment",
		"console --local --listen 0.0.0.0:80":     "--listen is an address of this machine alone",
		"console --local --listen 127.0.0.1":      "--listen is an address of this machine alone",
		"console --local --listen example.com:80": "--listen is an address of this machine alone",
		"chat":                            "say what to do",
		"chat post a":                     "accepts 2 arg",
		"chat post a b":                   "which deployment",
		"chat post a b --local --stack b": "choose one",
		"chat post a b --url http://127.0.0.1:1 --local": "choose one",
		"chat listen a -nonsense":                        "unknown shorthand flag",
		"chat latency --messages 0 --local":              "1 at least",
		"token":                                          "accepts 1 arg",
		"trust":                                          "at least 1 arg",
		"local --auth basic":                             "--auth is anonymous or jwt",
		"local --timing gcp":                             "--timing is local or aws",
		"local x":                                        `"x"`,
		"local -http :99999":                             "-http has two dashes: --http",
		"local --http :99999":                            `--http is ":99999": `,
		"local --http 8080":                              `--http is "8080": `,
		"dead send -local":                               "-local has two dashes: --local",
		"help nothing":                                   `unknown command "nothing" for "subwire"`,
		"publish --local":                                "accepts between 1 and 2 arg",
		"publish a {}":                                   "which deployment",
		"publish a {} --lines --local":                   "leave out the JSON",
		"publish a {} --id= --local":                     "--id is empty",
		"revoke --local":                                 "accepts 1 arg",
		"revoke ada":                                     "which deployment",
		"check":                                          "which deployment",
		"check x --local":                                `"x"`,
		"check --local --setting NONE=1":                 `there is no setting "NONE"`,
		"check --local --setting MAX_FIELDS=x":           "MAX_FIELDS",
		"doctor x":                                       `"x"`,
		"doctor --local --stack a":                       "choose one",
		"doctor --local --env dev":                       "choose one",
		"doctor -c env":                                  "it must be KEY=VALUE",
		"doctor -c app=nothing":                          "it must be one of chat",
		"doctor --token x":                               "for a running deployment",
		"schema --app nothing":                           `--app is "nothing": it must be one of chat, `,
		"schema chat":                                    `unknown command "chat"`,
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			var out, errs strings.Builder
			if code := run(t.Context(), strings.Fields(line), &out, &errs); code != cli.ExitUsage || !strings.Contains(errs.String(), want) || out.Len() > 0 {
				t.Errorf("got %d, %s%s", code, &errs, &out)
			}
		})
	}
}

// Later failures are distinct from a wrong command line, and reported in one line
// that is safe on a terminal.
func TestFailures(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\u009b2J", http.StatusTeapot) }))
	t.Cleanup(server.Close)
	for line, want := range map[string]string{
		"token ada --issuer " + server.URL:  `\u009b2J`,
		"chat post a b --url " + server.URL: `\u009b2J`,
		"trust missing.graphql":             "missing.graphql",
	} {
		var errs strings.Builder
		if code := run(t.Context(), strings.Fields(line), io.Discard, &errs); code != cli.ExitFailed || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %d, %q", line, code, &errs)
		}
	}
}

// Each command has help, with the flags that name a deployment if it needs one.
func TestHelp(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"--help":                  "dead ",
		"help":                    "dead ",
		"help local":              "--fault PLAN",
		"local help":              "--fault PLAN",
		"local -h":                "--fault PLAN",
		"dead --help":             "send ",
		"dead send --help":        "subwire dead send {QUEUE | --all} [flags]",
		"connections list --help": "--stack NAME",
		"console --help":          "logs:FilterLogEvents",
		"chat listen --help":      "--local",
		"token --help":            "--chats CHATS",
		"trust --help":            "byte for byte",
		"local --help":            "--fault PLAN",
		"publish --help":          "--id ID",
		"doctor --help":           "-c, --context KEY=VALUE",
		"schema --help":           "--app NAME",
	} {
		var out strings.Builder
		if code := run(t.Context(), strings.Fields(line), &out, &out); code != cli.ExitDone || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d, %s", line, code, &out)
		}
	}
}

// Shells ask __complete for what may follow. The script for bash is parsed.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"__complete dead send ":        "fanout-dead.fifo\nretries-dead\nevents-dead\nstream-dead\n:4\n",
		"__complete connections show ": ":4\n",
		"__complete dead list -o j":    "text\njson\n:4\n",
		"__complete trust ":            ":0\n",
		"__complete connections clo":   "close\tEnd connections, or tell which\n:4\n",
	} {
		var out strings.Builder
		if code := run(t.Context(), strings.Split(line, " "), &out, io.Discard); code != cli.ExitDone || out.String() != want {
			t.Errorf("%s: %d, %s", line, code, &out)
		}
	}
	for shell, check := range map[string][]string{"bash": {"bash", "-n"}, "zsh": {"zsh", "-n"}} {
		var script bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, &script, io.Discard); code != cli.ExitDone || script.Len() == 0 {
			t.Errorf("%s: %d", shell, code)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		cmd := exec.Command(check[0], check[1:]...)
		cmd.Stdin = &script
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v, %s", shell, err, out)
		}
	}
}
