package apigwemu

import "subwire/scripts/internal/tokens"

// quotas are the token buckets of the account and the stages ("Protect your WebSocket
// APIs in API Gateway", and the same for HTTP APIs). The first empty bucket refuses;
// tokens taken before it are lost.
type quotas struct {
	account  *tokens.Bucket // everything that comes in, including posts to clients
	connects *tokens.Bucket // handshakes
	sockets  *tokens.Bucket // the WebSocket API's stage, for all its routes together: a guess
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

// call is a call of the management API. It is not a route, so no stage throttles it.
func (q quotas) call() bool { return q.account.Take(1) }
