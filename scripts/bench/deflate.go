package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"time"

	"subwire/scripts/bench/report"
)

func deflateCommand() command {
	const about = "one process with many sockets whose clients let frames be compressed: memory, CPU and bytes"
	return command{"deflate", about, func(flags *flag.FlagSet) measure {
		b := &hostsBench{operations: 10, inFlight: 20_000, rate: 2000, slice: 4 * time.Second}
		sizes := numbers{100, 2000}
		n := flags.Int("sockets", 2000, "of the process")
		flags.Var(&sizes, "text", "`LIST` of the bytes of a message's text, which are all the same letter")
		flags.DurationVar(&b.slice, "slice", b.slice, "of the burst; latency is measured for twice as long, and for about five events at least")
		return func(ctx context.Context, in input) (report.Report, error) { return b.deflate(ctx, in, *n, sizes) }
	}}
}

const deflateTitle = "A host whose clients offer no compression, and one whose clients do"

func (b *hostsBench) deflate(ctx context.Context, in input, n int, sizes numbers) (report.Report, error) {
	t := report.Table{Title: deflateTitle, Key: "text", Columns: []string{"bytes/push", "bytes/push, deflate",
		"idle KB/socket", "idle KB/socket, deflate", "KB/socket after events", "KB/socket after events, deflate",
		"pushes/CPU s", "pushes/CPU s, deflate", "p99 ms", "p99 ms, deflate"}}
	for _, size := range sizes {
		var plain, packed held
		for _, side := range []struct {
			unpacks bool
			held    *held
		}{{false, &plain}, {true, &packed}} {
			b.size, b.unpacks = size, side.unpacks
			if err := b.hold(ctx, in, hostOurs, n, side.held); err != nil {
				return report.Report{}, fmt.Errorf("text of %d bytes, deflate %v: %w", size, side.unpacks, err)
			}
		}
		per := func(h held, bytes float64) float64 { return (bytes - h.empty) / 1024 / float64(n) }
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(size), plain.bytes, packed.bytes,
			per(plain, plain.idle), per(packed, packed.idle), per(plain, plain.loaded), per(packed, packed.loaded),
			plain.perCPU, packed.perCPU, plain.p99, packed.p99))
	}
	return report.Report{
		Settings: report.Settings("sockets", n, "operations", b.operations, "inflight", b.inFlight, "rate", b.rate,
			"slice", b.slice.String(), "seed", in.seed),
		Tables: []report.Table{t},
		Notes: []string{
			"Frames below 1,024 bytes are never compressed: each would save less than its packet costs. A larger one is " +
				"compressed for each socket, without a context that the socket would have to keep.",
			"The text compresses better than any that people write. CPU is of the process with the sockets; what is " +
				"resident after the events is mostly garbage that Go's runtime keeps for the next burst.",
		},
		Plot: &report.Plot{Title: deflateTitle, Table: deflateTitle, Columns: t.Columns[6:8], Y: "pushes per CPU second"},
	}, nil
}
