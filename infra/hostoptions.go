package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"subwire/shared/topology"
)

// hostOptions are the switches of the host.
type hostOptions struct {
	fargate         bool   // whether the host runs on Fargate, beside the WebSocket API
	hostDomain      string // its name, a CNAME record of which must point at the output; "" without TLS
	hostCertificate string // ARN of its certificate
	hostTasks       int    // tasks at least; 0 for none, to empty it before it is taken away
	hostMostTasks   int
	clients         string // where the pages open sockets: atAPI or atHost
}

// Values of the switches host and clients.
const (
	onFargate = "fargate"
	atAPI     = "api"
	atHost    = "host"
)

// parseHost reads the switches of the host. Each error is one line, as parse's.
func parseHost(value map[string]string) (o hostOptions, errs []string) {
	must := func(ok bool, key, what string) {
		if !ok {
			errs = append(errs, fmt.Sprintf("-c %s=%s: it must be %s", key, value[key], what))
		}
	}
	number := func(key string, least int) int {
		n, err := strconv.Atoi(value[key])
		must(err == nil && n >= least && n <= mostTasks, key,
			fmt.Sprintf("a number of tasks from %d to %d", least, mostTasks))
		return n
	}
	o = hostOptions{fargate: value["host"] == onFargate,
		hostDomain: value["hostDomain"], hostCertificate: value["hostCertificate"],
		hostTasks: number("hostTasks", 0), hostMostTasks: number("hostMostTasks", 1), clients: value["clients"]}
	must(value["host"] == "" || o.fargate, "host", onFargate+", or empty for none")
	must(o.clients == atAPI || o.clients == atHost, "clients", atAPI+" or "+atHost)
	must(o.hostDomain == "" || o.fargate && domain.MatchString(o.hostDomain), "hostDomain",
		"a domain name such as sockets.example.com, with host="+onFargate)
	// The functions reach the host by its name, so that cannot point at API Gateway meanwhile.
	must(o.hostDomain == "" || o.hostDomain != value["wsDomain"] && o.hostDomain != value["httpDomain"], "hostDomain",
		"another domain than wsDomain and httpDomain")
	isARN := o.hostCertificate == "" || strings.HasPrefix(o.hostCertificate, "arn:")
	must((o.hostDomain == "") == (o.hostCertificate == "") && isARN, "hostCertificate",
		"the ARN of a certificate for hostDomain, in the stack's region")
	must(o.hostTasks <= o.hostMostTasks, "hostTasks", "at most hostMostTasks")
	must(o.clients == atAPI || o.fargate && o.hostTasks > 0, "clients", atAPI+" without a host that has tasks")
	// Browsers open no ws:// from a page that came by https ("Mixed Content", W3C).
	must(o.clients == atAPI || o.hostDomain != "", "clients",
		atAPI+" without hostDomain: browsers would not open its sockets")
	must(!o.fargate || value["local"] == "", "host", "empty with local: the emulator has no Fargate")
	return o, errs
}

// mostTasks is how many targets a target group takes by default ("Quotas for your Application
// Load Balancers", "Targets per Target Group per Region").
const mostTasks = 1000

// checkHost refuses a host that would do harm.
func (o options) checkHost() error {
	switch {
	case !o.fargate:
		return nil
	case o.production && o.hostDomain == "":
		return fmt.Errorf("-c env=%s: a host without -c hostDomain and -c hostCertificate has no TLS, so tokens and events"+
			" would cross the internet in the clear", o.env)
	case !topology.Metrics.In(o.values):
		return errors.New("-c host=fargate: METRICS must be true: the host grows by its number of sockets, which is a metric")
	case o.clients == atHost && topology.EdgeSecret.In(o.values).On():
		// The functions use hostDomain to reach the load balancer, so it cannot name CloudFront.
		return errors.New("-c clients=host: with EDGE_SECRET_SHA256 the host refuses whoever does not come through" +
			" CloudFront, and hostDomain, where pages would open sockets, is the load balancer: leave out one of the two")
	case o.production && o.hostTasks == 1:
		return fmt.Errorf("-c env=%s: hostTasks must be 2 at least, in two zones, or 0", o.env)
	}
	return nil
}

// hostWarning says what is only for development, or "".
func (o options) hostWarning() string {
	if !o.fargate || o.hostDomain != "" {
		return ""
	}
	return "the host has no TLS: tokens and events cross the internet in the clear. That is for development only; set" +
		" -c hostDomain and -c hostCertificate"
}
