// Package faults makes the local cloud misbehave as a plan says: busy clients,
// throttled tables, killed processes, lost and repeated events. It breaks what
// is between the parts of the pipeline, never the parts themselves, and it
// does nothing where the plan has no fault.
package faults

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"subwire/shared/topology"
)

// Fault is one thing that goes wrong.
type Fault struct {
	Point  string  // where: post, sqs.send, dynamodb, lambda.FUNCTION, stream, disconnect or sender
	Kind   string  // what: 429, 500, timeout, throttle, kill, duplicate, drop or fail
	Chat   string  // fail only: the chat whose events fail
	Chance float64 // of each call, from 0 to 1
}

// Plan is what goes wrong. The empty plan is none.
type Plan []Fault

// The points and kinds that there are.
const (
	pointPost       = "post"       // a post to a client through the management API
	pointSend       = "sqs.send"   // a function's request to send to a queue
	pointDynamoDB   = "dynamodb"   // any request of a function to DynamoDB
	pointLambda     = "lambda."    // with a function's name: one of its invocations
	pointStream     = "stream"     // a batch of stream records
	pointDisconnect = "disconnect" // a $disconnect event
	pointSender     = "sender"     // a batch of the sender

	kind429       = "429"
	kind500       = "500"
	kindTimeout   = "timeout" // no answer before the caller gives up
	kindThrottle  = "throttle"
	kindKill      = "kill"
	kindDuplicate = "duplicate"
	kindDrop      = "drop"
	kindFail      = "fail"
)

// Full is the plan that the chaos tests run with.
const Full = "post:429@0.05,post:500@0.01,post:timeout@0.01,sqs.send:500@0.02,dynamodb:throttle@0.02," +
	"lambda.sender:kill@0.01,stream:duplicate@0.05,disconnect:drop@0.2"

// kinds are the kinds of each point.
func kinds() map[string][]string {
	all := map[string][]string{
		pointPost: {kind429, kind500, kindTimeout}, pointSend: {kind500}, pointDynamoDB: {kindThrottle},
		pointStream: {kindDuplicate}, pointDisconnect: {kindDrop}, pointSender: {kindFail},
	}
	for _, f := range topology.Functions() {
		all[pointLambda+f.Name] = []string{kindKill}
	}
	return all
}

// Parse reads a plan: faults as point:kind@chance, with commas between. One
// fault has no chance: sender:fail(CHAT) is a sender with a bug, which fails
// every event of that chat. An error names the part that is wrong and what is
// allowed there. "" is the empty plan.
func Parse(plan string) (Plan, error) {
	if strings.TrimSpace(plan) == "" {
		return nil, nil
	}
	var p Plan
	for part := range strings.SplitSeq(plan, ",") {
		f, err := parse(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", part, err)
		}
		if slices.ContainsFunc(p, func(g Fault) bool { return g.Point == f.Point && g.Kind == f.Kind && g.Chat == f.Chat }) {
			return nil, fmt.Errorf("fault %q: it is in the plan already", part)
		}
		p = append(p, f)
	}
	return p, nil
}

func parse(part string) (Fault, error) {
	point, rest, _ := strings.Cut(part, ":")
	kind, chance, hasChance := strings.Cut(rest, "@")
	f := Fault{Point: point, Kind: kind, Chance: 1}
	if name, chat, ok := strings.Cut(kind, "("); ok && strings.HasSuffix(chat, ")") {
		f.Kind, f.Chat = name, strings.TrimSuffix(chat, ")")
	}
	all := kinds()
	if all[point] == nil {
		return f, fmt.Errorf("no point %q; there are %s", point, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	if !slices.Contains(all[point], f.Kind) {
		return f, fmt.Errorf("%s has no kind %q; it has %s", point, f.Kind, strings.Join(all[point], ", "))
	}
	if f.Kind == kindFail {
		if f.Chat == "" || hasChance {
			return f, fmt.Errorf("it must be %s:%s(CHAT)", point, kindFail)
		}
		return f, nil
	}
	var err error
	if f.Chance, err = strconv.ParseFloat(chance, 64); err != nil || !(f.Chance > 0 && f.Chance <= 1) || f.Chat != "" {
		return f, fmt.Errorf("it must be %s:%s@CHANCE, with a chance above 0 and up to 1", point, f.Kind)
	}
	return f, nil
}

// String is what Parse reads.
func (p Plan) String() string {
	parts := make([]string, len(p))
	for i, f := range p {
		parts[i] = f.String()
	}
	return strings.Join(parts, ",")
}

// String is the fault's part of a plan.
func (f Fault) String() string {
	if f.Kind == kindFail {
		return fmt.Sprintf("%s:%s(%s)", f.Point, f.Kind, f.Chat)
	}
	return f.name() + "@" + strconv.FormatFloat(f.Chance, 'g', -1, 64)
}

// name is the fault without its chance.
func (f Fault) name() string { return f.Point + ":" + f.Kind }
