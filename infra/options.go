package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"subwire/shared/binary"
	"subwire/shared/origins"
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// options are the context switches (cdk deploy -c KEY=VALUE).
type options struct {
	app            topology.Product
	env            string // deployment; part of every name
	production     bool   // whether it keeps what is worth it, is protected and has the settings of a production
	account        string // where it may be deployed; "" for anywhere, as region
	region         string
	owner          string // a tag; "" for none
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
	eventPattern   map[string]any    // of EventBridge's events that are published; nil for none
	eventTopics    []string          // ARNs of SNS's topics whose messages are published

	alarms             string // e-mail address or ARN of a topic; "" for no alarms
	accountConcurrency int    // how many functions the account may run at once
	dashboard          bool   // whether there is one; it costs $3 a month
	shift              string // how CodeDeploy shifts to a new version; "" for all at once, without it
	budget             int    // of a month, in USD; 0 for none
	maxReads           int    // units a second of each table and index; 0 for no ceiling
	maxWrites          int

	tracing      bool   // whether X-Ray traces the functions
	platformLogs string // least level of what Lambda itself logs, one of platformLevels

	hostOptions
}

var (
	retentions = []string{"1", "3", "5", "7", "14", "30", "60", "90", "180", "365"} // those that CloudWatch accepts
	booleans   = []string{"false", "true"}
	// Those of CodeDeploy, without the beginning that all have ("Working with deployment
	// configurations in CodeDeploy"). In less than ten minutes the alarms, which look at
	// five, and at metrics that are minutes late, might miss a bad release.
	shifts = []string{noShift, "Canary10Percent10Minutes", "Canary10Percent15Minutes", "Canary10Percent30Minutes",
		"Linear10PercentEvery1Minute", "Linear10PercentEvery2Minutes", "Linear10PercentEvery3Minutes",
		"Linear10PercentEvery10Minutes"}
)

// noShift is the value of shift with which new versions are live at once, and
// productionShift that of a production with alarms.
const noShift, productionShift = "off", "Canary10Percent10Minutes"

var defaults = map[string]string{
	"app": products.Default(), "env": "dev", "arch": "arm64",
	"allowedOrigins": topology.AllowedOrigins.Default, "logRetention": "30",
	"reserve": "true", "small": "false", "accessLogs": "false", "platformLogs": platformLevels[0],
	"wsDomain": "", "httpDomain": "", "certificate": "",
	"assets": "../bin", "local": "", "settings": "", "trustedDocuments": "false", "public": "false", "publishers": "",
	"alarms": "", "accountConcurrency": "1000", "dashboard": "", "tracing": "false",
	"inputs": "false", "eventPattern": "", "eventTopics": "", "canaryEvery": "0",
	"production": "false", "account": "", "region": "", "owner": "", "shift": "",
	"budget": "0", "maxReads": "0", "maxWrites": "0",
	"host": "", "hostDomain": "", "hostCertificate": "", "clients": atAPI,
	"hostTasks": strconv.Itoa(topology.Fargate.Least), "hostMostTasks": strconv.Itoa(topology.Fargate.Most),
}

