package boot

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/topology"
)

// taskMetadataEnv is ECS's ("Amazon ECS task metadata endpoint version 4"). Topology names
// what else a host is told.
const taskMetadataEnv = "ECS_CONTAINER_METADATA_URI_V4"

// Host is the part of the environment that only a host has.
type Host struct {
	Port     string        // on which it listens
	Address  string        // HOST:PORT, for other processes in its network; "" if Metadata knows it
	Metadata string        // URL of the container's metadata in ECS; "" elsewhere
	Targets  string        // ARN of the load balancer's target group in which it is; "" for none
	Drain    time.Duration // in which it closes its sockets before it ends
}

// hostOf reads it.
func hostOf(getenv func(string) string) (Host, error) {
	h := Host{
		Port:     cmp.Or(getenv(topology.HostPortEnv), fmt.Sprint(topology.Fargate.Port)),
		Address:  getenv(topology.HostAddressEnv),
		Metadata: getenv(taskMetadataEnv),
		Targets:  getenv(topology.HostTargetsEnv),
		Drain:    topology.Fargate.Drain,
	}
	var err error
	if text := getenv(topology.HostDrainEnv); text != "" {
		if h.Drain, err = time.ParseDuration(text); err != nil || h.Drain < 0 {
			err = fmt.Errorf("%s is %q: it must be a time, such as 75s", topology.HostDrainEnv, text)
		}
	}
	if h.Address == "" && h.Metadata == "" {
		err = errors.Join(err, fmt.Errorf("%s is not set", topology.HostAddressEnv))
	}
	return h, err
}

// Host is what the environment of this process says, and the key that signs what hosts are
// sent.
func (p Process) Host() (Host, aws.CredentialsProvider, error) {
	h, err := hostOf(os.Getenv)
	if topology.HostKey.In(p.Settings) == "" {
		err = errors.Join(err, fmt.Errorf("%s is not set", topology.HostKey.Env))
	}
	return h, p.hostKey(), err
}
