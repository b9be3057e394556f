// Package apigw posts to clients and closes their sockets through the management API of
// an API Gateway WebSocket API ("Use @connections commands in your backend service").
// It turns the API's answers into the errors that the pipeline branches on. It retries
// nothing: one slow client must not hold up a sender, so the caller decides what to try
// again, and when.
package apigw

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"

	"subwire/shared/pubsub"
	"subwire/shared/sdkhttp"
)

// callTimeout bounds one call. The SDK sets no bound of its own.
const callTimeout = 5 * time.Second

// Client is a pubsub.Gateway: it calls the management API of one stage. It may be used
// by many goroutines at once.
type Client struct {
	api     *apigatewaymanagementapi.Client
	poster  *poster // nil to post by api
	timeout time.Duration
}

var _ pubsub.Gateway = (*Client)(nil)

// New returns a client for the stage at callbackURL, which is
// https://{api}.execute-api.{region}.amazonaws.com/{stage}. Up to maxConns connections
// stay open between calls; it should be the number of concurrent calls. The client
// posts without the SDK (post.go), unless a proxy or a foreign HTTP client is
// configured.
func New(awsCfg aws.Config, callbackURL string, maxConns int) *Client {
	return build(awsCfg, callbackURL, maxConns, false)
}

// NewHashed is New for a receiver that checks a signature before it reads the body: the
// hash of the body is in a header of its own (sigv4.BodyHash).
func NewHashed(awsCfg aws.Config, callbackURL string, maxConns int) *Client {
	return build(awsCfg, callbackURL, maxConns, true)
}

func build(awsCfg aws.Config, callbackURL string, maxConns int, hashed bool) *Client {
	c := newSDK(awsCfg, callbackURL, maxConns, hashed)
	if stage, err := url.Parse(callbackURL); err == nil { // otherwise the SDK says what is wrong with it
		c.poster = newPoster(awsCfg, stage, maxConns, hashed)
	}
	return c
}

// newSDK is New for a client that posts with the SDK's PostToConnection.
func newSDK(awsCfg aws.Config, callbackURL string, maxConns int, hashed bool) *Client {
	api := apigatewaymanagementapi.NewFromConfig(awsCfg, func(o *apigatewaymanagementapi.Options) {
		o.BaseEndpoint = &callbackURL
		// The SDK's retries share one budget. 1 % of slow clients would use it up and
		// stall the posts to all others for seconds.
		o.Retryer = aws.NopRetryer{}
		o.HTTPClient = sdkhttp.Wrap(pooled(o.HTTPClient, maxConns))
		if hashed {
			o.APIOptions = append(o.APIOptions, v4.AddContentSHA256HeaderMiddleware)
		}
	})
	return &Client{api: api, timeout: callTimeout}
}

// pooled returns the client with room for n idle connections. A configured client of
// the SDK keeps its settings, such as the certificates it trusts; any other is the
// caller's to tune.
func pooled(client aws.HTTPClient, n int) aws.HTTPClient {
	b, ok := client.(*awshttp.BuildableClient)
	if !ok {
		return client
	}
	return b.WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = max(t.MaxIdleConns, n)
		t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, n)
	})
}

// Post implements pubsub.Gateway. Every error about an answer has a method Reason.
func (c *Client) Post(ctx context.Context, connectionID string, frame []byte) error {
	if err := c.post(ctx, connectionID, frame); err != nil {
		return fmt.Errorf("post to connection %s: %w", connectionID, err)
	}
	return nil
}

func (c *Client) post(ctx context.Context, connectionID string, frame []byte) error {
	if c.poster == nil {
		return c.postBySDK(ctx, connectionID, frame)
	}
	a, err := c.poster.post(ctx, time.Now().Add(c.timeout), connectionID, frame)
	if err != nil {
		return translateFailure(ctx, err)
	}
	return a.verdict()
}

func (c *Client) postBySDK(ctx context.Context, connectionID string, frame []byte) error {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.api.PostToConnection(callCtx,
		&apigatewaymanagementapi.PostToConnectionInput{ConnectionId: &connectionID, Data: frame})
	return translate(ctx, err)
}

// Delete implements pubsub.Gateway. The client sees code 1000 and no reason.
func (c *Client) Delete(ctx context.Context, connectionID string) error {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.api.DeleteConnection(callCtx, &apigatewaymanagementapi.DeleteConnectionInput{
		ConnectionId: &connectionID,
	})
	err = translate(ctx, err)
	if err == nil || errors.Is(err, pubsub.ErrGone) {
		return nil
	}
	return fmt.Errorf("delete connection %s: %w", connectionID, err)
}
