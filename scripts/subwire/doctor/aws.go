package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"subwire/scripts/internal/account"
	"subwire/shared/auth"
)

// Quotas of the account in a region: requests a second, over all APIs ("Quotas for configuring
// and running a WebSocket API in API Gateway" links to it), and vCPUs of tasks ("AWS Fargate
// service quotas").
const (
	quotaService, quotaRate  = "apigateway", "L-8A5B8E43"
	fargateService, quotaCPU = "fargate", "L-3032A538"
)

// askAccount asks AWS.
func askAccount(cfg aws.Config) accountAPI {
	return accountAPI{
		region: cfg.Region,
		identity: func(ctx context.Context) (string, string, error) {
			out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			if err != nil {
				return "", "", err
			}
			return aws.ToString(out.Account), aws.ToString(out.Arn), nil
		},
		parameter: func(ctx context.Context, name string) (string, error) {
			text, err := auth.ReadParameter(ctx, cfg, name)
			if isCode(err, "ParameterNotFound") {
				err = errMissing
			}
			return text, err
		},
		room: func(ctx context.Context, n account.Needs) (account.Room, error) {
			return n.Ask(ctx, lambda.NewFromConfig(cfg))
		},
		rate:  func(ctx context.Context) (float64, error) { return quota(ctx, cfg, quotaService, quotaRate) },
		vcpus: func(ctx context.Context) (float64, error) { return quota(ctx, cfg, fargateService, quotaCPU) },
		stack: func(ctx context.Context, name string) (string, error) {
			out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx,
				&cloudformation.DescribeStacksInput{StackName: &name})
			if isCode(err, "ValidationError") && strings.Contains(err.Error(), "does not exist") {
				return "", nil
			}
			if err != nil || len(out.Stacks) == 0 {
				return "", err
			}
			return string(out.Stacks[0].StackStatus), nil
		},
		table: func(ctx context.Context, name string) (bool, error) {
			_, err := dynamodb.NewFromConfig(cfg).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
			return exists(err, "ResourceNotFoundException")
		},
		queue: func(ctx context.Context, name string) (bool, error) {
			_, err := sqs.NewFromConfig(cfg).GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
			return exists(err, "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
		},
		logGroup: func(ctx context.Context, name string) (bool, error) {
			out, err := cloudwatchlogs.NewFromConfig(cfg).DescribeLogGroups(ctx,
				&cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &name})
			if err != nil {
				return false, err
			}
			for _, g := range out.LogGroups { // the first page has the shortest name
				if aws.ToString(g.LogGroupName) == name {
					return true, nil
				}
			}
			return false, nil
		},
		loggingRole: func(ctx context.Context) (string, error) {
			out, err := apigateway.NewFromConfig(cfg).GetAccount(ctx, &apigateway.GetAccountInput{})
			if err != nil {
				return "", err
			}
			return aws.ToString(out.CloudwatchRoleArn), nil
		},
		keys: auth.FetchKeys,
	}
}

func quota(ctx context.Context, cfg aws.Config, service, code string) (float64, error) {
	out, err := servicequotas.NewFromConfig(cfg).GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{
		ServiceCode: &service, QuotaCode: &code})
	if err != nil {
		return 0, err
	}
	if out.Quota == nil || out.Quota.Value == nil {
		return 0, errors.New("the quota has no value")
	}
	return *out.Quota.Value, nil
}

// askCloud asks a running deployment; local is the cloud on this machine.
func askCloud(cfg aws.Config, local bool) cloudAPI {
	c := cloudAPI{
		table: func(ctx context.Context, name string) (tableState, error) {
			return describe(ctx, dynamodb.NewFromConfig(cfg), name, local)
		},
		queue: func(ctx context.Context, url string) (arn string, messages int, err error) {
			const waiting = sqstypes.QueueAttributeNameApproximateNumberOfMessages
			out, err := sqs.NewFromConfig(cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url,
				AttributeNames: []sqstypes.QueueAttributeName{waiting, sqstypes.QueueAttributeNameQueueArn}})
			if err != nil {
				return "", 0, err
			}
			messages, err = strconv.Atoi(out.Attributes[string(waiting)])
			return out.Attributes[string(sqstypes.QueueAttributeNameQueueArn)], messages, err
		},
	}
	if local {
		return c
	}
	functions := lambda.NewFromConfig(cfg)
	c.mappings = func(ctx context.Context, source string) (all []mappingState, err error) {
		out, err := functions.ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{EventSourceArn: &source})
		if err != nil {
			return nil, err
		}
		for _, m := range out.EventSourceMappings {
			all = append(all, mappingState{aws.ToString(m.State), aws.ToString(m.LastProcessingResult)})
		}
		return all, nil
	}
	c.function = func(ctx context.Context, name string) (functionState, error) {
		out, err := functions.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
		if err != nil {
			return functionState{}, err
		}
		return functionState{string(out.State), string(out.LastUpdateStatus), aws.ToString(out.LastModified)}, nil
	}
	c.alarms = func(ctx context.Context, prefix string) (all int, alarming []string, err error) {
		pages := cloudwatch.NewDescribeAlarmsPaginator(cloudwatch.NewFromConfig(cfg),
			&cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return 0, nil, err
			}
			all += len(page.MetricAlarms)
			for _, a := range page.MetricAlarms {
				if a.StateValue == cloudwatchtypes.StateValueAlarm {
					alarming = append(alarming, aws.ToString(a.AlarmName))
				}
			}
		}
		return all, alarming, nil
	}
	return c
}

// describe does not ask the local cloud how rows expire: there, none do.
func describe(ctx context.Context, client *dynamodb.Client, name string, local bool) (t tableState, err error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return t, err
	}
	t.status, t.stream = string(out.Table.TableStatus), aws.ToString(out.Table.LatestStreamArn)
	if s := out.Table.StreamSpecification; s != nil && aws.ToBool(s.StreamEnabled) {
		t.view = string(s.StreamViewType)
	}
	if local {
		t.ttlUnknown = true
		return t, nil
	}
	ttl, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil {
		return t, fmt.Errorf("ask how rows expire: %w", err)
	}
	on := []dynamodbtypes.TimeToLiveStatus{dynamodbtypes.TimeToLiveStatusEnabled, dynamodbtypes.TimeToLiveStatusEnabling}
	if d := ttl.TimeToLiveDescription; d != nil && slices.Contains(on, d.TimeToLiveStatus) {
		t.ttl = aws.ToString(d.AttributeName)
	}
	return t, nil
}

// exists turns the error of a look-up into an answer; codes are those for what is not there.
func exists(err error, codes ...string) (bool, error) {
	if err == nil {
		return true, nil
	}
	if slices.ContainsFunc(codes, func(code string) bool { return isCode(err, code) }) {
		return false, nil
	}
	return false, err
}

func isCode(err error, code string) bool {
	var refused smithy.APIError
	return errors.As(err, &refused) && refused.ErrorCode() == code
}
