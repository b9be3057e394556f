package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/products"
	"subwire/shared/topology"
)

// addCanary adds the canary and the rule that invokes it, after the APIs whose URLs it gets.
func (s *stack) addCanary() {
	if s.app.CanaryEvery == 0 {
		return
	}
	s.addFunction(topology.Canary)
	function, live := s.functions[topology.Canary.Name], s.live[topology.Canary.Name]
	// A failed try is not tried again, and a late one left out: the next is on its way.
	awslambda.NewCfnEventInvokeConfig(s.cdk, jsii.String("canary-tries"), &awslambda.CfnEventInvokeConfigProps{
		FunctionName: function.FunctionName(), Qualifier: live.AliasName(),
		MaximumRetryAttempts: jsii.Number(0), MaximumEventAgeInSeconds: jsii.Number(60)})
	name := s.prefix() + topology.Canary.Name
	awslambda.NewCfnPermission(s.cdk, jsii.String("canary-invoked"), &awslambda.CfnPermissionProps{
		Action: jsii.String("lambda:InvokeFunction"), FunctionName: live.FunctionArn(),
		Principal: jsii.String("events.amazonaws.com"), SourceArn: s.arn("events", "rule/"+name)})
	rule := awsevents.NewCfnRule(s.cdk, jsii.String("canary-rule"), &awsevents.CfnRuleProps{
		Name: &name, Description: jsii.String("Tries the deployment"),
		ScheduleExpression: jsii.String(rate(s.app.CanaryEvery)),
		Targets:            []any{&awsevents.CfnRule_TargetProperty{Id: jsii.String("canary"), Arn: live.FunctionArn()}}})
	s.component(topology.Canary.Name, rule)
	s.output(topology.OutputCanary, jsii.String(strconv.Itoa(int(s.app.CanaryEvery.Minutes()))))
}

// rate is the schedule of a rule ("Rate expressions reference"): a minute is singular. A
// schedule of EventBridge Scheduler would need a role of its own.
func rate(every time.Duration) string {
	unit := "minutes"
	if every == time.Minute {
		unit = "minute"
	}
	return fmt.Sprintf("rate(%d %s)", int(every.Minutes()), unit)
}

// checkCanary refuses a canary that could only fail.
func (o options) checkCanary() error {
	token, jwt := topology.CanaryToken.In(o.values), topology.Auth.In(o.values) == topology.JWT
	if o.app.CanaryEvery == 0 {
		return nil
	}
	app, err := products.App(o.app.Name)
	switch {
	case err != nil:
		return err
	case app.Canary.Post == "":
		return fmt.Errorf("-c canaryEvery: product %s has no canary (App.Canary)", o.app.Name)
	case jwt && token == "":
		return errors.New("-c canaryEvery: with AUTH=jwt the canary needs a token: set CANARY_TOKEN=ssm:NAME" +
			" to a parameter with one" + claimsOf(app.Canary.Claims))
	case token != "" && !strings.HasPrefix(token, topology.ParameterPrefix):
		return errors.New("CANARY_TOKEN must be ssm:NAME of a parameter: a function's settings are no place for a token")
	case topology.EdgeSecret.In(o.values).On():
		return errors.New("-c canaryEvery: the canary does not come through CloudFront, and with EDGE_SECRET_SHA256" +
			" nobody else is answered")
	}
	return nil
}

// trustsCanary reports whether the canary's documents, if there is one, are in the file.
func (o options) trustsCanary(path string) bool {
	app, err := products.App(o.app.Name)
	if o.app.CanaryEvery == 0 || err != nil {
		return err == nil
	}
	raw, err := os.ReadFile(path)
	documents := map[string]string{}
	if err != nil || json.Unmarshal(raw, &documents) != nil {
		return false
	}
	known := slices.Collect(maps.Values(documents))
	return slices.Contains(known, app.Canary.Subscribe) && slices.Contains(known, app.Canary.Post)
}

func claimsOf(claims []string) string {
	if claims == nil {
		return ""
	}
	return ", with the claims " + strings.Join(claims, ", ")
}
