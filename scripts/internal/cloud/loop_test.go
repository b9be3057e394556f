package cloud

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/backend"
	"subwire/scripts/internal/esm"
	"subwire/scripts/internal/lambdart"
	"subwire/scripts/internal/lineage"
	"subwire/shared/topology"
)

// TestALoopThroughAQueueIsEnded: the count travels with the tracing header through the
// runtime's environment, the SDK and ElasticMQ, and the message ends in the dead letters.
func TestALoopThroughAQueueIsEnded(t *testing.T) {
	t.Parallel()
	b, err := backend.Start(t.Context(), backend.Config{Cache: "../../../.cache/jars"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	client := sqs.NewFromConfig(b.AWS())
	url, dead := create(t, client, "loop"), create(t, client, "loop-dead")
	binary := filepath.Join(t.TempDir(), "bootstrap")
	if out, err := exec.Command("go", "build", "-o", binary, "./testdata/loop").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var invocations atomic.Int64
	f, err := lambdart.New(lambdart.Config{Name: "loop", Binary: binary, Timeout: time.Minute, Freeze: true, Log: slog.New(slog.DiscardHandler),
		Env:     append(b.Environ(), "AWS_ENDPOINT_URL_SQS="+b.SQS.Endpoint, "QUEUE="+url),
		Invoked: func(lambdart.Invocation) { invocations.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop()
	q := &esm.Queue{URL: url, ARN: backend.QueueARN("loop"), Client: client, Invoker: f, Log: slog.New(slog.DiscardHandler),
		DeadLettersURL: dead, DeadLetters: client,
		Mapping: topology.QueueMapping{Queue: topology.Queue{Name: "loop", Visibility: time.Minute}, BatchSize: 1, MaxConcurrency: 2}}
	run, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { q.Run(run) })
	defer running.Wait()
	defer stop()
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("round")}); err != nil {
		t.Fatal(err)
	}
	if body, err := receive(t, client, dead); err != nil || body != "round" || invocations.Load() != lineage.Limit-1 {
		t.Errorf("after %d invocations the dead letter is %q, %v", invocations.Load(), body, err)
	}
}

func create(t *testing.T, client *sqs.Client, name string) string {
	t.Helper()
	out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// receive waits for a message, for a minute at most.
func receive(t *testing.T, client *sqs.Client, url string) (body string, err error) {
	t.Helper()
	for range 6 {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 10})
		if err != nil {
			return "", err
		}
		if len(out.Messages) > 0 {
			return *out.Messages[0].Body, nil
		}
	}
	return "", errors.New("no message")
}
