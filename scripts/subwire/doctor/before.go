package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"subwire/scripts/internal/account"
	"subwire/shared/binary"
	"subwire/shared/topology"
)

// accountAPI is what is asked of an AWS account before a deployment.
type accountAPI struct {
	region      string
	identity    func(ctx context.Context) (accountID, arn string, err error)
	parameter   func(ctx context.Context, name string) (string, error)
	room        func(ctx context.Context, n account.Needs) (account.Room, error)
	rate        func(ctx context.Context) (float64, error)                        // of API Gateway's requests, a second
	vcpus       func(ctx context.Context) (float64, error)                        // of Fargate's tasks
	stack       func(ctx context.Context, name string) (status string, err error) // "" if there is none
	table       func(ctx context.Context, name string) (bool, error)              // whether it exists, as the next two
	queue       func(ctx context.Context, name string) (bool, error)
	logGroup    func(ctx context.Context, name string) (bool, error)
	loggingRole func(ctx context.Context) (arn string, err error) // of API Gateway; "" for none
	keys        func(ctx context.Context, url, algorithm string) (usable int, err error)
}

// bootstrapParameter has the version of the CDK's bootstrap stack, leastBootstrap the one
// that the stack asks for (DefaultStackSynthesizer of the CDK).
const (
	bootstrapParameter = "/cdk-bootstrap/hnb659fds/version"
	leastBootstrap     = 6
)

// checkBinaries: a deployment builds them anew, so what is missing is no error.
func (p plan) checkBinaries() []result {
	const check = "binaries"
	if !slices.Contains(binary.Archs(), p.arch) {
		return []result{fault(check, "-c arch=%s: it must be one of %s", p.arch, strings.Join(binary.Archs(), ", "))}
	}
	for _, f := range append(p.app.Functions(), p.hosts()...) {
		if err := binary.Check(filepath.Join(p.assets, f.Name, "bootstrap"), p.arch); err != nil {
			return []result{doubt(check, "%v; make deploy does it", err)}
		}
	}
	return []result{fine(check, "all in %s are for %s", p.assets, p.arch)}
}

// checkCredentials reports whether there is an account to ask further.
func (p plan) checkCredentials(ctx context.Context, a accountAPI) ([]result, bool) {
	const check = "credentials"
	id, arn, err := a.identity(ctx)
	switch {
	case err != nil:
		return []result{fault(check, "none that AWS takes; set AWS_PROFILE, or log in: %v", err)}, false
	case p.switches["account"] != "" && p.switches["account"] != id:
		return []result{fault(check, "they are of account %s, and -c account=%s", id, p.switches["account"])}, false
	case p.switches["region"] != "" && p.switches["region"] != a.region:
		return []result{fault(check, "the region is %s, and -c region=%s; set AWS_REGION",
			a.region, p.switches["region"])}, false
	}
	return []result{fine(check, "account %s, region %s, as %s", id, a.region, arn)}, true
}

func checkBootstrap(ctx context.Context, a accountAPI) result {
	const check, help = "bootstrap", "run scripts/deploy.sh bootstrap once"
	text, err := a.parameter(ctx, bootstrapParameter)
	if isMissing(err) {
		return fault(check, "the CDK was never set up in this account and region; %s", help)
	}
	if err != nil {
		return unknown(check, err)
	}
	if have, err := strconv.Atoi(text); err != nil || have < leastBootstrap {
		return fault(check, "version %s is too old, the CDK wants %d; %s", text, leastBootstrap, help)
	}
	return fine(check, "version %s", text)
}

func (p plan) checkConcurrency(ctx context.Context, a accountAPI) result {
	const check = "concurrency"
	n := p.needs()
	room, err := a.room(ctx, n)
	if err != nil {
		return unknown(check, err)
	}
	return judged(check, fmt.Sprintf("%d functions at once, of which %d are free", room.Limit, room.Free), n.Judge(room))
}

// leastForPosts is how many requests a second of the account's should be left for posts to
// clients when the stages take all that they may: what one sender manages.
const leastForPosts = 1000

func checkRate(ctx context.Context, a accountAPI) result {
	const check = "API Gateway"
	rate, err := a.rate(ctx)
	if err != nil {
		return unknown(check, err)
	}
	left := int(rate) - topology.SocketRate - topology.HTTPRate
	if left < leastForPosts {
		return doubt(check, "%d requests a second for the account; clients may take %d of them, and posts need some: "+
			"ask AWS for a higher throttle rate", int(rate), topology.SocketRate+topology.HTTPRate)
	}
	return fine(check, "%d requests a second, of which clients leave %d for posts", int(rate), left)
}

// checkStack says whether there is something in the way: a stack that is busy or broken, or
// for a first deployment what has one of its names.
func (p plan) checkStack(ctx context.Context, a accountAPI) []result {
	const check = "stack"
	status, err := a.stack(ctx, p.stack)
	switch {
	case err != nil:
		return []result{unknown(check, err)}
	case status == "" || slices.Contains([]string{"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"}, status):
		return append([]result{fine(check, "%s is not deployed yet", p.stack)}, p.checkLeftovers(ctx, a))
	case strings.HasSuffix(status, "_IN_PROGRESS"):
		return []result{fault(check, "%s is %s: wait until that is over", p.stack, status)}
	case strings.HasSuffix(status, "_FAILED"):
		return []result{fault(check, "%s is %s: look at its events in CloudFormation, and continue its rollback or delete it",
			p.stack, status)}
	}
	return []result{fine(check, "%s is %s", p.stack, status)}
}

