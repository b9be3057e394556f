// Package invocation gives a function its invocations.
package invocation

import (
	"cmp"
	"context"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"subwire/shared/boot"
	"subwire/shared/metrics"
	"subwire/shared/trace"
)

// Serve gives the process's events to the handler, one after the other (lambda.Start), and
// writes the metrics of each. The context knows the request and the trace. It does not
// return.
func Serve(p boot.Process, handler any) {
	lambda.Start(measured{lambda.NewHandler(handler), p.Metrics})
}

type measured struct {
	lambda.Handler
	metrics *metrics.Meter
}

func (i measured) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer i.metrics.Flush()
	return i.Handler.Invoke(traced(ctx), payload)
}

// traced notes the invocation's request id, and the trace that Lambda names. There should be
// one always, but no page promises that.
func traced(ctx context.Context) context.Context {
	if c, ok := lambdacontext.FromContext(ctx); ok {
		ctx = trace.WithRequest(ctx, c.AwsRequestID)
	}
	header, _ := ctx.Value("x-amzn-trace-id").(string) // put there by package lambda
	return trace.With(ctx, cmp.Or(trace.Root(header), trace.New(time.Now())))
}
