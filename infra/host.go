package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	elb "github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// host is the host while it is being built.
type host struct {
	subnets                                []any
	tasksGroup                             *string // id of the tasks' security group
	address                                *string // DNS name of the load balancer
	targets                                *string // ARN of the target group
	secret                                 *string // ARN of the key
	listener, service                      constructs.IDependable
	balancerName, targetsName, clusterName string // by which CloudWatch knows them
}

// subnetIDs are those of its subnets.
func (h host) subnetIDs() (ids []string) {
	for _, id := range h.subnets {
		ids = append(ids, *id.(*string))
	}
	return ids
}

// The network is the host's alone, so any addresses do. A load balancer takes eight of each
// subnet and tasks one each ("Subnets for your load balancer").
const network = "10.0.0.0/20"

var subnets = []string{"10.0.0.0/22", "10.0.4.0/22"} // in a zone each

// addHostEntrance adds what the functions must know of the host: the load balancer and the key.
func (s *stack) addHostEntrance() {
	if !s.fargate {
		return
	}
	if text := s.hostWarning(); text != "" {
		awscdk.Annotations_Of(s.cdk).AddWarningV2(jsii.String("subwire:host-without-tls"), &text)
	}
	vpc := s.addNetwork()
	balancerGroup := s.addSecurityGroups(vpc)
	s.addBalancer(vpc, balancerGroup)
	// CloudFormation makes no SecureString, and one made by hand would be a step more, so this is
	// a secret, $0.40 a month. No function's settings show it: they read it as they read JWT_KEY.
	secret := awssecretsmanager.NewCfnSecret(s.cdk, s.hostID("key"), &awssecretsmanager.CfnSecretProps{
		Name: jsii.String(s.hostKey()), Description: jsii.String("Signs posts to the sockets of the host"),
		GenerateSecretString: &awssecretsmanager.CfnSecret_GenerateSecretStringProperty{
			PasswordLength: jsii.Number(48), ExcludePunctuation: true}})
	s.host.secret = secret.Ref()
	s.component(topology.Host.Name, secret)
	s.output(topology.OutputHostURL, jsii.String(s.hostSocketURL()))
}

func (s *stack) hostID(what string) *string { return jsii.String("host-" + what) }

// hostKey is the name of the secret.
func (s *stack) hostKey() string { return s.prefix() + "host-key" }

// hostKeyParameter is the value of the setting HOST_KEY with which functions read the secret.
func (s *stack) hostKeyParameter() string {
	return topology.ParameterPrefix + secretPrefix + s.hostKey()
}

// hostURL is where functions reach the host.
func (s *stack) hostURL() string {
	if s.hostDomain != "" {
		return "https://" + s.hostDomain
	}
	return "http://" + *s.host.address
}

// hostSocketURL is where clients reach it. The same path takes event streams, over https.
func (s *stack) hostSocketURL() string {
	if s.hostDomain != "" {
		return "wss://" + s.hostDomain + topology.GraphQLPath
	}
	return "ws://" + *s.host.address + topology.GraphQLPath
}

// addNetwork adds a network with two zones that reaches the internet without NAT: a NAT
// gateway costs $0.045 an hour in each zone, $65 a month, which is more than all the rest, and
// $0.045 for each GB ("Amazon VPC pricing"). So each task has a public address, $3.60 a month,
// and its security group lets nobody in but the load balancer and the other tasks.
func (s *stack) addNetwork() *string {
	vpc := awsec2.NewCfnVPC(s.cdk, s.hostID("network"), &awsec2.CfnVPCProps{CidrBlock: jsii.String(network),
		EnableDnsSupport: true, EnableDnsHostnames: true, Tags: s.named("network")})
	gateway := awsec2.NewCfnInternetGateway(s.cdk, s.hostID("gateway"),
		&awsec2.CfnInternetGatewayProps{Tags: s.named("gateway")})
	attached := awsec2.NewCfnVPCGatewayAttachment(s.cdk, s.hostID("gateway-attached"),
		&awsec2.CfnVPCGatewayAttachmentProps{VpcId: vpc.Ref(), InternetGatewayId: gateway.Ref()})
	routes := awsec2.NewCfnRouteTable(s.cdk, s.hostID("routes"),
		&awsec2.CfnRouteTableProps{VpcId: vpc.Ref(), Tags: s.named("routes")})
	out := awsec2.NewCfnRoute(s.cdk, s.hostID("route-out"), &awsec2.CfnRouteProps{RouteTableId: routes.Ref(),
		DestinationCidrBlock: jsii.String("0.0.0.0/0"), GatewayId: gateway.Ref()})
	out.AddDependency(attached)
	s.component(topology.Host.Name, vpc, gateway, routes)
	for i, block := range subnets {
		zone := awscdk.Fn_Select(jsii.Number(i), awscdk.Fn_GetAzs(nil))
		subnet := awsec2.NewCfnSubnet(s.cdk, s.hostID(fmt.Sprintf("subnet-%d", i)), &awsec2.CfnSubnetProps{
			VpcId: vpc.Ref(), CidrBlock: &block, AvailabilityZone: zone, Tags: s.named(fmt.Sprintf("subnet-%d", i))})
		association := awsec2.NewCfnSubnetRouteTableAssociation(s.cdk, s.hostID(fmt.Sprintf("subnet-%d-routes", i)),
			&awsec2.CfnSubnetRouteTableAssociationProps{SubnetId: subnet.Ref(), RouteTableId: routes.Ref()})
		association.AddDependency(out)
		s.component(topology.Host.Name, subnet)
		s.host.subnets = append(s.host.subnets, subnet.Ref())
	}
	return vpc.Ref()
}

