// Package faults makes the local cloud misbehave as a plan says: busy clients,
// throttled tables, killed processes, lost and repeated events. It breaks what lies
// between the parts of the pipeline, never the parts themselves, and does nothing
// where the plan has no fault.
package faults

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"subwire/shared/topology"
)

type Fault struct {
	Point  string  // where: post, delete, sqs.send, dynamodb, lambda.FUNCTION, stream, disconnect or sender
	Kind   string  // what: a status, timeout, 408idle, cutidle, throttle, kill, duplicate, drop or fail
	Topic  string  // fail only: of the failing events
	Chance float64 // per call, from 0 to 1
}

// Plan is what goes wrong. The empty plan has no faults.
type Plan []Fault

const (
	pointPost       = "post"       // a post to a client through the management API
	pointDelete     = "delete"     // a DELETE of a connection through it
	pointIdle       = "post.idle"  // the connection of such a call afterwards; faults of post with their own kinds
	pointSend       = "sqs.send"   // a function's request to send to a queue
	pointDynamoDB   = "dynamodb"   // any request of a function to DynamoDB
	pointLambda     = "lambda."    // with a function's name: one of its invocations
	pointStream     = "stream"     // a batch of stream records
	pointDisconnect = "disconnect" // a $disconnect event
	pointSender     = "sender"     // a batch of the sender

	kindStatus    = "STATUS from 300 to 599"
	kind429       = "429"
	kind500       = "500"
	kindTimeout   = "timeout" // no answer before the caller gives up
	kind408Idle   = "408idle" // an unsolicited answer, and the end of the connection
	kindCutIdle   = "cutidle" // the end of the connection
	kindThrottle  = "throttle"
	kindKill      = "kill"
	kindDuplicate = "duplicate"
	kindDrop      = "drop"
	kindFail      = "fail"
)

// Full is the plan of the chaos tests: what AWS documents, and undocumented answers
// that something between it and us may give.
const Full = Known + ",post:400@0.003,post:401@0.003,post:403@0.005,post:404@0.003,post:408@0.005,post:410@0.003," +
	"post:502@0.01,post:503@0.005,post:307@0.002,post:408idle@0.01,post:cutidle@0.01,delete:429@0.05,delete:500@0.05"

// Known is the part of Full with documented answers only.
const Known = "post:429@0.05,post:500@0.01,post:timeout@0.01,sqs.send:500@0.02,dynamodb:throttle@0.02," +
	"lambda.sender:kill@0.01,stream:duplicate@0.05,disconnect:drop@0.2"

func kinds() map[string][]string {
	all := map[string][]string{
		pointPost:   {kindStatus, kindTimeout, kind408Idle, kindCutIdle},
		pointDelete: {kindStatus, kindTimeout}, pointSend: {kind500}, pointDynamoDB: {kindThrottle},
		pointStream: {kindDuplicate}, pointDisconnect: {kindDrop}, pointSender: {kindFail},
	}
	for _, f := range topology.EveryFunction() {
		all[pointLambda+f.Name] = []string{kindKill}
	}
	return all
}

// All lists one of each fault that a plan may have, with the chance that Full has or a
// twentieth, and of statuses those of Full. Those of the sender need a topic.
func All() (all []Fault) {
	full, err := Parse(Full)
	if err != nil {
		panic(err) // it is tested
	}
	for _, point := range slices.Sorted(maps.Keys(kinds())) {
		for _, kind := range kinds()[point] {
			if kind == kindStatus || kind == kindFail {
				continue
			}
			f := Fault{Point: point, Kind: kind, Chance: 0.05}
			if !slices.ContainsFunc(full, func(g Fault) bool { return g.name() == f.name() }) {
				full = append(full, f)
			}
		}
	}
	slices.SortFunc(full, func(a, b Fault) int { return strings.Compare(a.Name(), b.Name()) })
	return full
}

// Bug is a sender that fails every event of the topic.
func Bug(topic string) Fault {
	return Fault{Point: pointSender, Kind: kindFail, Topic: topic, Chance: 1}
}

