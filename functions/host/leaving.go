package main

import (
	"context"
	"net"
	"strconv"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

const (
	// lookEvery is how often the process looks whether the load balancer takes it out.
	// With one look in five seconds a task makes 0.2 requests a second.
	lookEvery = 5 * time.Second
	lookTime  = 4 * time.Second
)

// takenOut waits until the load balancer takes the process out, or until ctx ends; then it
// returns false. ECS takes a task out first, waits for the deregistration delay, and only
// then sends SIGTERM ("Task lifecycle": DEACTIVATING, STOPPING). By then the load balancer
// has cut all sockets at once.
func (s *server) takenOut(ctx context.Context) bool {
	if s.env.Targets == "" {
		<-ctx.Done()
		return false
	}
	ip, port, _ := net.SplitHostPort(s.env.Address)
	number, _ := strconv.ParseInt(port, 10, 32)
	in, at := elb.NewFromConfig(s.AWS), int32(number)
	self := &elb.DescribeTargetHealthInput{TargetGroupArn: &s.env.Targets,
		Targets: []types.TargetDescription{{Id: &ip, Port: &at}}}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for failed := false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
		looking, cancel := context.WithTimeout(ctx, lookTime)
		out, err := in.DescribeTargetHealth(looking, self)
		cancel()
		if err != nil && !failed && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "state in the load balancer is unknown", "error", err) // once, until it is known again
		}
		if failed = err != nil; failed {
			continue
		}
		for _, target := range out.TargetHealthDescriptions {
			if target.TargetHealth != nil && target.TargetHealth.State == types.TargetHealthStateEnumDraining {
				return true
			}
		}
	}
}
