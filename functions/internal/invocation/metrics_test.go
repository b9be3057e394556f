package invocation

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"subwire/shared/metrics"
	"subwire/shared/metrics/metricstest"
	"subwire/shared/trace"
)

// aws-lambda-go reports a panic and then ends the process: what was counted must be in the
// log by then.
func TestTheMetricsOfAnInvocationAreWrittenHoweverItEnds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		count bool
		ends  func() error
		want  map[string]int
	}{
		"Well":          {true, func() error { return nil }, map[string]int{"Posted": 1}},
		"WithAnError":   {true, func() error { return errors.New("no") }, map[string]int{"Posted": 1}},
		"WithAPanic":    {true, func() error { panic("no") }, map[string]int{"Posted": 1}},
		"WithNoneToSay": {false, func() error { return nil }, nil},
	} {
		var log strings.Builder
		meter := metrics.New("subwire-dev", &log, time.Now)
		h := measured{lambda.NewHandler(func(context.Context) error {
			if tc.count {
				meter.Add(metrics.Posted, 1)
			}
			return tc.ends()
		}), meter}
		func() {
			defer func() { _ = recover() }()
			_, _ = h.Invoke(t.Context(), []byte("{}"))
		}()
		if got := metricstest.Sums(t, log.String()); !maps.Equal(got, tc.want) {
			t.Errorf("%s: the log has %v, want %v", name, got, tc.want)
		}
	}
}

func TestAnInvocationHasItsRequestAndTrace(t *testing.T) {
	t.Parallel()
	const id = "1-5759e988-bd862e3fe1be46a994272793"
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r"})
	//lint:ignore SA1029 the key is that of package lambda
	of := func(header string) context.Context { return traced(context.WithValue(ctx, "x-amzn-trace-id", header)) }
	if got := trace.Of(of("Root=" + id + ";Sampled=0")); got != id {
		t.Errorf("the trace is %q", got)
	}
	for _, header := range []string{"", "Root=x"} {
		if got := trace.Of(of(header)); !trace.IsID(got) {
			t.Errorf("the trace for header %q is %q", header, got)
		}
	}
	var out strings.Builder
	slog.New(trace.Handler(slog.NewTextHandler(&out, nil))).InfoContext(of(""), "x")
	if !strings.Contains(out.String(), " request=r trace=1-") {
		t.Errorf("logged %s", &out)
	}
}
