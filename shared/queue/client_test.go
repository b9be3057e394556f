package queue_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/queue"
)

// The SDK sets time-outs, here those of AWS_DEFAULTS_MODE, on a client that it knows.
func TestAClientHasTheTimeoutsOfTheSDK(t *testing.T) {
	t.Parallel()
	const toConnect = 1100 * time.Millisecond // 30 s without the mode
	for name, newClient := range map[string]func(aws.Config) *sqs.Client{
		"SDK": func(cfg aws.Config) *sqs.Client { return sqs.NewFromConfig(cfg) }, "Ours": queue.NewClient,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused, bound, left := errors.New("no network"), false, time.Duration(0)
			dialer := func(d *net.Dialer) {
				d.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
					var deadline time.Time
					deadline, bound = ctx.Deadline()
					left = time.Until(deadline)
					return refused
				}
			}
			client := newClient(aws.Config{Region: "us-east-1", BaseEndpoint: aws.String("http://127.0.0.1:1"),
				DefaultsMode: aws.DefaultsModeInRegion, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
				Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
				HTTPClient:  awshttp.NewBuildableClient().WithDialerOptions(dialer)})
			if _, err := client.ListQueues(t.Context(), nil); !errors.Is(err, refused) {
				t.Fatal(err)
			}
			if !bound || left > toConnect {
				t.Errorf("connecting is bound %v, by %s", bound, left)
			}
		})
	}
}