// noAlarms is the value of alarms with which a production has none.
const noAlarms = "off"

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
	oneOf("production", booleans)
	oneOf("arch", binary.Archs())
	oneOf("logRetention", retentions)
	oneOf("reserve", booleans)
	oneOf("small", booleans)
	oneOf("accessLogs", booleans)
	oneOf("platformLogs", platformLevels)
	oneOf("trustedDocuments", booleans)
	oneOf("public", booleans)
	oneOf("inputs", booleans)
	oneOf("tracing", booleans)
	must := func(ok bool, key, what string) {
		if !ok {
			errs = append(errs, fmt.Sprintf("-c %s=%s: it must be %s", key, value[key], what))
		}
	}
	must(envName.MatchString(value["env"]), "env", "a small letter, and small letters and digits")
	if long := longestName(app, value["env"]); envName.MatchString(value["env"]) && len(long) > longestFunction {
		errs = append(errs, fmt.Sprintf("-c env=%s: it is %d characters too long: a function would be called %s",
			value["env"], len(long)-longestFunction, long))
	}
	must(value["account"] == "" || accountID.MatchString(value["account"]), "account", "an account's id, 12 digits")
	must(value["region"] == "" || regionName.MatchString(value["region"]), "region", "a region such as eu-west-1")
	must((value["account"] == "") == (value["region"] == ""), "account", "given together with region")
	must(value["owner"] == "" || tagValue.MatchString(value["owner"]), "owner",
		"letters, digits, spaces and _ . : / = + - @, up to 256")
	number := func(key, what string) int {
		n, err := strconv.Atoi(value[key])
		must(err == nil && n >= 0 && n <= 1_000_000_000, key, what)
		return n
	}
	budget := number("budget", "whole US dollars a month, or 0 for none")
	const units = "units a second, or 0 for no ceiling"
	maxReads, maxWrites := number("maxReads", units), number("maxWrites", units)
	hearsAlarms := value["alarms"] != "" && value["alarms"] != noAlarms
	must(budget == 0 || hearsAlarms, "budget", "0, or alarms must say whom to tell")
	if value["shift"] == "" {
		value["shift"] = noShift
		if production(value) && hearsAlarms {
			value["shift"] = productionShift
		}
	}
	oneOf("shift", shifts)
	must(value["shift"] == noShift || hearsAlarms, "shift",
		"off, or alarms must be there: without them nothing takes a release back")
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
	publishers, topics := arns(value["publishers"]), arns(value["eventTopics"])
	strange := func(arn string) bool { return !roleARN.MatchString(arn) || account(arn) != account(publishers[0]) }
	must(!slices.ContainsFunc(publishers, strange), "publishers",
		"ARNs of roles of one account, such as arn:aws:iam::123456789012:role/tracker, separated by commas")
	must(len(publishers) == 0 || subwire.TakesEvents(app), "publishers", "empty, as product "+app.Name+" takes no events")
	app.Inputs = value["inputs"] == "true"
	must(!app.Inputs || subwire.TakesEvents(app), "inputs", "false, as product "+app.Name+" takes no events")
	pattern, isPattern := parsePattern(value["eventPattern"])
	must(isPattern, "eventPattern", `an event pattern as JSON, such as {"source":["com.example.couriers"]}`)
	must(!slices.ContainsFunc(topics, func(arn string) bool { return !topicARN.MatchString(arn) }) && unique(topics), "eventTopics",
		"different ARNs of topics, such as arn:aws:sns:eu-west-1:123456789012:couriers, separated by commas")
	for _, key := range []string{"eventPattern", "eventTopics"} {
		must(value[key] == "" || app.Inputs, key, "empty, or inputs must be true")
	}
	minutes, err := strconv.Atoi(value["canaryEvery"])
	app.CanaryEvery = time.Duration(minutes) * time.Minute
	must(err == nil && minutes >= 0 && minutes <= topology.LongestCanary, "canaryEvery",
		"minutes, 60 at most, or 0 for no canary")
	must(value["dashboard"] == "" || slices.Contains(booleans, value["dashboard"]), "dashboard", "true or false")
	must(takesAlarms(value["alarms"]), "alarms", "an e-mail address, the ARN of an SNS topic, or "+noAlarms)
	// An alarm tells topics of its own region only; CloudWatch would refuse it when all else is made.
	must(!topicARN.MatchString(value["alarms"]) || value["region"] == "" || region(value["alarms"]) == value["region"],
		"alarms", "a topic in "+value["region"])
	concurrency, err := strconv.Atoi(value["accountConcurrency"])
	must(err == nil && concurrency > 0, "accountConcurrency", "a number of invocations")
	overrides, bad := parseSettings(value["settings"])
	for _, err := range bad {
		errs = append(errs, fmt.Sprintf("-c settings: %v", err))
	}
	all := func(string) string { return app.AllClaims(overrides[topology.Claims.Env]) }
	if _, many := topology.Read([]*topology.Setting{topology.Claims.Setting}, all); many != nil && bad == nil {
		errs = append(errs, fmt.Sprintf("-c settings: with those of product %s, %v", app.Name, errors.Join(many...)))
	}
	host, more := parseHost(value)
	errs = append(errs, more...)
	app.Fargate = host.fargate && host.hostTasks > 0 // what has no tasks has no alarms
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
		eventPattern:   pattern,
		eventTopics:    topics,

		alarms:             strings.TrimPrefix(value["alarms"], noAlarms),
		accountConcurrency: concurrency,
		tracing:            is("tracing"),
		platformLogs:       value["platformLogs"],
		production:         production(value),
		account:            value["account"],
		region:             value["region"],
		owner:              value["owner"],
		shift:              strings.TrimPrefix(value["shift"], noShift),
		budget:             budget,
		maxReads:           maxReads,
		maxWrites:          maxWrites,
		hostOptions:        host,
	}
	o.dashboard = is("dashboard") || value["dashboard"] == "" && o.alarms != ""
	o.values, _ = topology.Read(topology.Settings(), func(env string) string { return o.settings()[env] })
	if o.app, err = o.app.With(o.values); err != nil {
		return o, fmt.Errorf("-c settings: %w", err)
	}
	if err := o.checkOpen(); err != nil {
		return o, err
	}
	if err := o.checkCanary(); err != nil {
		return o, err
	}
	if err := o.checkHost(); err != nil {
		return o, err
	}
	if o.production && value["alarms"] == "" {
		return o, fmt.Errorf("-c env=%s tells nobody what goes wrong: set -c alarms to an e-mail address or the ARN of an"+
			" SNS topic, or say that it is meant with -c alarms=%s", o.env, noAlarms)
	}
	return o, nil
}