// named names a part of the network, as the console shows it.
func (s *stack) named(part string) *[]*awscdk.CfnTag {
	return &[]*awscdk.CfnTag{{Key: jsii.String("Name"), Value: jsii.String(s.prefix() + "host-" + part)}}
}

// listenerPort is where the load balancer listens: over TLS alone, if there is a certificate.
func (s *stack) listenerPort() int {
	if s.hostDomain != "" {
		return 443
	}
	return 80
}

// addSecurityGroups lets everybody reach the load balancer, only that and the tasks reach
// tasks, and tasks reach nothing but them and HTTPS: AWS's services, the registry of images,
// and the issuer's keys.
func (s *stack) addSecurityGroups(vpc *string) (balancer *string) {
	group := func(name, about string) awsec2.CfnSecurityGroup {
		g := awsec2.NewCfnSecurityGroup(s.cdk, s.hostID(name), &awsec2.CfnSecurityGroupProps{
			GroupDescription: &about, VpcId: vpc, Tags: s.named(name),
			// Without a rule of its own, a group lets everything out ("AWS::EC2::SecurityGroup").
			SecurityGroupEgress: []any{&awsec2.CfnSecurityGroup_EgressProperty{
				IpProtocol: jsii.String("tcp"), CidrIp: jsii.String("127.0.0.1/32"),
				FromPort: jsii.Number(1), ToPort: jsii.Number(1),
				Description: jsii.String("Nothing but what has a rule of its own")}}})
		s.component(topology.Host.Name, g)
		return g
	}
	from, to := group("balancer-group", "Load balancer of the host"), group("tasks-group", "Tasks of the host")
	s.host.tasksGroup = to.AttrGroupId()
	port := jsii.Number(topology.Fargate.Port)
	in := func(id string, p *awsec2.CfnSecurityGroupIngressProps) {
		p.IpProtocol = jsii.String("tcp")
		awsec2.NewCfnSecurityGroupIngress(s.cdk, s.hostID(id), p)
	}
	out := func(id string, p *awsec2.CfnSecurityGroupEgressProps) {
		p.IpProtocol = jsii.String("tcp")
		awsec2.NewCfnSecurityGroupEgress(s.cdk, s.hostID(id), p)
	}
	open, https := jsii.Number(s.listenerPort()), jsii.Number(443)
	in("from-clients", &awsec2.CfnSecurityGroupIngressProps{GroupId: from.AttrGroupId(), CidrIp: jsii.String("0.0.0.0/0"),
		FromPort: open, ToPort: open, Description: jsii.String("Clients, and functions of the deployment")})
	out("to-tasks", &awsec2.CfnSecurityGroupEgressProps{
		GroupId: from.AttrGroupId(), DestinationSecurityGroupId: to.AttrGroupId(),
		FromPort: port, ToPort: port, Description: jsii.String("Tasks")})
	in("from-balancer", &awsec2.CfnSecurityGroupIngressProps{
		GroupId: to.AttrGroupId(), SourceSecurityGroupId: from.AttrGroupId(),
		FromPort: port, ToPort: port, Description: jsii.String("Load balancer")})
	in("from-tasks", &awsec2.CfnSecurityGroupIngressProps{
		GroupId: to.AttrGroupId(), SourceSecurityGroupId: to.AttrGroupId(),
		FromPort: port, ToPort: port, Description: jsii.String("Posts that one task forwards to another")})
	out("between-tasks", &awsec2.CfnSecurityGroupEgressProps{
		GroupId: to.AttrGroupId(), DestinationSecurityGroupId: to.AttrGroupId(),
		FromPort: port, ToPort: port, Description: jsii.String("Posts that one task forwards to another")})
	out("to-services", &awsec2.CfnSecurityGroupEgressProps{GroupId: to.AttrGroupId(), CidrIp: jsii.String("0.0.0.0/0"),
		FromPort: https, ToPort: https, Description: jsii.String("AWS's services, images, keys of the issuer")})
	return from.AttrGroupId()
}

