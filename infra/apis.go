package main

import (
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2authorizers"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
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

// addSocketAPI adds the WebSocket API without the routes of functions.
func (s *stack) addSocketAPI() awsapigatewayv2.WebSocketApi {
	api := awsapigatewayv2.NewWebSocketApi(s.cdk, jsii.String("sockets"), &awsapigatewayv2.WebSocketApiProps{
		ApiName: jsii.String(s.prefix() + "sockets"), Description: jsii.String("graphql-transport-ws"),
		RouteSelectionExpression: jsii.String(topology.RouteSelection),
	})
	s.component("sockets", api)
	s.socketAPI = *api.ApiId()
	deployed := s.addStage("sockets", s.socketAPI, topology.SocketStage, topology.SocketRate, topology.SocketBurst)
	s.addMocks(deployed)
	s.addDomain("sockets", s.wsDomain, s.socketAPI, deployed)
	s.output(topology.OutputWSURL, jsii.String(s.webSocketURL()))
	if s.clients == atHost {
		s.output(topology.OutputAPISocket, jsii.String(s.apiSocketURL()))
	}
	return api
}

// webSocketURL is where clients open sockets.
func (s *stack) webSocketURL() string {
	if s.clients == atHost {
		return s.hostSocketURL()
	}
	return s.apiSocketURL()
}

// apiSocketURL is that of the WebSocket API.
func (s *stack) apiSocketURL() string {
	if s.wsDomain != "" {
		return "wss://" + s.wsDomain
	}
	return s.executeAPI("wss", s.socketAPI) + "/" + topology.SocketStage
}

// addMocks adds the routes that the gateway handles itself, and their throttles.
//
// The template of the request says the status, which a mock needs ("Set up a WebSocket
// API integration request in API Gateway"); that of the integration response is what the
// client gets, if the route has a route response. Templates with the key $default are for
// any content type ("WebSocket selection expressions"). Integrations other than proxies
// must have an integration response ("Set up a WebSocket API integration response"): that
// one without a template is enough for a route that answers nothing is a guess.
func (s *stack) addMocks(deployed awsapigatewayv2.CfnStage) {
	if s.local != "" {
		return // the emulator makes no route responses from a template, so $default has these messages
	}
	const chosen = `\$default` // the key $default, not a variable
	throttles := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(topology.Mocks)) {
		mock, id := topology.Mocks[key], "mock-"+key
		integration := awsapigatewayv2.NewCfnIntegration(s.cdk, &id, &awsapigatewayv2.CfnIntegrationProps{
			ApiId: &s.socketAPI, IntegrationType: jsii.String("MOCK"), PassthroughBehavior: jsii.String("WHEN_NO_MATCH"),
			RequestTemplates:            map[string]string{"$default": `{"statusCode":200}`},
			TemplateSelectionExpression: jsii.String(chosen),
		})
		answer := &awsapigatewayv2.CfnIntegrationResponseProps{ApiId: &s.socketAPI, IntegrationId: integration.Ref(),
			IntegrationResponseKey: jsii.String("$default")}
		route := &awsapigatewayv2.CfnRouteProps{ApiId: &s.socketAPI, RouteKey: &key, AuthorizationType: jsii.String("NONE"),
			Target: jsii.String("integrations/" + *integration.Ref())}
		if mock.Answer != "" {
			answer.ResponseTemplates = map[string]string{"$default": mock.Answer}
			answer.TemplateSelectionExpression = jsii.String(chosen)
			route.RouteResponseSelectionExpression = jsii.String("$default")
		}
		response := awsapigatewayv2.NewCfnIntegrationResponse(s.cdk, jsii.String(id+"-answer"), answer)
		added := awsapigatewayv2.NewCfnRoute(s.cdk, jsii.String(id+"-route"), route)
		added.AddDependency(response)
		deployed.AddDependency(added) // a stage cannot throttle a route that is not there
		if mock.Answer != "" {
			twoWay := awsapigatewayv2.NewCfnRouteResponse(s.cdk, jsii.String(id+"-response"),
				&awsapigatewayv2.CfnRouteResponseProps{
					ApiId: &s.socketAPI, RouteId: added.Ref(), RouteResponseKey: jsii.String("$default")})
			deployed.AddDependency(twoWay)
		}
		throttles[key] = map[string]any{"ThrottlingRateLimit": mock.Rate, "ThrottlingBurstLimit": mock.Burst}
	}
	deployed.SetRouteSettings(throttles)
}

// addRoutes connects the other routes to their functions. They have no route responses, so
// a function's answer does not reach the client.
func (s *stack) addRoutes(api awsapigatewayv2.WebSocketApi) {
	for _, key := range slices.Sorted(maps.Keys(topology.Routes)) {
		f := topology.Routes[key]
		integration := awsapigatewayv2integrations.NewWebSocketLambdaIntegration(
			jsii.String("to-"+f.Name), s.live[f.Name], nil)
		api.AddRoute(&key, &awsapigatewayv2.WebSocketRouteOptions{Integration: integration})
	}
	permitFirst(api)
}