// Parse reads a plan: faults as point:kind@chance, separated by commas. "" is the
// empty plan. An error names the part that is wrong and what is allowed there. The
// faults are
//
//	post:STATUS       a post is answered with any status from 300 to 599. Half of
//	                  those answered 408 or 5xx still reach the client, and none of
//	                  the others, not even with 410: its socket is alive. Half of
//	                  post:429 become a 500, with the frame sent.
//	post:timeout      it is not answered; half of these reach the client
//	post:408idle      an "HTTP/1.1 408 Request Timeout" is written on the caller's
//	                  connection soon after an answer, and the connection is closed
//	post:cutidle      the connection is then closed silently
//	delete:STATUS     a DELETE of a connection is answered with it, as for posts
//	delete:timeout    the same
//	sqs.send:500      a function's request to send; half of these are sent
//	dynamodb:throttle any request of a function to DynamoDB is throttled, or
//	                  done and answered 500
//	lambda.FUNCTION:kill  its process is killed during an invocation
//	stream:duplicate  a batch of stream records is handled twice
//	disconnect:drop   a $disconnect event is lost
//	sender:fail(TOPIC) a sender with a bug that fails every event of that topic;
//	                  this has no chance
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
		if slices.ContainsFunc(p, func(g Fault) bool { return g.Point == f.Point && g.Kind == f.Kind && g.Topic == f.Topic }) {
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
	if name, topic, ok := strings.Cut(kind, "("); ok && strings.HasSuffix(topic, ")") {
		f.Kind, f.Topic = name, strings.TrimSuffix(topic, ")")
	}
	all := kinds()
	if all[point] == nil {
		return f, fmt.Errorf("no point %q; there are %s", point, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	if _, isStatus := f.status(); !slices.Contains(all[point], f.Kind) && !(isStatus && slices.Contains(all[point], kindStatus)) ||
		f.Kind == kindStatus {
		return f, fmt.Errorf("%s has no kind %q; it has %s", point, f.Kind, strings.Join(all[point], ", "))
	}
	if f.Kind == kindFail {
		if f.Topic == "" || hasChance {
			return f, fmt.Errorf("it must be %s:%s(TOPIC)", point, kindFail)
		}
		return f, nil
	}
	var err error
	if f.Chance, err = strconv.ParseFloat(chance, 64); err != nil || !(f.Chance > 0 && f.Chance <= 1) || f.Topic != "" {
		return f, fmt.Errorf("it must be %s:%s@CHANCE, with a chance above 0 and up to 1", point, f.Kind)
	}
	return f, nil
}

// String is the plan in the form that Parse reads.
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
		return fmt.Sprintf("%s:%s(%s)", f.Point, f.Kind, f.Topic)
	}
	return f.name() + "@" + strconv.FormatFloat(f.Chance, 'g', -1, 64)
}

// status is the kind as an HTTP status, if it is one.
func (f Fault) status() (status int, ok bool) {
	status, err := strconv.Atoi(f.Kind)
	return status, err == nil && status >= 300 && status <= 599
}

// place is the point whose calls the fault strikes.
func (f Fault) place() string {
	if f.Kind == kind408Idle || f.Kind == kindCutIdle {
		return pointIdle
	}
	return f.Point
}

// name is the fault without its chance and topic.
func (f Fault) name() string { return f.Point + ":" + f.Kind }

// Name is the fault without its chance.
func (f Fault) Name() string {
	if f.Kind == kindFail {
		return f.String()
	}
	return f.name()
}

// What tells people what the fault does.
func (f Fault) What() string {
	name, isFunction := strings.CutPrefix(f.Point, pointLambda)
	switch {
	case isFunction:
		return "the process of " + name + " dies during an invocation"
	case f.Kind == kindFail:
		return "the sender fails every event of " + f.Topic
	case f.Kind == kind408Idle:
		return "a connection to the management API gets an answer that nobody asked for, and ends"
	case f.Kind == kindCutIdle:
		return "a connection to the management API ends silently"
	case f.Point == pointStream:
		return "a batch of stream records is handled twice"
	case f.Point == pointDisconnect:
		return "a $disconnect event is lost"
	case f.Point == pointDynamoDB:
		return "a request to DynamoDB is throttled, or done and answered 500"
	case f.Point == pointSend:
		return "a request to send to a queue is answered 500, half of them done"
	}
	call := map[string]string{pointPost: "a post to a client", pointDelete: "closing a socket"}[f.Point]
	if f.Kind == kindTimeout {
		return call + " gets no answer"
	}
	return call + " is answered " + f.Kind
}
