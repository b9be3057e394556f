package apigwemu

import "subwire/scripts/internal/tokens"

// quotas are the token buckets of the account and of the stages ("Protect your
// WebSocket APIs in API Gateway", and the same for HTTP APIs). The first one
// that is empty refuses; what was taken before it is lost.
type quotas struct {
	account  *tokens.Bucket // all that comes in, posts to clients included
	connects *tokens.Bucket // handshakes
	sockets  *tokens.Bucket // the WebSocket API's stage, all its routes together: a guess
	web      *tokens.Bucket // the HTTP API's
}

func newQuotas(l Limits) quotas {
	return quotas{
		account: tokens.New(l.AccountRate, l.AccountBurst), connects: tokens.New(l.ConnectRate, l.ConnectBurst),
		sockets: tokens.New(l.SocketRate, l.SocketBurst), web: tokens.New(l.HTTPRate, l.HTTPBurst),
	}
}

func (q quotas) handshake() bool { return q.connects.Take(1) && q.frame() }
func (q quotas) frame() bool     { return q.sockets.Take(1) && q.account.Take(1) }
func (q quotas) request() bool   { return q.web.Take(1) && q.account.Take(1) }

// call is one of the management API. A stage's throttle is its routes', of
// which this is none.
func (q quotas) call() bool { return q.account.Take(1) }
