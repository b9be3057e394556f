package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"subwire/scripts/internal/account"
	"subwire/shared/products"
	"subwire/shared/topology"
)

// plan is a deployment that is to be made, by the switches of docs/operations.md.
type plan struct {
	app      topology.Product
	stack    string
	arch     string
	assets   string // folder with FUNCTION/bootstrap
	switches map[string]string
	settings map[string]string // by environment variable
}

// read reads KEY=VALUE switches, as make deploy takes them after -c. It uses some and leaves
// the check of all to the CDK app. env is one more, or "".
func read(env string, pairs []string) (p plan, err error) {
	p = plan{switches: map[string]string{}, settings: map[string]string{}}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return p, fmt.Errorf("-c %s: it must be KEY=VALUE", pair)
		}
		p.switches[key] = value
	}
	if env != "" {
		p.switches["env"] = env
	}
	app := cmp.Or(p.switches["app"], products.Default())
	if p.app, err = products.Named(app); err != nil {
		return p, fmt.Errorf("-c app=%s: %w", app, err)
	}
	p.app.Inputs = p.switches["inputs"] == "true"
	if minutes, _ := strconv.Atoi(p.switches["canaryEvery"]); minutes > 0 {
		p.app.CanaryEvery = time.Duration(minutes) * time.Minute
	}
	p.stack = p.app.Stack(cmp.Or(p.switches["env"], "dev"))
	p.arch, p.assets = cmp.Or(p.switches["arch"], "arm64"), cmp.Or(p.switches["assets"], "bin")
	for pair := range strings.SplitSeq(p.switches["settings"], ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
			p.settings[name] = value
		}
	}
	return p, nil
}

func (p plan) name(of string) string { return p.stack + "-" + of }

// hosts are the programs besides the functions.
func (p plan) hosts() []topology.Function {
	if p.switches["host"] == "" {
		return nil
	}
	return topology.Hosts()
}

// mostTasks is how many the host may have. What is no number is for the CDK app to refuse.
func (p plan) mostTasks() int {
	if n, err := strconv.Atoi(p.switches["hostMostTasks"]); err == nil {
		return n
	}
	return topology.Fargate.Most
}

// needs is what the template would demand of the account (infra's concurrency and mappings).
func (p plan) needs() account.Needs {
	n := account.Needs{Reserved: map[string]int{}}
	small := p.switches["small"] == "true"
	for _, f := range p.app.Functions() {
		if f.Reserved > 0 && !small && p.switches["reserve"] != "false" {
			n.Reserved[p.name(f.Name)] = f.Reserved
		}
	}
	for _, m := range p.app.QueueMappings() {
		if small {
			m.MaxConcurrency = topology.LeastMaxConcurrency
		}
		n.Mapped += m.MaxConcurrency
	}
	return n
}

// parameters are those that the settings name, by setting.
func (p plan) parameters() map[string]string {
	found := map[string]string{}
	for _, s := range []*topology.Setting{topology.JWTKey.Setting, topology.CanaryToken.Setting} {
		if name, ok := strings.CutPrefix(p.settings[s.Env], topology.ParameterPrefix); ok {
			found[s.Env] = name
		}
	}
	return found
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
