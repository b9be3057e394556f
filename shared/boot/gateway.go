package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/apigw"
	"subwire/shared/auth"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// Gateway reaches sockets: those of API Gateway and, with HOST_URL, those of hosts. It is
// for that many calls at once, and reads the leases of nodes.
func (p Process) Gateway(leases node.Leases, calls int) pubsub.Gateway {
	api := apigw.New(p.AWS, p.Callback, calls)
	hosts := topology.HostURL.In(p.Settings)
	if hosts == "" {
		return api
	}
	return node.Route{API: api, Hosts: p.hosts(hosts, calls), Leases: leases}
}

// hosts reaches the nodes and their sockets at the URL, for that many calls at once.
// Requests are signed with HOST_KEY.
func (p Process) hosts(url string, calls int) pubsub.Gateway {
	cfg := p.AWS.Copy()
	cfg.Region, cfg.Credentials = node.Region, p.hostKey()
	return apigw.NewHashed(cfg, url, calls)
}

// hostKey are the credentials that sign requests to hosts, and are read no oftener than needed.
func (p Process) hostKey() *aws.CredentialsCache {
	return aws.NewCredentialsCache(HostKey{cfg: p.AWS, Key: topology.HostKey.In(p.Settings)})
}

// HostKey are the credentials that sign requests to hosts.
type HostKey struct {
	cfg aws.Config
	Key string // the secret, or topology.ParameterPrefix and the name of the parameter with it
}

const (
	// hostKeyAge is when the parameter is read again, as the key may have changed. If that
	// fails, the old key serves until it succeeds.
	hostKeyAge = 15 * time.Minute

	// hostKeyPause is the time between two tries then.
	hostKeyPause = time.Minute
)

// Retrieve implements aws.CredentialsProvider.
func (k HostKey) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c := aws.Credentials{AccessKeyID: node.AccessKey, SecretAccessKey: k.Key, Source: "HOST_KEY"}
	if name, ok := strings.CutPrefix(k.Key, topology.ParameterPrefix); ok {
		secret, err := auth.ReadParameter(ctx, k.cfg, name)
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("read key of hosts: %w", err)
		}
		c.SecretAccessKey, c.CanExpire, c.Expires = secret, true, time.Now().Add(hostKeyAge)
	}
	if c.SecretAccessKey == "" {
		return aws.Credentials{}, errors.New("key of hosts is empty")
	}
	return c, nil
}

// HandleFailToRefresh implements aws.HandleFailRefreshCredentialsCacheStrategy: the old key is
// most probably still good.
func (k HostKey) HandleFailToRefresh(ctx context.Context, old aws.Credentials, err error) (aws.Credentials, error) {
	if !old.HasKeys() {
		return aws.Credentials{}, err
	}
	slog.WarnContext(ctx, "the key of hosts is the old one", "error", err)
	old.CanExpire, old.Expires = true, time.Now().Add(hostKeyPause)
	return old, nil
}

// checkHosts returns what is wrong with the settings of hosts.
func checkHosts(v topology.Values) error {
	if _, given := v[topology.HostURL.Setting]; !given {
		return nil
	}
	if topology.HostURL.In(v) != "" && topology.HostKey.In(v) == "" {
		return fmt.Errorf("%s needs %s", topology.HostURL.Env, topology.HostKey.Env)
	}
	return nil
}
