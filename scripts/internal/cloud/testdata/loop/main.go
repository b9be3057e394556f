// Command loop is a function that sends each message back to its queue, for ever.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/queue"
)

func main() {
	lambda.Start(func(ctx context.Context, e events.SQSEvent) error {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return err
		}
		url := os.Getenv("QUEUE")
		for _, r := range e.Records {
			again := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &r.Body}
			if _, err := queue.NewClient(cfg).SendMessage(ctx, again); err != nil {
				return err
			}
		}
		return nil
	})
}
