package deployment

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Depth is how many messages a queue has, approximately ("GetQueueAttributes").
type Depth struct {
	Visible, Delayed int
	InFlight         int // received, and neither deleted nor visible again
}

// QueueClient is the part of *sqs.Client that says how much a queue has.
type QueueClient interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (
		*sqs.GetQueueAttributesOutput, error)
}

// DepthOf asks SQS about the queue with the URL.
func DepthOf(ctx context.Context, client QueueClient, url string) (d Depth, err error) {
	counts := map[types.QueueAttributeName]*int{
		types.QueueAttributeNameApproximateNumberOfMessages:           &d.Visible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed:    &d.Delayed,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible: &d.InFlight,
	}
	in := &sqs.GetQueueAttributesInput{QueueUrl: &url}
	for name := range counts {
		in.AttributeNames = append(in.AttributeNames, name)
	}
	out, err := client.GetQueueAttributes(ctx, in)
	if err != nil {
		return Depth{}, err
	}
	for name, count := range counts {
		if *count, err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return Depth{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return d, nil
}