// production reports whether the switches are those of a production.
func production(value map[string]string) bool {
	return value["env"] == topology.Production || value["production"] == "true"
}

// longestFunction is how long the name of a function may be ("CreateFunction" of AWS
// Lambda), and of a rule of EventBridge. Nothing else that has the deployment's prefix may
// have less.
const longestFunction = 64

// longestName is the longest name of a function, or of the rule, in a deployment.
func longestName(app topology.Product, env string) string {
	longest := app.Stack(env) + "-" + topology.Events.Name
	app.Inputs = true
	for _, f := range app.Functions() {
		if name := app.Stack(env) + "-" + f.Name; len(name) > len(longest) {
			longest = name
		}
	}
	return longest
}

// takesAlarms reports whether the value is one of the switch alarms.
func takesAlarms(to string) bool {
	return to == "" || to == noAlarms || email.MatchString(to) || topicARN.MatchString(to)
}

// arns splits a list.
func arns(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func unique(all []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(all)))) == len(all)
}

// parsePattern reads an event pattern, or "". Each member is a list of what matches, or
// has members ("Amazon EventBridge event patterns"); CloudFormation checks the rest. An
// empty one would match everything that happens in the account.
func parsePattern(text string) (pattern map[string]any, ok bool) {
	if text == "" {
		return nil, true
	}
	if json.Unmarshal([]byte(text), &pattern) != nil || len(pattern) == 0 {
		return nil, false
	}
	for _, member := range pattern {
		switch member.(type) {
		case []any, map[string]any:
		default:
			return nil, false
		}
	}
	return pattern, true
}

// checkOpen refuses a production that is open by oversight: to callers without a
// token, to pages of any site, to any number of connections.
func (o options) checkOpen() error {
	if !o.production || o.public {
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
	const text = "-c env=%s is open to anybody: set %s (docs/settings.md), or say that it is meant with -c public=true"
	return fmt.Errorf(text, o.env, strings.Join(missing, ", "))
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
	if found[topology.HostURL.Env]+found[topology.HostKey.Env] != "" {
		errs = append(errs, errors.New("HOST_URL and HOST_KEY are set with -c host=fargate"))
	}
	if err := checkAuth(values); err != nil && errs == nil { // or else a default may stand for a wrong value
		errs = append(errs, err)
	}
	return found, errs
}

var (
	plainWord = regexp.MustCompile(`^[A-Za-z]+$`)
	roleARN   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$`)
	topicARN  = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[\w-]+(\.fifo)?$`)
	email     = regexp.MustCompile(`^[^@\s,]+@[^@\s,]+$`)
	// Without a dash no deployment of one product has the name of another product's: the
	// chat's "shop-dev" would be the shop's "dev".
	envName    = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	regionName = regexp.MustCompile(`^[a-z]{2,5}(-[a-z]+)+-[0-9]+$`)
	tagValue   = regexp.MustCompile(`^[\p{L}\p{N} _.:/=+@-]{1,256}$`) // "Tag naming limits and requirements"
	domain     = regexp.MustCompile(`^([a-z0-9-]+\.)+[a-z]{2,}$`)
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
		if o.production && setting.Production != "" {
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
