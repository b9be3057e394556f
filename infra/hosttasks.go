package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	scaling "github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/metrics"
	"subwire/shared/topology"
)

// The images are AWS's own, public ones. The program is not in an image: making one takes a
// Docker daemon, or code of our own that pushes it to a repository that must be there before the
// stack. Instead the first container of a task fetches the program from the bucket where the CDK
// puts the functions' code, too, and checks its hash. So cdk deploy alone deploys everything.
// The price is that a task starts some seconds later, and that none starts while the registry or
// the bucket is down; tasks that run need neither.
const (
	fetchImage = "public.ecr.aws/aws-cli/aws-cli:2.36.49"
	baseImage  = "public.ecr.aws/amazonlinux/amazonlinux:2023-minimal"
)

// Where the program is in a task.
const programs, program = "/program", "/program/host"

// addHost adds the tasks, after the functions: they write rows for nodes, which a function of
// an older release does not know.
func (s *stack) addHost() {
	if !s.fargate {
		return
	}
	logs := awslogs.NewLogGroup(s.cdk, s.hostID("logs"), &awslogs.LogGroupProps{LogGroupName: jsii.String(s.hostLogs()),
		Retention: awslogs.RetentionDays(s.retention()), RemovalPolicy: awscdk.RemovalPolicy_DESTROY})
	cluster := awsecs.NewCfnCluster(s.cdk, s.hostID("cluster"), &awsecs.CfnClusterProps{
		ClusterName: jsii.String(s.prefix() + topology.Host.Name),
		// Its metrics would cost more than the tasks; those that ECS has for nothing are enough.
		ClusterSettings: []any{&awsecs.CfnCluster_ClusterSettingsProperty{
			Name: jsii.String("containerInsights"), Value: jsii.String("disabled")}}})
	s.host.clusterName = *cluster.Ref()
	task := awsecs.NewCfnTaskDefinition(s.cdk, s.hostID("task"), s.task(logs))
	service := awsecs.NewCfnService(s.cdk, s.hostID("service"), s.service(cluster, task))
	s.host.service = service
	service.Node().AddDependency(s.host.listener)
	for _, f := range s.app.Functions() {
		if live := s.live[f.Name]; live != nil { // not yet the canary
			service.Node().AddDependency(live)
		}
	}
	s.component(topology.Host.Name, logs, cluster, task, service)
	s.addScaling(service)
}

// hostLogs is the name of the tasks' log group.
func (s *stack) hostLogs() string { return "/subwire/" + s.prefix() + topology.Host.Name }

func (s *stack) task(logs awslogs.LogGroup) *awsecs.CfnTaskDefinitionProps {
	f, files := topology.Fargate, s.hostFiles()
	return &awsecs.CfnTaskDefinitionProps{
		Family: jsii.String(s.prefix() + topology.Host.Name), NetworkMode: jsii.String("awsvpc"),
		RequiresCompatibilities: jsii.Strings("FARGATE"),
		Cpu:                     jsii.String(strconv.Itoa(f.CPU)), Memory: jsii.String(strconv.Itoa(f.MemoryMB)),
		RuntimePlatform: &awsecs.CfnTaskDefinition_RuntimePlatformProperty{OperatingSystemFamily: jsii.String("LINUX"),
			CpuArchitecture: jsii.String(map[string]string{"amd64": "X86_64", "arm64": "ARM64"}[s.arch])},
		ExecutionRoleArn:     s.executionRole(logs).RoleArn(),
		TaskRoleArn:          s.taskRole(files).RoleArn(),
		Volumes:              []any{&awsecs.CfnTaskDefinition_VolumeProperty{Name: jsii.String("program")}},
		ContainerDefinitions: []any{s.fetcher(logs, files), s.holder(logs)},
	}
}

// hostFile is a file of a task.
type hostFile struct {
	at, sum string // its path in the task, and its SHA-256
	asset   awss3assets.Asset
}

// hostFiles are the program and, if only these may run, the trusted documents.
func (s *stack) hostFiles() []hostFile {
	all := []hostFile{s.hostFile(s.binary(topology.Host), program)}
	if s.trusted {
		documents := filepath.Join(s.assets, topology.Host.Name, trustedFile)
		all = append(all, s.hostFile(documents, filepath.Join(programs, trustedFile)))
	}
	return all
}

func (s *stack) hostFile(name, at string) hostFile {
	asset := awss3assets.NewAsset(s.cdk, s.hostID("file-"+filepath.Base(name)), &awss3assets.AssetProps{Path: &name})
	return hostFile{at, checksum(name), asset}
}

