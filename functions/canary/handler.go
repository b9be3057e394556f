package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/auth"
	"subwire/shared/canary"
	"subwire/shared/metrics"
	"subwire/shared/topology"
)

// reserve is left of an invocation for what follows a try.
const reserve = 2 * time.Second

type handler struct {
	try     canary.Try
	token   string // or topology.ParameterPrefix and the name of the parameter with it
	aws     aws.Config
	log     *slog.Logger
	metrics *metrics.Meter
}

// handle tries once. A failed try is a failed invocation, which the alarm is about.
func (h handler) handle(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	took, err := h.run(ctx)
	if err != nil {
		h.metrics.Add(metrics.CanaryFailed, 1)
		h.log.ErrorContext(ctx, "the canary failed", "error", err)
		return fmt.Errorf("canary: %w", err)
	}
	h.metrics.Observe(metrics.CanaryLatency, float64(took.Event.Milliseconds()))
	h.log.InfoContext(ctx, "canary succeeded", "connect", took.Connect, "event", took.Event)
	return nil
}

// run reads the token each time, as it may have been replaced.
func (h handler) run(ctx context.Context) (took canary.Times, err error) {
	try := h.try
	try.Token = h.token
	if name, ok := strings.CutPrefix(h.token, topology.ParameterPrefix); ok {
		if try.Token, err = auth.ReadParameter(ctx, h.aws, name); err != nil {
			return took, err
		}
		try.Token = strings.TrimSpace(try.Token)
	}
	return try.Run(ctx)
}
