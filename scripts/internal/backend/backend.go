// Package backend runs DynamoDB Local and ElasticMQ as child processes: the database and
// the queues of the local cloud and of integration tests. It fetches, starts and stops
// them and creates what topology lists. It knows nothing of functions or gateways.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"subwire/scripts/internal/jars"
	"subwire/scripts/internal/lockfile"
	"subwire/shared/sdkhttp"
)

// Region and account that both servers pretend to be in.
const (
	Region  = "us-east-1"
	Account = "000000000000"
)

// AccessKey has only letters and digits: DynamoDB Local refuses others.
const AccessKey, SecretKey = "local", "local"

// Config says where a backend stores its files.
type Config struct {
	Cache    string    // folder for the servers' jars, shared by all backends; about 90 MB
	Data     string    // folder that keeps tables, queues and messages; "" for memory only
	Progress io.Writer // gets the progress of a first start's downloads; nil for silence
}

// Backend is a running pair of servers.
type Backend struct {
	release  func()  // the data folder
	DynamoDB *Server // DynamoDB Local, which also serves DynamoDB Streams; both listen on loopback only
	SQS      *Server // ElasticMQ
}

// Start fetches the servers if the cache lacks them, starts both and returns when
// both answer. ctx bounds the start only: end the backend with Stop. The servers end
// with this process, however it ends. If Java or Maven is missing, the error says
// what to install.
func Start(ctx context.Context, cfg Config) (*Backend, error) {
	java, err := findJava(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := jars.Fetch(ctx, cfg.Cache, cfg.Progress)
	if err != nil {
		return nil, err
	}
	release, err := takeFolder(cfg.Data)
	if err != nil {
		return nil, err
	}
	b := &Backend{
		release:  release,
		DynamoDB: &Server{name: "DynamoDB Local", ready: dynamoDBReady, keeps: cfg.Data != ""},
		SQS:      &Server{name: "ElasticMQ", ready: elasticMQReady, keeps: cfg.Data != ""},
	}
	b.DynamoDB.command, err = dynamoDBCommand(java, filepath.Join(folder, "dynamodb"), cfg.Data)
	if err != nil {
		release()
		return nil, err
	}
	b.SQS.command, err = elasticMQCommand(java, filepath.Join(folder, "elasticmq"), cfg.Data)
	if err != nil {
		release()
		return nil, err
	}
	var both errgroup.Group
	both.Go(func() error { return b.DynamoDB.Start(ctx) })
	both.Go(func() error { return b.SQS.Start(ctx) })
	if err := both.Wait(); err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

// Stop ends both servers and returns when they are gone.
func (b *Backend) Stop() {
	var both errgroup.Group
	both.Go(func() error { b.DynamoDB.Stop(); return nil })
	both.Go(func() error { b.SQS.Stop(); return nil })
	_ = both.Wait() // neither reports errors
	b.release()
}

// takeFolder keeps a data folder from other backends: two that write its files would spoil them.
func takeFolder(data string) (release func(), err error) {
	if data == "" {
		return func() {}, nil
	}
	release, err = lockfile.Try(filepath.Join(data, "lock"))
	if errors.Is(err, lockfile.ErrHeld) {
		return nil, fmt.Errorf("another local cloud keeps its data in %s; stop it, or choose another folder", data)
	}
	return release, err
}

// AWS returns a configuration for clients of DynamoDB, DynamoDB Streams and SQS that
// talk to this backend.
func (b *Backend) AWS() aws.Config {
	return awsConfig(endpoints{
		"DynamoDB":         b.DynamoDB.Endpoint,
		"DynamoDB Streams": b.DynamoDB.Endpoint,
		"SQS":              b.SQS.Endpoint,
	})
}

func awsConfig(services endpoints) aws.Config {
	return aws.Config{
		Region: Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}, nil
		}),
		ConfigSources: []any{services},
		HTTPClient:    sdkhttp.Wrap(nil),
	}
}

// endpoints maps a service, by its SDK id, to its address. The SDK finds the method
// by name.
type endpoints map[string]string

func (e endpoints) GetServiceBaseEndpoint(_ context.Context, id string) (string, bool, error) {
	url, ok := e[id]
	return url, ok, nil
}

// Environ returns NAME=value pairs that make any process with the SDK's default
// configuration talk to this backend.
func (b *Backend) Environ() []string {
	return []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + b.DynamoDB.Endpoint,
		"AWS_ENDPOINT_URL_DYNAMODB_STREAMS=" + b.DynamoDB.Endpoint,
		"AWS_ENDPOINT_URL_SQS=" + b.SQS.Endpoint,
		"AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + SecretKey,
	}
}

func dynamoDBReady(ctx context.Context, endpoint string) error {
	_, err := dynamodb.NewFromConfig(awsConfig(endpoints{"DynamoDB": endpoint})).ListTables(ctx, nil)
	return err
}

func elasticMQReady(ctx context.Context, endpoint string) error {
	_, err := sqs.NewFromConfig(awsConfig(endpoints{"SQS": endpoint})).ListQueues(ctx, nil)
	return err
}

// dynamoDBCommand returns the command that starts DynamoDB Local on a port.
func dynamoDBCommand(java, jars, data string) (func(port int) []string, error) {
	storage := "inMemory=true"
	if data != "" {
		dir, err := makeDir(data, "dynamodb")
		if err != nil {
			return nil, err
		}
		storage = "dbPath=" + dir
	}
	return func(port int) []string {
		return jvm(java, jars, "-Djava.library.path="+jars, // location of SQLite's native library
			"org.eclipse.jetty.xml.XmlConfiguration", fmt.Sprint("port=", port), storage, filepath.Join(jars, "dynamodb.xml"))
	}, nil
}

// elasticMQCommand returns the command that starts ElasticMQ on a port. Its settings
// are system properties, which override its configuration file.
func elasticMQCommand(java, jars, data string) (func(port int) []string, error) {
	settings := []string{
		"-Drest-sqs.bind-hostname=127.0.0.1",
		"-Dnode-address.host=127.0.0.1", // its queue URLs begin with the node's address
		"-Drest-stats.enabled=false",
		"-Daws.region=" + Region,
		"-Daws.accountId=" + Account,
	}
	if data != "" {
		dir, err := makeDir(data, "elasticmq")
		if err != nil {
			return nil, err
		}
		settings = append(settings, "-Dmessages-storage.enabled=true",
			"-Dmessages-storage.uri=jdbc:h2:"+filepath.Join(dir, "queues"))
	}
	return func(port int) []string {
		ports := []string{fmt.Sprint("-Drest-sqs.bind-port=", port), fmt.Sprint("-Dnode-address.port=", port)}
		return jvm(java, jars, append(append(ports, settings...), "org.elasticmq.server.Main")...)
	}, nil
}

// jvm returns the command line for a small Java process that starts quickly.
func jvm(java, jars string, args ...string) []string {
	return append([]string{java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-cp", filepath.Join(jars, "*")}, args...)
}

// makeDir makes a folder and returns its absolute path.
func makeDir(parts ...string) (string, error) {
	dir, err := filepath.Abs(filepath.Join(parts...))
	if err := errors.Join(err, os.MkdirAll(dir, 0o755)); err != nil {
		return "", fmt.Errorf("make data folder: %w", err)
	}
	return dir, nil
}
