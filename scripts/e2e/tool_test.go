package e2e

import (
	"context"
	"io"
	"strings"
	"testing"

	"subwire/scripts/subwire/chat"
)

// subwireChat runs subwire chat in the local cloud until it or ctx ends.
func subwireChat(ctx context.Context, out, errs io.Writer, args ...string) error {
	cmd := chat.Command()
	cmd.SetArgs(append(args, "--url", local.HTTPURL))
	cmd.SetOut(out)
	cmd.SetErr(errs)
	return cmd.ExecuteContext(ctx)
}

// Whatever is posted after subwire says that it listens is printed; what was posted
// before is not.
func TestTheToolSaysWhenItListens(t *testing.T) {
	t.Parallel()
	post(t, "e2e-tool", "long before")
	post(t, "e2e-tool", "before") // only messages before the newest are replayed
	ctx, stop := context.WithCancel(within(t))
	var out, errs lockedBuffer
	ended := make(chan error, 1)
	go func() { ended <- subwireChat(ctx, &out, &errs, "listen", "e2e-tool") }()
	await(t, "listening", func() bool { return strings.Contains(errs.String(), "listening to e2e-tool\n") })
	if err := subwireChat(ctx, io.Discard, io.Discard, "post", "e2e-tool", "after"); err != nil {
		t.Fatal(err)
	}
	await(t, "the message", func() bool { return strings.Contains(out.String(), `"content":"after"`) })
	if strings.Contains(out.String(), "before") {
		t.Errorf("it printed %s", out.String())
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("after Ctrl-C it ended with %v", err)
	}
	if err := subwireChat(within(t), &out, &errs, "post", "e2e-tool", strings.Repeat("x", 10_000)); err == nil {
		t.Error("no error for a message that is too long")
	}
	if err := subwireChat(within(t), &out, &errs, "latency", "--messages", "3"); err != nil || !strings.Contains(out.String(), "3 messages, mutation to next: p50") {
		t.Errorf("latency: %v, %s", err, out.String())
	}
}
