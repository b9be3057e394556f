// Package deployment finds a running Subwire for the commands: the local cloud on
// this machine, or a stack in AWS. It starts and changes nothing.
package deployment

import (
	"context"
	"errors"
	"flag"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/topology"
)

// Deployment is where the parts of a running Subwire are.
type Deployment struct {
	App            topology.Product  // that runs
	AWS            aws.Config        // for clients of AWS services
	HTTPURL, WSURL string            // for Subwire's clients
	GatewayURL     string            // of the WebSocket API's sockets: WSURL, unless that is a host's
	Tables, Queues map[string]string // physical names and URLs by logical name
	FanoutGroups   int               // message groups per topic
	Stack          string            // its name, of which its parts' names are made; "" for the local cloud
	ControlURL     string            // of the local cloud; "" for a stack
}

type Flags struct {
	local  bool
	stack  string
	folder string // in the repository; the search for the state file begins here
}

// Register adds --local and --stack to the flags of a command.
func Register(flags *flag.FlagSet) *Flags {
	f := &Flags{folder: "."}
	flags.BoolVar(&f.local, "local", false, "use the local cloud that runs on this machine (make run)")
	flags.StringVar(&f.stack, "stack", "", "use the stack `NAME`, with the AWS credentials and region of the environment")
	return f
}

func (f *Flags) Given() bool { return f.local || f.stack != "" }

// Check returns an error unless the flags choose one deployment.
func (f *Flags) Check() error {
	switch {
	case f.local && f.stack != "":
		return errors.New("--local and --stack are two deployments: choose one")
	case !f.Given():
		return errors.New("which deployment? Say --local or --stack NAME")
	}
	return nil
}

// Resolve finds the deployment that the flags choose. It checks over the network that
// it is there. Its error is one line that says what to do.
func (f *Flags) Resolve(ctx context.Context) (Deployment, error) {
	if err := f.Check(); err != nil {
		return Deployment{}, err
	}
	if f.local {
		return findLocal(ctx, f.folder)
	}
	return findStack(ctx, f.stack)
}

func (f *Flags) Local() bool { return f.local }
