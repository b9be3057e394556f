package doctor

import (
	"context"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// tool is a program that a deployment needs.
type tool struct {
	name    string
	asks    []string // arguments with which it prints its version
	atLeast [2]int   // zero for any
	install string   // as in scripts/need.sh
}

var tools = []tool{
	{"go", []string{"version"}, [2]int{1, 26}, "Go 1.26 or newer"},
	{"node", []string{"--version"}, [2]int{20, 19}, "Node.js 20.19 or newer"},
	{"npm", []string{"--version"}, [2]int{}, "npm (it comes with Node.js)"},
}

// version finds the first two numbers of a version in what a tool prints.
var version = regexp.MustCompile(`([0-9]+)\.([0-9]+)`)

// checkTools says of each tool whether it is there and new enough. run returns what a
// program prints.
func checkTools(ctx context.Context,
	run func(ctx context.Context, name string, args ...string) (string, error)) []result {
	var all []result
	for _, t := range tools {
		printed, err := run(ctx, t.name, t.asks...)
		printed = strings.TrimSpace(printed)
		switch numbers := version.FindStringSubmatch(printed); {
		case err != nil:
			all = append(all, fault(t.name, "it is not installed; install %s", t.install))
		case numbers == nil:
			all = append(all, doubt(t.name, "its version is not known: %s", printed))
		case older(numbers[1:], t.atLeast):
			all = append(all, fault(t.name, "%s is too old; install %s", printed, t.install))
		default:
			all = append(all, fine(t.name, "%s", printed))
		}
	}
	return all
}

func older(numbers []string, than [2]int) bool {
	major, _ := strconv.Atoi(numbers[0]) // they are digits
	minor, _ := strconv.Atoi(numbers[1])
	return major < than[0] || major == than[0] && minor < than[1]
}

func runTool(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return string(out), err
}
