package apigwemu

import (
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/sigv4"
)

// Signer is the one identity whose requests reach a route with IAM.
type Signer struct{ AccessKey, SecretKey, Region string }

func (s Signer) signed(r *http.Request, body []byte, now time.Time) bool {
	return sigv4.Signer(s).Verify(r, body, now)
}

// authorizer is what a function learns of the signer.
func (s Signer) authorizer() *events.APIGatewayV2HTTPRequestContextAuthorizerDescription {
	return &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{IAM: &events.APIGatewayV2HTTPRequestContextAuthorizerIAMDescription{
		AccessKey: s.AccessKey, AccountID: accountID, CallerID: s.AccessKey, UserID: s.AccessKey,
		UserARN: "arn:aws:iam::" + accountID + ":user/" + s.AccessKey}}
}
