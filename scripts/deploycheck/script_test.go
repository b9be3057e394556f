package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// scripted is a checkout with scripts/deploy.sh, in which everything that it runs is
// replaced by a line.
func scripted(t *testing.T, cdk, deploycheck string) string {
	t.Helper()
	root := t.TempDir()
	// A process that another test starts meanwhile would hold a file open for writing, and
	// then nobody can run it (go.dev/issue/22315).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for name, text := range map[string]string{
		"infra/.keep":           "",
		"scripts/infratools.sh": "cdk=$PWD/fakes/cdk",
		"scripts/product.sh":    "home=$PWD SUBWIRE_WORK=off",
		"scripts/build.sh":      "#!/bin/sh\necho built",
		"fakes/cdk":             "#!/bin/sh\necho \"cdk $*\"\n" + cdk,
		"fakes/go":              "#!/bin/sh\n",
		"fakes/node":            "#!/bin/sh\n",
		"fakes/npm":             "#!/bin/sh\n",
		"bin/deploycheck":       "#!/bin/sh\necho \"deploycheck $1\"\n" + deploycheck,
	} {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"deploy.sh", "need.sh", "explain.sh"} {
		text, err := os.ReadFile("../" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "scripts", name), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// When a script or a pipeline runs deploy.sh without a terminal, its output and its status
// are all there is to see.
func TestDeployWithoutATerminal(t *testing.T) {
	t.Parallel()
	const (
		works = ""
		fails = `[ "$1" = synth ] || { echo "stack: CREATE_FAILED messages"; echo "first line" >&2; echo "AccessDenied by second line" >&2; exit 3; }`
		ours  = `echo "subwire: -c env=X: it must be small" >&2; exit 1`
	)
	for name, test := range map[string]struct {
		args             []string
		cdk, deploycheck string
		status           int
		out, errs        []string // parts, in order
		not              string   // part of neither
	}{
		"deploy": {[]string{"deploy", "-c", "env=prod"}, works, "", 0,
			[]string{"built", "cdk synth --quiet", "env=prod", "deploycheck before", "deploycheck stored",
				"cdk deploy --progress events --require-approval never --app", "env=prod", "deploycheck after"},
			[]string{"subwire: there is no terminal, so changes of permissions are deployed without asking"}, ""},
		"deploy, with a decision about permissions": {[]string{"deploy", "--require-approval=broadening"}, works, "", 0,
			[]string{"cdk deploy --progress events", "--require-approval=broadening", "deploycheck after"}, nil, "never"},
		"deploy, whatever has changed": {[]string{"deploy", "--force"}, works, "", 0,
			[]string{"cdk deploy --progress events --require-approval never", "--force"}, nil, ""},
		"deploy fails": {[]string{"deploy"}, fails, "", 1,
			[]string{"stack: CREATE_FAILED messages"},
			[]string{"first line\nAccessDenied by second line\n", "subwire: cdk deploy may not do what it must; see above\n"}, "deploycheck after"},
		"a switch is wrong": {[]string{"deploy"}, ours, "", 1, []string{"cdk synth"},
			[]string{"subwire: -c env=X: it must be small\nsubwire: -c env=X: it must be small\n"}, "deploycheck"},
		"the account is wrong": {[]string{"deploy"}, works, `[ "$1" != before ]`, 1, []string{"deploycheck before"}, nil, "cdk deploy"},
		"subscriptions would end": {[]string{"deploy"}, works, `[ "$1" != stored ]`, 1, []string{"deploycheck stored"},
			[]string{"subwire: nothing was deployed; FORCE=1 deploys all the same"}, "cdk deploy"},
		"it cannot be protected": {[]string{"deploy"}, works, `[ "$1" != after ]`, 1, []string{"cdk deploy", "deploycheck after"}, nil, ""},
		"destroy": {[]string{"destroy"}, works, "", 2, nil,
			[]string{"subwire: there is no terminal to ask at; destroy with --force"}, "cdk"},
		"destroy, decided": {[]string{"destroy", "--force", "-c", "env=prod"}, works, "", 0,
			[]string{"cdk destroy --progress events", "-c public=true -c alarms=off --force -c env=prod"}, nil, "deploycheck"},
		"diff":            {[]string{"diff"}, works, "", 0, []string{"cdk diff"}, nil, "--progress"},
		"bootstrap fails": {[]string{"bootstrap"}, fails, "", 1, nil, []string{"first line", "see above"}, "--progress"},
		"misuse":          {[]string{"undeploy"}, works, "", 2, nil, []string{"usage: deploy.sh"}, "built"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := scripted(t, test.cdk, test.deploycheck)
			cmd := exec.CommandContext(t.Context(), filepath.Join(root, "scripts", "deploy.sh"), test.args...)
			cmd.Env = append(os.Environ(), "PATH="+filepath.Join(root, "fakes")+":"+os.Getenv("PATH"))
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			status, exit := 0, (*exec.ExitError)(nil)
			if err := cmd.Run(); errors.As(err, &exit) {
				status = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			contains(t, "output", out.String(), test.out)
			contains(t, "error output", errs.String(), test.errs)
			if test.not != "" && strings.Contains(out.String()+errs.String(), test.not) {
				t.Errorf("%q is in\n%s%s", test.not, out.String(), errs.String())
			}
		})
	}
}

// contains checks that the text has the parts in their order.
func contains(t *testing.T, what, text string, parts []string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("%s has no %q where it should:\n%s", what, part, text)
		}
		rest = after
	}
}
