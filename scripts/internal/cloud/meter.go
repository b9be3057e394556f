package cloud

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/apigwemu"
	"subwire/scripts/internal/awsproxy"
	"subwire/scripts/internal/lambdart"
	"subwire/scripts/internal/meter"
	"subwire/scripts/internal/strictdb"
	"subwire/shared/topology"
)

// startProxies makes DynamoDB strict, and puts a meter before it and SQS if one is
// wanted. Streams bypass both: Lambda's reads of them are free.
func (c *Cloud) startProxies() (err error) {
	c.sqsURL = c.Backend.SQS.Endpoint
	c.cfg.DynamoDB.Throttled = c.watch.throttled
	c.cfg.DynamoDB.Prefix, c.cfg.DynamoDB.Tables, c.cfg.DynamoDB.Seed = c.prefix, c.cfg.App.AllTables(), c.cfg.Seed
	dynamoDB, err := strictdb.New(c.cfg.DynamoDB).Proxy(c.Backend.DynamoDB.Endpoint)
	if err != nil {
		return err
	}
	sqs, err := awsproxy.New(c.Backend.SQS.Endpoint)
	if err != nil {
		return err
	}
	c.dynamoDB, c.sqs = dynamoDB, sqs
	if c.cfg.Meter {
		c.Meter = meter.New(c.prefix)
		c.dynamoDB, c.sqs = c.Meter.DynamoDB(dynamoDB), c.Meter.SQS(sqs)
		c.sqsURL, err = c.address(c.sqs)
	}
	return err
}

// address serves the handler and returns its address.
func (c *Cloud) address(h http.Handler) (string, error) {
	l, err := listen("")
	if err != nil {
		return "", err
	}
	c.serve(l, h)
	return "http://" + l.Addr().String(), nil
}

// queueClient is the client that the event source mappings receive with.
func (c *Cloud) queueClient(cfg aws.Config) *sqs.Client {
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = &c.sqsURL })
}

// gatewayUsage is the observer that the gateway reports to.
func (c *Cloud) gatewayUsage() apigwemu.Observer {
	if c.Meter == nil {
		return c.watchSockets(c.watch.gateway(apigwemu.Observer{}))
	}
	return c.watchSockets(c.watch.gateway(c.Meter.Gateway()))
}

// functionUsage notes and meters the function's invocations and its log.
func (c *Cloud) functionUsage(f topology.Function) (invoked func(lambdart.Invocation), output io.Writer) {
	output = c.watch.log(f.Name, c.cfg.Output)
	if c.Meter != nil {
		output = c.Meter.Log(f.Name, output)
	}
	return func(i lambdart.Invocation) {
		c.watch.invoked(f.Name, i.Took, i.Err)
		if c.Meter != nil {
			c.Meter.Invoked(f.Name, f.MemoryMB, i.Took, i.Err != nil)
		}
		if c.Console != nil {
			c.Console.Invoked(f.Name, i)
		}
	}, output
}
