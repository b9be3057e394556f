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
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// options are the context switches (cdk deploy -c KEY=VALUE).
type options struct {
	app            topology.Product
	env            string // deployment; part of every name; topology.Production keeps what is worth it
	arch           string // architecture of the functions, as in make build
	allowedOrigins string // a value of topology.AllowedOrigins, as browsers write origins
	logRetention   int    // days
	reserve        bool   // whether functions reserve concurrency; a new account has none to spare
	small          bool   // whether to fit into an account limited to ten concurrent functions
	accessLogs     bool   // for both APIs; sets the account's role for API Gateway's logs
	wsDomain       string // custom domains; their CNAME records must point at the outputs
	httpDomain     string
	certificate    string            // ARN in the stack's region, for both domains
	assets         string            // folder with FUNCTION/bootstrap
	trusted        bool              // whether only the documents in operations.json run
	overrides      map[string]string // settings of topology, by environment variable
	values         topology.Values   // values of all settings
	local          string            // URL of an emulator that stands in for AWS, or ""
	public         bool              // whether production may be open to anybody
	publishers     []string          // ARNs of roles that may publish events
}

var (
	envs       = []string{"dev", "test", topology.Production}
	archs      = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64}
	retentions = []string{"1", "3", "5", "7", "14", "30", "60", "90", "180", "365"} // those that CloudWatch accepts
	booleans   = []string{"false", "true"}
)

var defaults = map[string]string{
	"app": topology.App.Default, "env": "dev", "arch": "arm64",
	"allowedOrigins": topology.AllowedOrigins.Default, "logRetention": "30",
	"reserve": "true", "small": "false", "accessLogs": "false", "wsDomain": "", "httpDomain": "", "certificate": "",
	"assets": "../bin", "local": "", "settings": "", "trustedDocuments": "false", "public": "false", "publishers": "",
}

