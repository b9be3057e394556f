package apigwemu

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"subwire/shared/apigw"
	"subwire/shared/pubsub"
)

// The pipeline's client uses the SDK. It must understand the gateway's answers.
func TestThePipelinesClientUnderstandsTheGateway(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{})
	transport := awshttp.NewBuildableClient().Freeze()
	client := apigw.New(aws.Config{
		Region:     "eu-central-1",
		HTTPClient: transport,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
		}),
	}, a.server.URL+"/local", 4)
	t.Cleanup(func() { transport.(interface{ CloseIdleConnections() }).CloseIdleConnections() })
	c, id := a.open()

	expect := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s = %v, want %v", what, err, want)
		}
	}
	expect("post", client.Post(t.Context(), id, []byte("hello")), nil)
	if got := next(t, c); got != "hello" {
		t.Errorf("frame = %q", got)
	}
	expect("post of 128 KB and a byte", client.Post(t.Context(), id, make([]byte, 128<<10+1)), pubsub.ErrTooLarge)
	expect("post to an ill-formed id", client.Post(t.Context(), "no/body=", []byte("x")), pubsub.ErrGone)
	a.SetFaults(Faults{Post: func(context.Context, string) (int, bool) { return 429, false }})
	expect("post to a busy gateway", client.Post(t.Context(), id, []byte("x")), pubsub.ErrBusy)
	a.SetFaults(Faults{})
	expect("delete", client.Delete(t.Context(), id), nil)
	closedWith(t, c, 1000, "")
	expect("post after delete", client.Post(t.Context(), id, []byte("x")), pubsub.ErrGone)
	expect("second delete", client.Delete(t.Context(), id), nil)
}
