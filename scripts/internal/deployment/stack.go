package deployment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"subwire/shared/products"
	"subwire/shared/sdkhttp"
	"subwire/shared/topology"
)

// credentialsLimit bounds the search for credentials. The last place it tries is a
// metadata service that exists only on machines in AWS.
const credentialsLimit = 15 * time.Second

// findStack returns the deployment of a stack in AWS.
func findStack(ctx context.Context, name string) (Deployment, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithLogger(logging.Nop{})) // the error says enough
	if err != nil {
		return Deployment{}, fmt.Errorf("read AWS configuration: %w", err)
	}
	cfg.HTTPClient = sdkhttp.Wrap(cfg.HTTPClient)
	if err := usable(ctx, cfg); err != nil {
		return Deployment{}, err
	}
	return fromStack(ctx, cfg, cloudformation.NewFromConfig(cfg), name)
}

// usable says what an operator must set before AWS can be asked anything.
func usable(ctx context.Context, cfg aws.Config) error {
	if cfg.Region == "" {
		return errors.New("no AWS region; set AWS_REGION, or AWS_PROFILE to a profile that has one")
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsLimit)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("no AWS credentials; set AWS_PROFILE, or log in: %s", oneLine(err))
	}
	return nil
}

type stacks interface {
	DescribeStacks(context.Context, *cloudformation.DescribeStacksInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error)
}

// fromStack reads the outputs that topology names.
func fromStack(ctx context.Context, cfg aws.Config, client stacks, name string) (Deployment, error) {
	out, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	var refused smithy.APIError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode() == "ValidationError" && strings.Contains(refused.ErrorMessage(), "does not exist"),
		err == nil && len(out.Stacks) == 0:
		return Deployment{}, fmt.Errorf("there is no stack %q in %s", name, cfg.Region)
	case err != nil:
		return Deployment{}, fmt.Errorf("describe stack %q in %s: %s", name, cfg.Region, oneLine(err))
	}
	values := map[string]string{}
	for _, o := range out.Stacks[0].Outputs {
		values[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return fromOutputs(cfg, name, values)
}

// fromOutputs fails with the names of all missing outputs. A stack of an older release
// does not say what it runs: there was only the default.
func fromOutputs(cfg aws.Config, name string, values map[string]string) (Deployment, error) {
	app, err := products.Named(cmp.Or(values[topology.OutputApp], topology.App.Default))
	if err != nil {
		return Deployment{}, fmt.Errorf("stack %q runs %q: %w", name, values[topology.OutputApp], err)
	}
	app.Inputs = values[topology.OutputEventsURL] != ""
	if every, is := values[topology.OutputCanary]; is {
		minutes, err := strconv.Atoi(every)
		if err != nil {
			return Deployment{}, fmt.Errorf("output %s of stack %q: %w", topology.OutputCanary, name, err)
		}
		app.CanaryEvery = time.Duration(minutes) * time.Minute
	}
	var missing []string
	value := func(key string) string {
		if values[key] == "" {
			missing = append(missing, key)
		}
		return values[key]
	}
	byName := func(keys map[string]string) map[string]string {
		found := make(map[string]string, len(keys))
		for logical, key := range keys {
			found[logical] = value(key)
		}
		return found
	}
	d := Deployment{App: app, AWS: cfg, Stack: name, HTTPURL: value(topology.OutputHTTPURL), WSURL: value(topology.OutputWSURL),
		GatewayURL: cmp.Or(values[topology.OutputAPISocket], values[topology.OutputWSURL]),
		Tables:     byName(app.TableOutputs()), Queues: byName(app.QueueOutputs())}
	groups := value(topology.OutputFanoutGroups)
	if len(missing) > 0 {
		slices.Sort(missing)
		return Deployment{}, fmt.Errorf("stack %q is no stack of this version of Subwire: it has no output %s", name, strings.Join(missing, ", "))
	}
	if d.FanoutGroups, err = strconv.Atoi(groups); err != nil {
		return Deployment{}, fmt.Errorf("output %s of stack %q: %w", topology.OutputFanoutGroups, name, err)
	}
	return d, nil
}

// oneLine is the error's text without the SDK's line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
