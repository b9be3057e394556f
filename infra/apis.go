package main

import (
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// executeAPI returns the address of an API: by id and region, or by path in an emulator.
func (s *stack) executeAPI(scheme, id string) string {
	if s.local != "" {
		return scheme + s.local[len("https"):] + "/_aws/execute-api/" + id
	}
	return scheme + "://" + id + ".execute-api." + *s.cdk.Region() + "." + *s.cdk.UrlSuffix()
}

// addSocketAPI adds the WebSocket API without its routes.
func (s *stack) addSocketAPI() awsapigatewayv2.WebSocketApi {
	api := awsapigatewayv2.NewWebSocketApi(s.cdk, jsii.String("sockets"), &awsapigatewayv2.WebSocketApiProps{
		ApiName: jsii.String(s.prefix() + "sockets"), Description: jsii.String("graphql-transport-ws"),
		// Every message goes to $default, as no other route exists.
		RouteSelectionExpression: jsii.String("$request.body.type"),
	})
	s.socketAPI = *api.ApiId()
	deployed := s.addStage("sockets-stage", s.socketAPI, topology.SocketStage, topology.SocketRate, topology.SocketBurst)
	s.addDomain("sockets-domain", s.wsDomain, s.socketAPI, deployed)
	s.output(topology.OutputWSURL, jsii.String(s.webSocketURL()))
	return api
}

// webSocketURL is where clients open sockets.
func (s *stack) webSocketURL() string {
	if s.wsDomain != "" {
		return "wss://" + s.wsDomain
	}
	return s.executeAPI("wss", s.socketAPI) + "/" + topology.SocketStage
}

// addRoutes connects the routes to their functions. There are no route responses, so
// a function's answer does not reach the client.
func (s *stack) addRoutes(api awsapigatewayv2.WebSocketApi) {
	for _, key := range slices.Sorted(maps.Keys(topology.Routes)) {
		f := topology.Routes[key]
		integration := awsapigatewayv2integrations.NewWebSocketLambdaIntegration(
			jsii.String("to-"+f.Name), s.functions[f.Name], nil)
		api.AddRoute(&key, &awsapigatewayv2.WebSocketRouteOptions{Integration: integration})
	}
}

// addHTTPAPI adds GraphQL over HTTP and the pages. The function answers preflights itself:
// API Gateway's own CORS would differ from the local cloud.
func (s *stack) addHTTPAPI() {
	api := awsapigatewayv2.NewHttpApi(s.cdk, jsii.String("http"), &awsapigatewayv2.HttpApiProps{
		ApiName: jsii.String(s.prefix() + "http"), Description: jsii.String("GraphQL over HTTP"),
		CreateDefaultStage: jsii.Bool(false),
	})
	integration := awsapigatewayv2integrations.NewHttpLambdaIntegration(
		jsii.String("to-"+topology.GraphQL.Name), s.functions[topology.GraphQL.Name], nil)
	for _, path := range s.app.HTTPRoutes() {
		api.AddRoutes(&awsapigatewayv2.AddRoutesOptions{Path: &path, Integration: integration,
			Methods: &[]awsapigatewayv2.HttpMethod{topology.AnyMethod}})
	}
	deployed := s.addStage("http-stage", *api.ApiId(), topology.HTTPStage, topology.HTTPRate, topology.HTTPBurst)
	s.addDomain("http-domain", s.httpDomain, *api.ApiId(), deployed)
	url := s.executeAPI("https", *api.ApiId())
	if s.httpDomain != "" {
		url = "https://" + s.httpDomain
	}
	s.output(topology.OutputHTTPURL, jsii.String(url+topology.GraphQLPath))
}

// addStage adds a stage that redeploys on every change of its API.
func (s *stack) addStage(id, api, name string, rate, burst int) awsapigatewayv2.CfnStage {
	props := &awsapigatewayv2.CfnStageProps{
		ApiId: &api, StageName: &name, AutoDeploy: true,
		DefaultRouteSettings: &awsapigatewayv2.CfnStage_RouteSettingsProperty{
			ThrottlingRateLimit: jsii.Number(rate), ThrottlingBurstLimit: jsii.Number(burst)},
	}
	if s.accessLogs {
		props.AccessLogSettings = s.accessLog(id)
	}
	deployed := awsapigatewayv2.NewCfnStage(s.cdk, &id, props)
	if s.accessLogs {
		deployed.Node().AddDependency(s.loggingAccount())
	}
	return deployed
}

// accessFormat has no path and no query: a client may have put a token there.
const accessFormat = `{"requestId":"$context.requestId","time":"$context.requestTime","route":"$context.routeKey",` +
	`"connectionId":"$context.connectionId","status":"$context.status","error":"$context.error.message",` +
	`"integrationError":"$context.integrationErrorMessage"}`

// accessLog adds the log group of a stage. The group gets a generated name. The role
// that API Gateway logs with may create groups, so late lines could recreate a
// deleted group, and a fixed name would then be taken at the next deployment. Whether
// they do is a guess. A function's role may not create its group.
func (s *stack) accessLog(id string) *awsapigatewayv2.CfnStage_AccessLogSettingsProperty {
	logs := awslogs.NewLogGroup(s.cdk, jsii.String("access-logs-"+id), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays(s.retention()),
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	return &awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
		DestinationArn: logs.LogGroupArn(), Format: jsii.String(accessFormat)}
}

// loggingAccount gives API Gateway the role that WebSocket access logs need. There is
// one per account and region, and the last deployment sets it. All APIs log through
// it, so the setting outlives the stack, and so must the role that it names: without
// the role it would be useless ("AWS::ApiGateway::Account").
func (s *stack) loggingAccount() constructs.IDependable {
	const id = "logging-account"
	if made := s.cdk.Node().TryFindChild(jsii.String(id)); made != nil {
		return made
	}
	role := awsiam.NewRole(s.cdk, jsii.String("role-logging"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("apigateway.amazonaws.com"), nil),
		ManagedPolicies: &[]awsiam.IManagedPolicy{awsiam.ManagedPolicy_FromAwsManagedPolicyName(
			jsii.String("service-role/AmazonAPIGatewayPushToCloudWatchLogs"))},
	})
	role.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN)
	account := awsapigateway.NewCfnAccount(s.cdk, jsii.String(id),
		&awsapigateway.CfnAccountProps{CloudWatchRoleArn: role.RoleArn()})
	account.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN, nil)
	return account
}

// addDomain maps a custom domain, unless it is "", to the stage, and outputs the
// target for its CNAME record. Posts to clients keep the API's own address.
func (s *stack) addDomain(id, name, api string, deployed awsapigatewayv2.CfnStage) {
	if name == "" {
		return
	}
	d := awsapigatewayv2.NewCfnDomainName(s.cdk, &id, &awsapigatewayv2.CfnDomainNameProps{
		DomainName: &name,
		DomainNameConfigurations: []any{&awsapigatewayv2.CfnDomainName_DomainNameConfigurationProperty{
			CertificateArn: &s.certificate, EndpointType: jsii.String("REGIONAL"), SecurityPolicy: jsii.String("TLS_1_2")}},
	})
	mapping := awsapigatewayv2.NewCfnApiMapping(s.cdk, jsii.String(id+"-mapping"), &awsapigatewayv2.CfnApiMappingProps{
		ApiId: &api, DomainName: d.Ref(), Stage: deployed.StageName()})
	mapping.AddDependency(deployed)
	s.output(map[string]string{"sockets-domain": "WsDomainTarget", "http-domain": "HttpDomainTarget"}[id],
		d.AttrRegionalDomainName())
}
