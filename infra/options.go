package main

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"subwire/shared/origins"
	"subwire/shared/topology"
)

// options are the context switches (cdk deploy -c KEY=VALUE).
type options struct {
	env            string // deployment: part of every name; "prod" keeps its messages
	arch           string // of the functions, as in make build
	allowedOrigins string // a value of topology.AllowedOrigins, as browsers write origins
	logRetention   int    // days
	reserve        bool   // whether functions reserve concurrency; a new account has none to spare
	small          bool   // whether it is to fit into an account that may run ten functions at once
	accessLogs     bool   // of both APIs; sets the account's role for API Gateway's logs
	wsDomain       string // custom domains, which CNAME records must point at the outputs
	httpDomain     string
	certificate    string            // ARN in the stack's region, for both domains
	assets         string            // folder with FUNCTION/bootstrap
	trusted        bool              // whether only the documents in operations.json run
	overrides      map[string]string // settings of topology, by environment variable
	local          string            // URL of an emulator that stands in for AWS, or ""
	public         bool              // whether production may be open to anybody
}

const prod = "prod"

var (
	envs       = []string{"dev", "test", prod}
	archs      = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64}
	retentions = []string{"1", "3", "5", "7", "14", "30", "60", "90", "180", "365"} // of those that CloudWatch knows
	booleans   = []string{"false", "true"}
)

// defaults lists every switch.
var defaults = map[string]string{
	"env": "dev", "arch": "arm64", "allowedOrigins": topology.AllowedOrigins.Default, "logRetention": "30",
	"reserve": "true", "small": "false", "accessLogs": "false", "wsDomain": "", "httpDomain": "", "certificate": "",
	"assets": "../bin", "local": "", "settings": "", "trustedDocuments": "false", "public": "false",
}

// parse reads the switches. Its error says in one line what is wrong and what
// is allowed. Keys of the CDK itself, which are not one plain word, are passed over.
func parse(context map[string]string) (options, error) {
	value := maps.Clone(defaults)
	var errs []string
	for _, key := range slices.Sorted(maps.Keys(context)) {
		if _, known := defaults[key]; !known && plainWord.MatchString(key) {
			errs = append(errs, fmt.Sprintf("there is no switch %q; there are %s", key, strings.Join(slices.Sorted(maps.Keys(defaults)), ", ")))
		} else if known {
			value[key] = context[key]
		}
	}
	oneOf := func(key string, allowed []string) {
		if !slices.Contains(allowed, value[key]) {
			errs = append(errs, fmt.Sprintf("-c %s=%s: it must be one of %s", key, value[key], strings.Join(allowed, ", ")))
		}
	}
	oneOf("env", envs)
	oneOf("arch", slices.Sorted(maps.Keys(archs)))
	oneOf("logRetention", retentions)
	oneOf("reserve", booleans)
	oneOf("small", booleans)
	oneOf("accessLogs", booleans)
	oneOf("trustedDocuments", booleans)
	oneOf("public", booleans)
	must := func(ok bool, key, what string) {
		if !ok {
			errs = append(errs, fmt.Sprintf("-c %s=%s: it must be %s", key, value[key], what))
		}
	}
	allowed, err := origins.ParseList(value["allowedOrigins"])
	if err != nil {
		const what = "* or origins such as https://example.com, separated by commas"
		errs = append(errs, fmt.Sprintf("-c allowedOrigins=%s: it must be %s: %v", value["allowedOrigins"], what, err))
	}
	must(value["local"] == "" || isHTTPS(value["local"]), "local", "the URL of an emulator, such as https://localhost:4566")
	for _, key := range []string{"wsDomain", "httpDomain"} {
		must(value[key] == "" || domain.MatchString(value[key]), key, "a domain name such as api.example.com")
	}
	hasDomain := value["wsDomain"]+value["httpDomain"] != ""
	must(value["certificate"] == "" && !hasDomain || strings.HasPrefix(value["certificate"], "arn:") && hasDomain,
		"certificate", "the ARN of a certificate, with wsDomain or httpDomain or both")
	must(value["wsDomain"] == "" || value["wsDomain"] != value["httpDomain"], "wsDomain", "another domain than httpDomain")
	overrides, err := parseSettings(value["settings"])
	if err == nil {
		err = cmp.Or(checkAuth(overrides), normalizeOrigins(overrides),
			topology.CheckInitMembers(overrides[topology.InitMembers.Env]))
	}
	if err != nil {
		errs = append(errs, fmt.Sprintf("-c settings=%s: %v", value["settings"], err))
	}
	if len(errs) > 0 {
		return options{}, errors.New(strings.Join(errs, "; "))
	}
	days, _ := strconv.Atoi(value["logRetention"]) // one of retentions
	o := options{env: value["env"], arch: value["arch"], allowedOrigins: strings.Join(allowed, ","), logRetention: days,
		reserve: value["reserve"] == "true" && value["small"] == "false", small: value["small"] == "true", accessLogs: value["accessLogs"] == "true",
		wsDomain: value["wsDomain"], httpDomain: value["httpDomain"], certificate: value["certificate"],
		assets: value["assets"], local: value["local"], trusted: value["trustedDocuments"] == "true", overrides: overrides,
		public: value["public"] == "true"}
	return o, o.checkOpen()
}

