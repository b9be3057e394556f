package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"
)

// service is a host's, as a deployed template says.
type service struct {
	cluster, name string
	emptied       bool // whether it was told to have no tasks
}

// serviceOf finds the host's among the resources of a template. ok is false for none.
func serviceOf(resources map[string]resource) (s service, ok bool) {
	for _, r := range resources {
		switch p := r.Properties; r.Type {
		case "AWS::ECS::Cluster":
			s.cluster = p.ClusterName
		case "AWS::ECS::Service":
			s.name, s.emptied, ok = p.ServiceName, p.DesiredCount != nil && *p.DesiredCount == 0, true
		}
	}
	return s, ok
}

// tasks is how many tasks there are or will be, as far as can be told: what the template says
// may not be so yet, and the scaling may have started some since. One that ECS stops counts
// until it has stopped, as it closes its sockets meanwhile; DescribeServices does not count it
// (only those that are RUNNING or PENDING).
func (s service) tasks(ctx context.Context, client *ecs.Client) (int, error) {
	found, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &s.cluster, Services: []string{s.name}})
	var gone *ecstypes.ClusterNotFoundException
	if errors.As(err, &gone) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask for service %s: %w", s.name, err)
	}
	for _, f := range found.Failures {
		if aws.ToString(f.Reason) != "MISSING" {
			return 0, fmt.Errorf("ask for service %s: %s", s.name, aws.ToString(f.Reason))
		}
	}
	n := 0
	for _, one := range found.Services {
		n += int(max(one.DesiredCount, one.RunningCount+one.PendingCount))
	}
	pages := ecs.NewListTasksPaginator(client,
		&ecs.ListTasksInput{Cluster: &s.cluster, DesiredStatus: ecstypes.DesiredStatusStopped})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, fmt.Errorf("list tasks of %s: %w", s.cluster, err)
		}
		if len(page.TaskArns) == 0 {
			continue
		}
		stopped, err := client.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &s.cluster, Tasks: page.TaskArns})
		if err != nil {
			return 0, fmt.Errorf("ask for tasks of %s: %w", s.cluster, err)
		}
		for _, task := range stopped.Tasks {
			if last := aws.ToString(task.LastStatus); last != "STOPPED" && last != "DELETED" {
				n++
			}
		}
	}
	return n, nil
}

// deployedHost finds the host of the deployed stack. ok is false if there is no stack, or no host.
func deployedHost(ctx context.Context, client *cloudformation.Client, stack string) (s service, ok bool, err error) {
	found, err := client.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: &stack})
	var refused smithy.APIError
	if errors.As(err, &refused) && refused.ErrorCode() == "ValidationError" &&
		strings.Contains(err.Error(), "does not exist") {
		return service{}, false, nil
	}
	if err != nil {
		return service{}, false, err
	}
	var deployed struct{ Resources map[string]resource }
	if err := json.Unmarshal([]byte(aws.ToString(found.TemplateBody)), &deployed); err != nil {
		return service{}, false, err
	}
	s, ok = serviceOf(deployed.Resources)
	return s, ok, nil
}

// keepsHost refuses a template without the host of the deployed stack, if that has tasks.
// CloudFormation updates the functions before it deletes what is gone ("Update behaviors of stack
// resources"), so meanwhile nobody would reach the sockets that are still open.
func keepsHost(ctx context.Context, t template, cfg aws.Config, unloaded error) error {
	if t.host {
		return nil
	}
	host, was, err := service{}, false, unloaded
	if err == nil {
		host, was, err = deployedHost(ctx, cloudformation.NewFromConfig(cfg), t.stack)
	}
	left := 0
	if was && host.emptied {
		left, err = host.tasks(ctx, ecs.NewFromConfig(cfg))
	}
	switch {
	case err != nil:
		return fmt.Errorf("whether the release takes away a host that has sockets is not known: %w", err)
	case was && !host.emptied:
		return fmt.Errorf("the host of %s would be taken away while it has sockets, and functions would not reach them:"+
			" deploy with -c host=fargate -c hostTasks=0 first, then without", t.stack)
	case left > 0:
		return fmt.Errorf("the host of %s still has tasks, %d of them, and functions would not reach their sockets:"+
			" wait some minutes until they have stopped, and deploy again", t.stack, left)
	}
	return nil
}
