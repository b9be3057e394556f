package publish_test

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"subwire/shared/publish"
	"subwire/shared/shop"
)

// A Lambda function of another stack announces where couriers are. Its queue delivers a
// message at least once and in any order; the time at which it was sent, in milliseconds,
// makes the event one and says which is newest.
func Example() {
	cfg, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		panic(err)
	}
	publisher, err := publish.New(cfg, shop.New().App, os.Getenv("INBOX_TABLE"))
	if err != nil {
		panic(err)
	}
	lambda.Start(func(ctx context.Context, e events.SQSEvent) error {
		for _, m := range e.Records {
			position := shop.Position{CourierID: m.Body, Latitude: 52.52, Longitude: 13.41}
			if err := publisher.Publish(ctx, "courierMoved", m.Attributes["SentTimestamp"], position); err != nil {
				return err
			}
		}
		return nil
	})
}