// parse reads the switches. Its error says in one line what is wrong and what is
// allowed. It skips the CDK's own keys, which are not one plain word.
func parse(context map[string]string) (options, error) {
	value := maps.Clone(defaults)
	var errs []string
	for _, key := range slices.Sorted(maps.Keys(context)) {
		if _, known := defaults[key]; !known && plainWord.MatchString(key) {
			all := strings.Join(slices.Sorted(maps.Keys(defaults)), ", ")
			errs = append(errs, fmt.Sprintf("there is no switch %q; there are %s", key, all))
		} else if known {
			value[key] = context[key]
		}
	}
	oneOf := func(key string, allowed []string) {
		if !slices.Contains(allowed, value[key]) {
			all := strings.Join(allowed, ", ")
			errs = append(errs, fmt.Sprintf("-c %s=%s: it must be one of %s", key, value[key], all))
		}
	}
	app, err := products.Named(value["app"])
	if err != nil {
		errs = append(errs, fmt.Sprintf("-c app=%s: %v", value["app"], err))
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
	must(value["local"] == "" || isHTTPS(value["local"]), "local",
		"the URL of an emulator, such as https://localhost:4566")
	for _, key := range []string{"wsDomain", "httpDomain"} {
		must(value[key] == "" || domain.MatchString(value[key]), key, "a domain name such as api.example.com")
	}
	hasDomain := value["wsDomain"]+value["httpDomain"] != ""
	must(value["certificate"] == "" && !hasDomain || strings.HasPrefix(value["certificate"], "arn:") && hasDomain,
		"certificate", "the ARN of a certificate, with wsDomain or httpDomain or both")
	must(value["wsDomain"] == "" || value["wsDomain"] != value["httpDomain"], "wsDomain", "another domain than httpDomain")
	publishers := strings.FieldsFunc(value["publishers"], func(r rune) bool { return r == ',' || r == ' ' })
	strange := func(arn string) bool { return !roleARN.MatchString(arn) || account(arn) != account(publishers[0]) }
	must(!slices.ContainsFunc(publishers, strange), "publishers",
		"ARNs of roles of one account, such as arn:aws:iam::123456789012:role/tracker, separated by commas")
	must(len(publishers) == 0 || subwire.TakesEvents(app), "publishers", "empty, as product "+app.Name+" takes no events")
	overrides, bad := parseSettings(value["settings"])
	for _, err := range bad {
		errs = append(errs, fmt.Sprintf("-c settings: %v", err))
	}
	if len(errs) > 0 {
		return options{}, errors.New(strings.Join(errs, "; "))
	}
	days, _ := strconv.Atoi(value["logRetention"]) // it is one of retentions
	is := func(key string) bool { return value[key] == "true" }
	o := options{
		app:            app,
		env:            value["env"],
		arch:           value["arch"],
		allowedOrigins: strings.Join(allowed, ","),
		logRetention:   days,
		reserve:        is("reserve") && !is("small"),
		small:          is("small"),
		accessLogs:     is("accessLogs"),
		wsDomain:       value["wsDomain"],
		httpDomain:     value["httpDomain"],
		certificate:    value["certificate"],
		assets:         value["assets"],
		trusted:        is("trustedDocuments"),
		overrides:      overrides,
		local:          value["local"],
		public:         is("public"),
		publishers:     publishers,
	}
	o.values, _ = topology.Read(topology.Settings(), func(env string) string { return o.settings()[env] })
	return o, o.checkOpen()
}

// checkOpen refuses a production that is open by oversight: to callers without a
// token, to pages of any site, to any number of connections.
func (o options) checkOpen() error {
	if o.env != topology.Production || o.public {
		return nil
	}
	var missing []string
	if topology.Auth.In(o.values) == topology.Anonymous {
		missing = append(missing, "AUTH=jwt")
	}
	if slices.Contains(topology.AllowedOrigins.In(o.values), origins.Any) {
		missing = append(missing, "-c allowedOrigins")
	}
	if topology.MaxConnections.In(o.values) == 0 {
		missing = append(missing, "MAX_CONNECTIONS")
	}
	if len(missing) == 0 {
		return nil
	}
	const text = "-c env=prod is open to anybody: set %s (docs/settings.md), or say that it is meant with -c public=true"
	return fmt.Errorf(text, strings.Join(missing, ", "))
}

// parseSettings reads NAME=VALUE;NAME=VALUE. The names must be topology's settings,
// and the functions must start with the values.
func parseSettings(text string) (map[string]string, []error) {
	known := map[string]bool{}
	for _, s := range topology.Settings() {
		known[s.Env] = true
	}
	found := map[string]string{}
	for i, pair := range strings.Split(text, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if text != "" && (!ok || !known[name]) {
			// Not the name: it may be the rest of a secret with a semicolon.
			const text = "entry %d must be one of %s with its value, separated by semicolons"
			return nil, []error{fmt.Errorf(text, i+1, strings.Join(slices.Sorted(maps.Keys(known)), ", "))}
		}
		found[name] = value
	}
	delete(found, "")
	values, errs := topology.Read(topology.Settings(), func(env string) string { return found[env] })
	if _, set := found[topology.App.Env]; set {
		errs = append(errs, errors.New("APP is set with -c app=NAME"))
	}
	if _, set := found[topology.TrustedDocuments.Env]; set {
		errs = append(errs, errors.New("TRUSTED_DOCUMENTS is set with -c trustedDocuments=true"))
	}
	if err := checkAuth(values); err != nil && errs == nil { // or else a default may stand for a wrong value
		errs = append(errs, err)
	}
	return found, errs
}

var (
	plainWord = regexp.MustCompile(`^[A-Za-z]+$`)
	roleARN   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$`)
	domain    = regexp.MustCompile(`^([a-z0-9-]+\.)+[a-z]{2,}$`)
)

// isHTTPS reports whether the text is an https URL with only a host and a port.
func isHTTPS(text string) bool {
	origin, err := origins.Parse(text)
	return err == nil && origin == text && strings.HasPrefix(origin, "https:")
}

// prefix begins every physical name.
func (o options) prefix() string { return o.app.Stack(o.env) + "-" }

// binary is the function's executable.
func (o options) binary(f topology.Function) string {
	return filepath.Join(o.assets, f.Name, "bootstrap")
}

// trustedFile is where make build puts operations.json in a function's package.
const trustedFile = "operations.json"

// settings are the environment variables that override topology's defaults.
func (o options) settings() map[string]string {
	s := map[string]string{topology.App.Env: o.app.Name, topology.AllowedOrigins.Env: o.allowedOrigins}
	for _, setting := range topology.Settings() {
		if o.env == topology.Production && setting.Production != "" {
			s[setting.Env] = setting.Production
		}
	}
	if o.trusted {
		s[topology.TrustedDocuments.Env] = trustedFile
	}
	for name, value := range o.overrides {
		if value != "" { // an empty value overrides nothing: production keeps its own defaults
			s[name] = value
		}
	}
	return s
}

// value is what the functions get for a setting.
func (o options) value(s *topology.Setting) string { return cmp.Or(o.settings()[s.Env], s.Default) }

// checkBinary returns an error that says what to do, unless the file is an executable
// for the architecture.
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