// tlsPolicy is the one that AWS recommends for 1.2 and 1.3 ("Security policies for your
// Application Load Balancer").
const tlsPolicy = "ELBSecurityPolicy-TLS13-1-2-2021-06"

// addBalancer adds the load balancer.
func (s *stack) addBalancer(vpc, group *string) {
	f := topology.Fargate
	balancer := elb.NewCfnLoadBalancer(s.cdk, s.hostID("balancer"), &elb.CfnLoadBalancerProps{
		Type: jsii.String("application"), Scheme: jsii.String("internet-facing"), IpAddressType: jsii.String("ipv4"),
		Subnets: &s.host.subnets, SecurityGroups: &[]any{group},
		LoadBalancerAttributes: []any{
			balancerAttribute("idle_timeout.timeout_seconds", f.Silent.Seconds()),
			balancerAttribute("routing.http.drop_invalid_header_fields.enabled", true),
			// Who posts to a node has signed this header.
			balancerAttribute("routing.http.preserve_host_header.enabled", true),
			// Nothing may be able to put an address in front of the one that it has seen.
			balancerAttribute("routing.http.xff_header_processing.mode", "append"),
		}})
	targets := elb.NewCfnTargetGroup(s.cdk, s.hostID("targets"), targetGroup(vpc))
	listener := &elb.CfnListenerProps{LoadBalancerArn: balancer.Ref(), Port: jsii.Number(s.listenerPort()),
		Protocol: jsii.String("HTTP"), DefaultActions: []any{&elb.CfnListener_ActionProperty{
			Type: jsii.String("forward"), TargetGroupArn: targets.Ref()}}}
	if s.hostDomain != "" {
		listener.Protocol, listener.SslPolicy = jsii.String("HTTPS"), jsii.String(tlsPolicy)
		listener.Certificates = []any{&elb.CfnListener_CertificateProperty{CertificateArn: &s.hostCertificate}}
		s.output("HostDomainTarget", balancer.AttrDnsName())
	}
	s.host.listener = elb.NewCfnListener(s.cdk, s.hostID("listener"), listener)
	s.component(topology.Host.Name, balancer, targets, s.host.listener.(constructs.IConstruct))
	s.host.address, s.host.targets = balancer.AttrDnsName(), targets.Ref()
	s.host.balancerName, s.host.targetsName = *balancer.AttrLoadBalancerFullName(), *targets.AttrTargetGroupFullName()
}

func balancerAttribute(key string, value any) *elb.CfnLoadBalancer_LoadBalancerAttributeProperty {
	return &elb.CfnLoadBalancer_LoadBalancerAttributeProperty{Key: &key, Value: jsii.String(fmt.Sprint(value))}
}

// targetGroup is that of the tasks. New sockets go to the task with the fewest, so that one
// that is new fills up: a socket is a request that is outstanding while it is open ("Edit target
// group attributes for your Application Load Balancer", "Routing algorithm"; that a WebSocket
// counts as one is a guess). Sessions are not sticky: clients may connect to any task, and
// functions may post to any, which forwards.
func targetGroup(vpc *string) *elb.CfnTargetGroupProps {
	attribute := func(key string, value any) any {
		return &elb.CfnTargetGroup_TargetGroupAttributeProperty{Key: &key, Value: jsii.String(fmt.Sprint(value))}
	}
	return &elb.CfnTargetGroupProps{
		TargetType: jsii.String("ip"), Protocol: jsii.String("HTTP"), ProtocolVersion: jsii.String("HTTP1"),
		Port: jsii.Number(topology.Fargate.Port), VpcId: vpc,
		HealthCheckEnabled: true, HealthCheckPath: jsii.String("/healthz"), HealthCheckProtocol: jsii.String("HTTP"),
		HealthCheckIntervalSeconds: jsii.Number(10), HealthCheckTimeoutSeconds: jsii.Number(5),
		HealthyThresholdCount: jsii.Number(2), UnhealthyThresholdCount: jsii.Number(3),
		Matcher: &elb.CfnTargetGroup_MatcherProperty{HttpCode: jsii.String("200")},
		TargetGroupAttributes: []any{
			attribute("deregistration_delay.timeout_seconds", topology.Fargate.Leave.Seconds()),
			attribute("load_balancing.algorithm.type", "least_outstanding_requests"),
			attribute("stickiness.enabled", false),
		},
	}
}