// permitFirst lets the API invoke what its integrations name before they name it: a
// deployment that gives it other functions, or aliases of them, would else be refused by
// Lambda for a moment.
func permitFirst(api constructs.IConstruct) {
	var permissions []constructs.IDependable
	all := *api.Node().FindAll(constructs.ConstructOrder_PREORDER)
	for _, part := range all {
		if permission, ok := part.(awslambda.CfnPermission); ok {
			permissions = append(permissions, permission)
		}
	}
	for _, part := range all {
		if integration, ok := part.(awsapigatewayv2.CfnIntegration); ok {
			integration.Node().AddDependency(permissions...)
		}
	}
}

// addHTTPAPI adds GraphQL over HTTP and the pages. The function answers preflights itself:
// API Gateway's own CORS would differ from the local cloud.
func (s *stack) addHTTPAPI() {
	api := awsapigatewayv2.NewHttpApi(s.cdk, jsii.String("http"), &awsapigatewayv2.HttpApiProps{
		ApiName: jsii.String(s.prefix() + "http"), Description: jsii.String("GraphQL over HTTP"),
		CreateDefaultStage: jsii.Bool(false),
	})
	s.component("http", api)
	s.httpAPI = *api.ApiId()
	integrations := map[string]awsapigatewayv2.HttpRouteIntegration{}
	for _, r := range s.app.HTTPRoutes() {
		to, made := integrations[r.Function.Name]
		if !made {
			to = awsapigatewayv2integrations.NewHttpLambdaIntegration(
				jsii.String("to-"+r.Function.Name), s.live[r.Function.Name], nil)
			integrations[r.Function.Name] = to
		}
		route := &awsapigatewayv2.AddRoutesOptions{Path: &r.Path, Integration: to,
			Methods: &[]awsapigatewayv2.HttpMethod{awsapigatewayv2.HttpMethod(r.Method)}}
		if r.IAM {
			route.Authorizer = awsapigatewayv2authorizers.NewHttpIamAuthorizer()
		}
		api.AddRoutes(route)
	}
	permitFirst(api)
	deployed := s.addStage("http", s.httpAPI, topology.HTTPStage, topology.HTTPRate, topology.HTTPBurst)
	s.addDomain("http", s.httpDomain, s.httpAPI, deployed)
	s.output(topology.OutputHTTPURL, jsii.String(s.httpURL()+topology.GraphQLPath))
	if s.app.Inputs {
		s.output(topology.OutputEventsURL, jsii.String(s.httpURL()+topology.EventsRoute.Path))
	}
}

// httpURL is where the HTTP API is.
func (s *stack) httpURL() string {
	if s.httpDomain != "" {
		return "https://" + s.httpDomain
	}
	return s.executeAPI("https", s.httpAPI)
}

// addStage adds a stage that redeploys on every change of its API.
func (s *stack) addStage(component, api, name string, rate, burst int) awsapigatewayv2.CfnStage {
	id := component + "-stage"
	props := &awsapigatewayv2.CfnStageProps{
		ApiId: &api, StageName: &name, AutoDeploy: true,
		DefaultRouteSettings: &awsapigatewayv2.CfnStage_RouteSettingsProperty{
			ThrottlingRateLimit: jsii.Number(rate), ThrottlingBurstLimit: jsii.Number(burst)},
	}
	if s.accessLogs {
		props.AccessLogSettings = s.accessLog(component)
	}
	deployed := awsapigatewayv2.NewCfnStage(s.cdk, &id, props)
	s.component(component, deployed)
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
func (s *stack) accessLog(component string) *awsapigatewayv2.CfnStage_AccessLogSettingsProperty {
	logs := awslogs.NewLogGroup(s.cdk, jsii.String("access-logs-"+component+"-stage"), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays(s.retention()),
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	s.component(component, logs)
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
func (s *stack) addDomain(component, name, api string, deployed awsapigatewayv2.CfnStage) {
	if name == "" {
		return
	}
	id := component + "-domain"
	d := awsapigatewayv2.NewCfnDomainName(s.cdk, &id, &awsapigatewayv2.CfnDomainNameProps{
		DomainName: &name,
		DomainNameConfigurations: []any{&awsapigatewayv2.CfnDomainName_DomainNameConfigurationProperty{
			CertificateArn: &s.certificate, EndpointType: jsii.String("REGIONAL"), SecurityPolicy: jsii.String("TLS_1_2")}},
	})
	mapping := awsapigatewayv2.NewCfnApiMapping(s.cdk, jsii.String(id+"-mapping"), &awsapigatewayv2.CfnApiMappingProps{
		ApiId: &api, DomainName: d.Ref(), Stage: deployed.StageName()})
	mapping.AddDependency(deployed)
	s.component(component, d)
	s.output(map[string]string{"sockets": "WsDomainTarget", "http": "HttpDomainTarget"}[component],
		d.AttrRegionalDomainName())
}
