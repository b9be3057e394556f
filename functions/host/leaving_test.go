package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"subwire/shared/boot"
	"subwire/shared/sockets"
	"subwire/shared/topology"
)

// balancer answers DescribeTargetHealth like Elastic Load Balancing: the nth request with the
// nth answer, all others with the last one. It looks at nothing but what the page of that name says.
type balancer struct {
	answers []string // a state, HTTP 400 with the name of an error, or "" for no answer
	asked   []url.Values
}

const targetGroup = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/host/73e2d6bc24d8a067"

func (b *balancer) Do(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	b.asked = append(b.asked, form)
	answer := b.answers[min(len(b.asked), len(b.answers))-1]
	status, body := http.StatusOK, `<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">
<DescribeTargetHealthResult><TargetHealthDescriptions><member><HealthCheckPort>4100</HealthCheckPort>
<TargetHealth><State>`+answer+`</State></TargetHealth><Target><Port>4100</Port><Id>10.0.2.61</Id></Target>
</member></TargetHealthDescriptions></DescribeTargetHealthResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></DescribeTargetHealthResponse>`
	switch code, isError := strings.CutPrefix(answer, "400 "); {
	case answer == "":
		return nil, errors.New("connection refused")
	case answer == "nobody":
		body = `<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">
<DescribeTargetHealthResult><TargetHealthDescriptions/></DescribeTargetHealthResult></DescribeTargetHealthResponse>`
	case isError:
		status, body = http.StatusBadRequest, `<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">
<Error><Type>Sender</Type><Code>`+code+`</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>`
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/xml"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// in is a process that finds its state there, and its log.
func (b *balancer) in(targets string) (*server, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return &server{env: boot.Host{Address: "10.0.2.61:4100", Targets: targets}, Process: boot.Process{
		Log: slog.New(slog.NewTextHandler(log, nil)),
		AWS: aws.Config{Region: "eu-west-1", HTTPClient: b, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
			RetryMaxAttempts: 1}}}, log
}

// Each state but draining leaves it in place: "Target health status".
func TestATaskSeesThatItIsTakenOut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers []string
		looks   int // until it knows
		warned  int
	}{
		"AtOnce":         {[]string{"draining"}, 1, 0},
		"LaterOn":        {[]string{"initial", "healthy", "unhealthy", "unused", "unavailable", "draining"}, 6, 0},
		"NotThereYet":    {[]string{"nobody", "healthy", "draining"}, 3, 0},
		"NewState":       {[]string{"unhealthy.draining", "draining"}, 2, 0},
		"AfterAnError":   {[]string{"400 TargetGroupNotFound", "400 AccessDenied", "draining"}, 3, 1},
		"AfterNoAnswer":  {[]string{"healthy", "", "", "draining"}, 4, 1},
		"ErrorsComeBack": {[]string{"", "healthy", "", "draining"}, 4, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &balancer{answers: tc.answers}
				s, log := b.in(targetGroup)
				began := time.Now()
				if !s.takenOut(t.Context()) {
					t.Error("it does not leave")
				}
				if took := time.Since(began); len(b.asked) != tc.looks || took > time.Duration(tc.looks)*lookEvery {
					t.Errorf("it knew after %d looks in %s", len(b.asked), took)
				}
				if got := strings.Count(log.String(), "state in the load balancer is unknown"); got != tc.warned {
					t.Errorf("it warned %d times: %s", got, log)
				}
				for name, want := range map[string]string{"Action": "DescribeTargetHealth", "Version": "2015-12-01", "TargetGroupArn": targetGroup,
					"Targets.member.1.Id": "10.0.2.61", "Targets.member.1.Port": "4100", "Targets.member.2.Id": ""} {
					if slices.ContainsFunc(b.asked, func(v url.Values) bool { return v.Get(name) != want }) {
						t.Errorf("it asks with %v", b.asked)
					}
				}
			})
		})
	}
}

// It stops asking on SIGTERM, and never asks without a load balancer.
func TestATaskStopsLooking(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string][]string{"InPlace": {"healthy"}, "Unknown": {""}, "NoBalancer": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, targets := &balancer{answers: answers}, targetGroup
				if answers == nil {
					targets = ""
				}
				s, _ := b.in(targets)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if s.takenOut(ctx) {
					t.Error("it leaves")
				}
				if (len(b.asked) > 0) != (answers != nil) {
					t.Errorf("it looked %d times", len(b.asked))
				}
			})
		})
	}
}

// The load balancer would send a request to a connection that is being closed, and answer with
// 502: "Edit attributes for your Application Load Balancer", "Connection idle timeout".
func TestTheBalancerClosesIdleConnectionsFirst(t *testing.T) {
	t.Parallel()
	set := sockets.New(sockets.Config{Log: slog.New(slog.DiscardHandler)})
	if idle := set.Server().IdleTimeout; idle <= topology.Fargate.Silent {
		t.Errorf("the process closes what is idle after %s, the load balancer after %s", idle, topology.Fargate.Silent)
	}
	if topology.Fargate.Silent <= 2*sockets.PingInterval {
		t.Errorf("the load balancer closes what is silent for %s, and pings are %s apart", topology.Fargate.Silent, sockets.PingInterval)
	}
}

// A task refuses sockets before it runs out of memory.
func TestATaskHasABound(t *testing.T) {
	t.Parallel()
	inTask, elsewhere := &server{env: boot.Host{Targets: targetGroup}}, &server{}
	if inTask.mostSockets() != topology.Fargate.MostSockets || elsewhere.mostSockets() != 0 {
		t.Errorf("%d in a task, %d elsewhere", inTask.mostSockets(), elsewhere.mostSockets())
	}
}

// The load balancer cuts what is open when its time is over, and ECS kills what runs.
func TestATaskIsGoneBeforeItIsCutOff(t *testing.T) {
	t.Parallel()
	const (
		abortTime = 5 * time.Second // drainGrace of package sockets
		margin    = 5 * time.Second
	)
	took := lookEvery + lookTime + topology.Fargate.Drain + drainGrace + abortTime + finishTime
	if took+margin > topology.Fargate.Leave {
		t.Errorf("leaving may take %s, and it has %s", took, topology.Fargate.Leave)
	}
}