// checkOpen refuses a production that is open because nobody thought of it: to
// callers without a token, to the pages of any site, to any number of connections.
func (o options) checkOpen() error {
	if o.env != prod || o.public {
		return nil
	}
	var missing []string
	for _, s := range []struct {
		setting topology.Setting
		asWhat  string
	}{
		{topology.Auth, "AUTH=jwt"},
		{topology.AllowedOrigins, "-c allowedOrigins"},
		{topology.MaxConnections, "MAX_CONNECTIONS"},
	} {
		if o.value(s.setting) == s.setting.Default {
			missing = append(missing, s.asWhat)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	const text = "-c env=prod is open to anybody: set %s (README.md, Settings), or say that it is meant with -c public=true"
	return fmt.Errorf(text, strings.Join(missing, ", "))
}

// parseSettings reads NAME=VALUE;NAME=VALUE, with names of topology's settings.
// The values are the functions' to check (package boot).
func parseSettings(text string) (map[string]string, error) {
	known := map[string]bool{}
	for _, f := range topology.Functions() {
		for _, s := range f.Settings {
			known[s.Env] = true
		}
	}
	found := map[string]string{}
	for pair := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if text != "" && (!ok || !known[name]) {
			return nil, fmt.Errorf("%q must be one of %s with its value, separated by semicolons", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		found[name] = value
	}
	delete(found, "")
	return found, nil
}

var (
	plainWord = regexp.MustCompile(`^[A-Za-z]+$`)
	domain    = regexp.MustCompile(`^([a-z0-9-]+\.)+[a-z]{2,}$`)
)

// normalizeOrigins does for the setting what parse does for the switch: of all
// settings it is the one whose faults would show in a browser only.
func normalizeOrigins(settings map[string]string) error {
	name := topology.AllowedOrigins.Env
	if settings[name] == "" {
		return nil
	}
	allowed, err := origins.ParseList(settings[name])
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	settings[name] = strings.Join(allowed, ",")
	return nil
}

// isHTTPS reports whether the text is an https URL of host and port alone.
func isHTTPS(text string) bool {
	origin, err := origins.Parse(text)
	return err == nil && origin == text && strings.HasPrefix(origin, "https:")
}

// prefix is what every physical name begins with.
func (o options) prefix() string { return "subwire-" + o.env + "-" }

// binary is the function's executable.
func (o options) binary(f topology.Function) string {
	return filepath.Join(o.assets, f.Name, "bootstrap")
}

// trustedFile is where make build puts operations.json in a function's package.
const trustedFile = "operations.json"

// settings are the environment variables that the deployment sets otherwise
// than topology's defaults.
func (o options) settings() map[string]string {
	s := map[string]string{topology.AllowedOrigins.Env: o.allowedOrigins}
	if o.env == prod {
		s[topology.Introspection.Env], s[topology.GraphiQL.Env] = "false", "false"
	}
	if o.trusted {
		s[topology.TrustedDocuments.Env] = trustedFile
	}
	maps.Copy(s, o.overrides)
	return s
}

// value is what the functions get for a setting.
func (o options) value(s topology.Setting) string { return cmp.Or(o.settings()[s.Env], s.Default) }

// checkBinary returns an error that says what to do unless the file is an
// executable for the architecture.
func checkBinary(path, arch string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is not a Linux executable: run ARCH=%s make build", path, arch)
	}
	defer f.Close()
	if f.Machine != archs[arch] {
		return fmt.Errorf("%s is not built for %s: run ARCH=%s make build", path, arch, arch)
	}
	return nil
}