// checksum is the SHA-256 of a file in hexadecimal. It panics like the CDK does at a file that
// is not there: main has checked it.
func checksum(name string) string {
	f, err := os.Open(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		panic(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// fetchScript fetches a file, checks it and lets anybody run it, but nobody write. The words
// that follow are an address, a path and a hash for each.
const fetchScript = `set -eu
while [ $# -gt 0 ]; do
	aws s3 cp --only-show-errors "$1" "$2"
	echo "$3  $2" | sha256sum -c --quiet -
	chmod 0555 "$2"
	shift 3
done`

// fetcher is the container that puts the files in place and ends.
func (s *stack) fetcher(logs awslogs.LogGroup, files []hostFile) *awsecs.CfnTaskDefinition_ContainerDefinitionProperty {
	command := jsii.Strings("-c", fetchScript, "fetch")
	for _, f := range files {
		*command = append(*command, f.asset.S3ObjectUrl(), jsii.String(f.at), jsii.String(f.sum))
	}
	return &awsecs.CfnTaskDefinition_ContainerDefinitionProperty{
		Name: jsii.String("fetch"), Image: jsii.String(fetchImage), Essential: false,
		EntryPoint: jsii.Strings("/bin/sh"), Command: command, Environment: variables(s.ofTask()),
		StartTimeout: jsii.Number(120), // in which it must be done
		MountPoints: []any{&awsecs.CfnTaskDefinition_MountPointProperty{
			SourceVolume: jsii.String("program"), ContainerPath: jsii.String(programs), ReadOnly: false}},
		LogConfiguration: s.logTo(logs, "fetch"),
	}
}

// nobody is a user without rights.
const nobody = "65534:65534"

// openFiles is the most that a container on Fargate may have ("Ulimit").
const openFiles = 65_535

// holder is the container that holds the sockets. It needs no shell, no rights and no disk.
func (s *stack) holder(logs awslogs.LogGroup) *awsecs.CfnTaskDefinition_ContainerDefinitionProperty {
	f := topology.Fargate
	return &awsecs.CfnTaskDefinition_ContainerDefinitionProperty{
		Name: jsii.String(topology.Host.Name), Image: jsii.String(baseImage), Essential: true,
		EntryPoint: jsii.Strings(program), WorkingDirectory: jsii.String(programs),
		User: jsii.String(nobody), ReadonlyRootFilesystem: true,
		LinuxParameters: &awsecs.CfnTaskDefinition_LinuxParametersProperty{
			Capabilities: &awsecs.CfnTaskDefinition_KernelCapabilitiesProperty{Drop: jsii.Strings("ALL")}},
		DependsOn: []any{&awsecs.CfnTaskDefinition_ContainerDependencyProperty{
			ContainerName: jsii.String("fetch"), Condition: jsii.String("SUCCESS")}},
		MountPoints: []any{&awsecs.CfnTaskDefinition_MountPointProperty{
			SourceVolume: jsii.String("program"), ContainerPath: jsii.String(programs), ReadOnly: true}},
		PortMappings: []any{&awsecs.CfnTaskDefinition_PortMappingProperty{
			ContainerPort: jsii.Number(f.Port), Protocol: jsii.String("tcp")}},
		Ulimits: []any{&awsecs.CfnTaskDefinition_UlimitProperty{
			Name: jsii.String("nofile"), SoftLimit: jsii.Number(openFiles), HardLimit: jsii.Number(openFiles)}},
		// SIGTERM comes when the load balancer has let go of the task. Its sockets are closed by then,
		// unless it could not see its own state.
		StopTimeout: jsii.Number(f.Leave.Seconds()),
		Environment: variables(s.hostEnvironment()),
		Secrets: []any{&awsecs.CfnTaskDefinition_SecretProperty{
			Name: jsii.String(topology.HostKey.Env), ValueFrom: s.host.secret}},
		LogConfiguration: s.logTo(logs, topology.Host.Name),
	}
}

// logTo writes a container's output to the log. If CloudWatch does not take it, lines are lost
// rather than sockets held up ("Send Amazon ECS logs to CloudWatch", mode). It finds the metrics in
// them by itself ("Specification: Embedded metric format", PutLogEvents).
func (s *stack) logTo(logs awslogs.LogGroup, prefix string) *awsecs.CfnTaskDefinition_LogConfigurationProperty {
	options := map[string]*string{
		"awslogs-group": logs.LogGroupName(), "awslogs-region": s.cdk.Region(), "awslogs-stream-prefix": &prefix,
		"mode": jsii.String("non-blocking"), "max-buffer-size": jsii.String("4m")}
	return &awsecs.CfnTaskDefinition_LogConfigurationProperty{LogDriver: jsii.String("awslogs"), Options: options}
}

// hostEnvironment is what the topology gives the host.
func (s *stack) hostEnvironment() map[string]*string {
	env := s.ofTask()
	maps.Copy(env, *s.environment(s.app.Function(topology.Host.Name)))
	delete(env, topology.HostKey.Env) // ECS refuses a name that a secret has, too
	env[topology.HostPortEnv] = jsii.String(strconv.Itoa(topology.Fargate.Port))
	env[topology.HostTargetsEnv] = s.host.targets
	env[topology.StackEnv] = s.cdk.StackName()
	// The collector keeps the heap below what would end the task, four fifths of its memory.
	env["GOMEMLIMIT"] = jsii.String(fmt.Sprintf("%dMiB", topology.Fargate.MemoryMB*4/5))
	return env
}

// ofTask is what programs of AWS need to know. Lambda tells its functions; that Fargate does is
// on no page.
func (s *stack) ofTask() map[string]*string { return map[string]*string{"AWS_REGION": s.cdk.Region()} }

// variables lists the variables by name, so that a task stays the same if nothing changed.
func variables(env map[string]*string) (all []any) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		all = append(all, &awsecs.CfnTaskDefinition_KeyValuePairProperty{Name: &name, Value: env[name]})
	}
	return all
}

// ofTasks is the trust of a role of tasks: of this account's only ("Amazon ECS task IAM role").
func (s *stack) ofTasks() awsiam.IPrincipal {
	conditions := map[string]any{
		"StringEquals": map[string]any{"aws:SourceAccount": s.cdk.Account()},
		"ArnLike":      map[string]any{"aws:SourceArn": s.arn("ecs", "*")}}
	return awsiam.NewServicePrincipal(jsii.String("ecs-tasks.amazonaws.com"),
		&awsiam.ServicePrincipalOpts{Conditions: &conditions})
}

// taskRole is what the program may do, and the fetching of its files.
func (s *stack) taskRole(files []hostFile) awsiam.Role {
	var statements []awsiam.PolicyStatement
	for _, p := range s.app.HostAccess() {
		statements = append(statements, allow(s.resource(p), p.Actions...))
	}
	// It has no narrower resource ("Actions, resources, and condition keys for AWS Elastic Load
	// Balancing V2").
	statements = append(statements, allow(jsii.String("*"), "elasticloadbalancing:DescribeTargetHealth"))
	// A bucket that was made with --bootstrap-customer-key would need kms:Decrypt, too.
	for _, f := range files {
		object := "arn:" + *s.cdk.Partition() + ":s3:::" + *f.asset.S3BucketName() + "/" + *f.asset.S3ObjectKey()
		statements = append(statements, allow(&object, "s3:GetObject"))
	}
	statements = append(statements, s.mayRead(topology.JWTKey.In(s.values))...)
	return s.hostRole("role", statements)
}

// executionRole is what ECS does for the task: its log and its key. Public images need nothing.
func (s *stack) executionRole(logs awslogs.LogGroup) awsiam.Role {
	return s.hostRole("starting-role", []awsiam.PolicyStatement{
		allow(logs.LogGroupArn(), "logs:CreateLogStream", "logs:PutLogEvents"),
		allow(s.host.secret, "secretsmanager:GetSecretValue")})
}

func (s *stack) hostRole(id string, statements []awsiam.PolicyStatement) awsiam.Role {
	role := s.roleOf(*s.hostID(id), s.ofTasks(), statements)
	s.component(topology.Host.Name, role)
	return role
}

// service keeps the tasks running. A new release's come before the old ones go, and if they do
// not become healthy, the old ones stay.
func (s *stack) service(cluster awsecs.CfnCluster, task awsecs.CfnTaskDefinition) *awsecs.CfnServiceProps {
	props := &awsecs.CfnServiceProps{
		ServiceName: jsii.String(s.prefix() + topology.Host.Name), Cluster: cluster.Ref(), TaskDefinition: task.Ref(),
		LaunchType: jsii.String("FARGATE"), PlatformVersion: jsii.String("LATEST"),
		DeploymentConfiguration: &awsecs.CfnService_DeploymentConfigurationProperty{
			MinimumHealthyPercent: jsii.Number(100), MaximumPercent: jsii.Number(200),
			DeploymentCircuitBreaker: &awsecs.CfnService_DeploymentCircuitBreakerProperty{Enable: true, Rollback: true}},
		AvailabilityZoneRebalancing:   jsii.String("ENABLED"),
		HealthCheckGracePeriodSeconds: jsii.Number(60),
		EnableExecuteCommand:          false,
		EnableEcsManagedTags:          true, PropagateTags: jsii.String("SERVICE"),
		NetworkConfiguration: &awsecs.CfnService_NetworkConfigurationProperty{
			AwsvpcConfiguration: &awsecs.CfnService_AwsVpcConfigurationProperty{AssignPublicIp: jsii.String("ENABLED"),
				Subnets: jsii.Strings(s.host.subnetIDs()...), SecurityGroups: jsii.Strings(*s.host.tasksGroup)}},
		LoadBalancers: []any{&awsecs.CfnService_LoadBalancerProperty{ContainerName: &topology.Host.Name,
			ContainerPort: jsii.Number(topology.Fargate.Port), TargetGroupArn: s.host.targets}},
	}
	// Else the number is the scaling's. The deployment does not always wait until no task is left:
	// the scheduled action of the release before may start some once more, until the scaling has
	// its new bounds. The action takes those away again, and deploycheck looks for them before the
	// host goes.
	if s.hostTasks == 0 {
		props.DesiredCount = jsii.Number(0)
	}
	return props
}

// keepCount is how often the number of tasks is brought between its least and its most.
const keepCount = "rate(5 minutes)"

// addScaling adds tasks by their sockets and by their CPU, whichever wants more, fast; and takes
// them away slowly, as each that goes makes its clients connect again ("How target tracking
// scaling for Application Auto Scaling works").
//
// A policy adds tasks only once an alarm of its own asks for one: a service that begins with one
// task would stay at it ("Automatically scale your Amazon ECS service", considerations), and a
// number in the template would undo the scaling at each deployment. A scheduled action compares
// the number with its bounds, so it sees to the least, after a mistake by hand, too ("How scheduled
// scaling for Application Auto Scaling works").
func (s *stack) addScaling(service awsecs.CfnService) {
	most := s.hostMostTasks
	if s.hostTasks == 0 {
		most = 0
	}
	target := scaling.NewCfnScalableTarget(s.cdk, s.hostID("tasks"), &scaling.CfnScalableTargetProps{
		ServiceNamespace: jsii.String("ecs"), ScalableDimension: jsii.String("ecs:service:DesiredCount"),
		ResourceId:  jsii.String("service/" + s.host.clusterName + "/" + *service.AttrName()),
		MinCapacity: jsii.Number(s.hostTasks), MaxCapacity: jsii.Number(most),
		ScheduledActions: []any{&scaling.CfnScalableTarget_ScheduledActionProperty{
			ScheduledActionName: jsii.String(s.prefix() + "host-count"), Schedule: jsii.String(keepCount),
			ScalableTargetAction: &scaling.CfnScalableTarget_ScalableTargetActionProperty{
				MinCapacity: jsii.Number(s.hostTasks), MaxCapacity: jsii.Number(most)}}}})
	if most == 0 {
		return
	}
	policy := func(name string, p *scaling.CfnScalingPolicy_TargetTrackingScalingPolicyConfigurationProperty) {
		p.ScaleOutCooldown, p.ScaleInCooldown = jsii.Number(30), jsii.Number(900)
		scaling.NewCfnScalingPolicy(s.cdk, s.hostID("scale-by-"+name), &scaling.CfnScalingPolicyProps{
			PolicyName: jsii.String(s.prefix() + "host-" + name), PolicyType: jsii.String("TargetTrackingScaling"),
			ScalingTargetId: target.Ref(), TargetTrackingScalingPolicyConfiguration: p})
	}
	policy("cpu", &scaling.CfnScalingPolicy_TargetTrackingScalingPolicyConfigurationProperty{
		TargetValue: jsii.Number(topology.Fargate.CPUTarget),
		PredefinedMetricSpecification: &scaling.CfnScalingPolicy_PredefinedMetricSpecificationProperty{
			PredefinedMetricType: jsii.String("ECSServiceAverageCPUUtilization")}})
	// Each task tells its own number as often as the others, so the average is that of a task.
	policy("sockets", &scaling.CfnScalingPolicy_TargetTrackingScalingPolicyConfigurationProperty{
		TargetValue: jsii.Number(topology.Fargate.Sockets),
		CustomizedMetricSpecification: &scaling.CfnScalingPolicy_CustomizedMetricSpecificationProperty{
			Namespace: jsii.String(metrics.Namespace), MetricName: jsii.String(metrics.Sockets.Name),
			Statistic: jsii.String("Average"),
			Dimensions: []any{&scaling.CfnScalingPolicy_MetricDimensionProperty{
				Name: jsii.String(metrics.Stack), Value: s.cdk.StackName()}}}})
}
