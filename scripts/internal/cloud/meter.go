package cloud

import (
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/meter"
	"subwire/scripts/internal/strictdb"
	"subwire/shared/topology"
)

// startProxies makes DynamoDB strict, and puts a meter before it and SQS if one is
// wanted. Streams bypass both: Lambda's reads of them are free.
func (c *Cloud) startProxies() (err error) {
	c.dynamoDB, c.sqs = c.Backend.DynamoDB.Endpoint, c.Backend.SQS.Endpoint
	c.cfg.DynamoDB.Prefix, c.cfg.DynamoDB.Tables, c.cfg.DynamoDB.Seed = c.prefix, c.cfg.App.AllTables(), c.cfg.Seed
	if c.dynamoDB, err = c.before(c.dynamoDB, strictdb.New(c.cfg.DynamoDB).Proxy); err != nil || !c.cfg.Meter {
		return err
	}
	c.Meter = meter.New(c.prefix)
	if c.dynamoDB, err = c.before(c.dynamoDB, c.Meter.DynamoDB); err != nil {
		return err
	}
	c.sqs, err = c.before(c.sqs, c.Meter.SQS)
	return err
}

// before serves a proxy to the endpoint and returns the proxy's address.
func (c *Cloud) before(endpoint string, proxy func(endpoint string) (http.Handler, error)) (string, error) {
	h, err := proxy(endpoint)
	if err != nil {
		return "", err
	}
	l, err := listen("")
	if err != nil {
		return "", err
	}
	c.serve(l, h)
	return "http://" + l.Addr().String(), nil
}

// queueClient is the client that the event source mappings receive with.
func (c *Cloud) queueClient(cfg aws.Config) *sqs.Client {
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = &c.sqs })
}

// gatewayUsage is the observer that the gateway reports to.
func (c *Cloud) gatewayUsage() apigwemu.Observer {
	if c.Meter == nil {
		return apigwemu.Observer{}
	}
	return c.Meter.Gateway()
}

// functionUsage meters the function's invocations and its log.
func (c *Cloud) functionUsage(f topology.Function) (invoked func(time.Duration), output io.Writer) {
	if c.Meter == nil {
		return nil, c.cfg.Output
	}
	return func(took time.Duration) { c.Meter.Invoked(f.Name, f.MemoryMB, took) }, c.Meter.Log(f.Name, c.cfg.Output)
}