func (p plan) checkLeftovers(ctx context.Context, a accountAPI) result {
	const check = "leftovers"
	var found []string
	look := func(what, name string, exists func(context.Context, string) (bool, error)) error {
		there, err := exists(ctx, name)
		if there {
			found = append(found, what+" "+name)
		}
		return err
	}
	var errs []error
	for _, t := range p.app.AllTables() {
		errs = append(errs, look("table", p.name(t.Name), a.table))
	}
	for _, q := range p.app.Queues() {
		errs = append(errs, look("queue", p.name(q.Name), a.queue))
	}
	for _, f := range p.app.Functions() {
		errs = append(errs, look("log group", "/aws/lambda/"+p.name(f.Name), a.logGroup))
	}
	for _, f := range p.hosts() {
		errs = append(errs, look("log group", "/subwire/"+p.name(f.Name), a.logGroup))
	}
	if found != nil {
		return fault(check, "these have names that the stack needs: %s; delete them, or import what is worth it (cdk import)",
			strings.Join(found, ", "))
	}
	if err := errors.Join(errs...); err != nil {
		return unknown(check, err)
	}
	return fine(check, "nothing has a name that the stack needs")
}

func (p plan) checkLoggingRole(ctx context.Context, a accountAPI) []result {
	const check = "access logs"
	if p.switches["accessLogs"] != "true" {
		return nil
	}
	role, err := a.loggingRole(ctx)
	switch {
	case err != nil:
		return []result{unknown(check, err)}
	case role != "" && !strings.Contains(role, p.stack):
		return []result{doubt(check, "all APIs of the account log by the role %s, which the deployment replaces by its own",
			role)}
	}
	return []result{fine(check, "the deployment sets the account's role")}
}

func (p plan) checkParameters(ctx context.Context, a accountAPI) []result {
	var all []result
	named := p.parameters()
	for _, setting := range sorted(named) {
		text, err := a.parameter(ctx, named[setting])
		switch {
		case isMissing(err):
			all = append(all, fault(setting, "there is no parameter %s in %s: make it, or name another",
				named[setting], a.region))
		case err != nil:
			all = append(all, unknown(setting, err))
		case strings.TrimSpace(text) == "":
			all = append(all, fault(setting, "the parameter %s is empty", named[setting]))
		default:
			all = append(all, fine(setting, "the parameter %s can be read", named[setting]))
		}
	}
	return all
}

func (p plan) checkKeys(ctx context.Context, a accountAPI) []result {
	url := p.settings[topology.JWTKeysURL.Env]
	if url == "" {
		return nil
	}
	check := topology.JWTKeysURL.Env
	usable, err := a.keys(ctx, url, cmp.Or(p.settings[topology.JWTAlgorithm.Env], topology.JWTAlgorithm.Default))
	if err != nil {
		return []result{fault(check, "no token can be checked: %v; mend the issuer, or the URL", err)}
	}
	return []result{fine(check, "%s has usable keys: %d", url, usable)}
}

// checkCertificates: a regional domain name takes a certificate of its own region ("Setting up
// custom domain names for WebSocket APIs in API Gateway"), and so does a load balancer ("SSL
// certificates for your Application Load Balancer").
func (p plan) checkCertificates(a accountAPI) []result {
	var all []result
	for _, key := range []string{"certificate", "hostCertificate"} {
		arn := p.switches[key]
		if arn == "" {
			continue
		}
		parts := strings.Split(arn, ":")
		if len(parts) < 6 || parts[2] != "acm" || parts[3] != a.region {
			all = append(all, fault(key, "%s is no certificate in %s: request one there", arn, a.region))
			continue
		}
		all = append(all, fine(key, "it is in %s", a.region))
	}
	return all
}

// checkFargate says whether the account may run the host's tasks. A deployment starts as many
// new ones as there are before it stops those.
func (p plan) checkFargate(ctx context.Context, a accountAPI) []result {
	const check = "Fargate"
	if p.hosts() == nil {
		return nil
	}
	have, err := a.vcpus(ctx)
	if err != nil {
		return []result{unknown(check, err)}
	}
	most := p.mostTasks()
	if need := 2 * float64(most*topology.Fargate.CPU) / 1024; have < need {
		return []result{doubt(check, "%g vCPUs for the account, and %d tasks (-c hostMostTasks) need %g"+
			" during a deployment: ask AWS for more", have, most, need)}
	}
	return []result{fine(check, "%g vCPUs for the account, enough for two times %d tasks", have, most)}
}

// isMissing reports whether a parameter is not there.
func isMissing(err error) bool { return errors.Is(err, errMissing) }

var errMissing = errors.New("it is not there")
