package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscodedeploy"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// recognizeVersionProps makes the CDK publish a version only if something changed that a
// version keeps. A tag or the reserved concurrency is none: Lambda would publish nothing,
// and the deployment would fail.
const recognizeVersionProps = "@aws-cdk/aws-lambda:recognizeVersionProps"

// alias makes the function's current version live.
func (s *stack) alias(f topology.Function, function awslambda.Function) awslambda.Alias {
	return awslambda.NewAlias(s.cdk, jsii.String("live-"+f.Name), &awslambda.AliasProps{
		AliasName: jsii.String(topology.LiveAlias), Version: function.CurrentVersion()})
}

// addShift lets CodeDeploy make new versions live by and by, and take them back as soon
// as the function fails or is throttled, or its deployment is stopped. CloudFormation then
// takes back everything else.
//
// It shifts all functions, those with event source mappings, too. No page says that an
// alias's weights do anything else there: "Lambda uses a simple probabilistic model to
// distribute the traffic" ("Implement Lambda canary deployments using a weighted alias"),
// so batches of one shard or group may go to either version. The harsher reading is that
// each does. It keeps the order, as a shard and a group have one batch in progress,
// whichever version has it, and what one release writes the other reads (fanout/batch.go).
// A batch that the new version cannot handle comes again, and nine times of ten the old
// one has it.
func (s *stack) addShift() {
	if s.shift == "" {
		return
	}
	application := awscodedeploy.NewCfnApplication(s.cdk, jsii.String("releases"), &awscodedeploy.CfnApplicationProps{
		ApplicationName: jsii.String(s.app.Stack(s.env)), ComputePlatform: jsii.String("Lambda")})
	role := s.shiftingRole()
	for _, f := range s.app.Functions() {
		id := jsii.String("releases-" + f.Name)
		group := awscodedeploy.NewCfnDeploymentGroup(s.cdk, id, &awscodedeploy.CfnDeploymentGroupProps{
			ApplicationName:      application.Ref(),
			DeploymentGroupName:  &f.Name,
			ServiceRoleArn:       role.RoleArn(),
			DeploymentConfigName: jsii.String("CodeDeployDefault.Lambda" + s.shift),
			DeploymentStyle: &awscodedeploy.CfnDeploymentGroup_DeploymentStyleProperty{
				DeploymentType: jsii.String("BLUE_GREEN"), DeploymentOption: jsii.String("WITH_TRAFFIC_CONTROL")},
			AlarmConfiguration: &awscodedeploy.CfnDeploymentGroup_AlarmConfigurationProperty{
				Enabled: true, Alarms: s.alarmsOf(f)},
			AutoRollbackConfiguration: &awscodedeploy.CfnDeploymentGroup_AutoRollbackConfigurationProperty{
				Enabled: true,
				Events:  jsii.Strings("DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST")},
		})
		alias := s.live[f.Name].Node().DefaultChild().(awslambda.CfnAlias)
		alias.CfnOptions().SetUpdatePolicy(&awscdk.CfnUpdatePolicy{
			CodeDeployLambdaAliasUpdate: &awscdk.CfnCodeDeployLambdaAliasUpdate{
				ApplicationName: application.Ref(), DeploymentGroupName: group.Ref()}})
		s.component(f.Name, group)
	}
}

// alarmsOf are the alarms that take a version of the function back. Lateness does not: it
// may be from before.
func (s *stack) alarmsOf(f topology.Function) []any {
	var all []any
	for _, a := range s.app.Alarms(s.accountConcurrency) {
		if a.Of.Function == f.Name && (a.Metric == "Errors" || a.Metric == "Throttles") {
			alarm := s.cdk.Node().FindChild(jsii.String("alarm-" + a.Name)).(awscdk.CfnResource)
			all = append(all, &awscodedeploy.CfnDeploymentGroup_AlarmProperty{Name: alarm.Ref()})
		}
	}
	return all
}

// shiftingRole lets CodeDeploy change our aliases and look at alarms, and nothing else of
// what its managed policy for Lambda allows ("AWSCodeDeployRoleForLambdaLimited"): we have
// neither hooks nor triggers.
func (s *stack) shiftingRole() awsiam.Role {
	statements := []awsiam.PolicyStatement{allow(jsii.String("*"), "cloudwatch:DescribeAlarms")}
	for _, f := range s.app.Functions() {
		// The alias may be meant by the function's name or by its own.
		statements = append(statements, allow(s.arn("lambda", "function:"+s.prefix()+f.Name+"*"),
			"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"))
	}
	codeDeploy := awsiam.NewServicePrincipal(jsii.String("codedeploy.amazonaws.com"), nil)
	return s.roleOf("role-releases", codeDeploy, statements)
}
