package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"subwire/shared/topology"
)

// versions returns the logical ids of the functions' versions, by function.
func versions(tmpl template) map[string]string {
	found := map[string]string{}
	for id, p := range tmpl.all("AWS::Lambda::Version") {
		found[strings.Trim(tmpl.text(p["FunctionName"]), "<>")] = id
	}
	return found
}

func TestEachFunctionHasALiveVersion(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, shopDev, open} {
		published := versions(tmpl)
		for _, p := range tmpl.all("AWS::Lambda::Alias") {
			name := strings.Trim(tmpl.text(p["FunctionName"]), "<>")
			check(t, name+" alias", p["Name"], topology.LiveAlias)
			check(t, name+" version", tmpl.text(p["FunctionVersion"]), "<Version of "+published[name]+">")
			delete(published, name)
		}
		if len(published) > 0 {
			t.Errorf("no alias has versions %v", published)
		}
	}
}

// Lambda publishes no version if nothing has changed that a version keeps, and then the
// deployment would fail ("PublishVersion").
func TestAVersionIsPublishedIfSomethingChangedAndOnlyThen(t *testing.T) {
	t.Parallel()
	old := versions(dev)
	if got := versions(again); !maps.Equal(got, old) {
		t.Errorf("a tag, concurrency and retention publish %v instead of %v", got, old)
	}
	checksTokens := "subwire-dev-" + topology.Message.Name
	if versions(guarded)[checksTokens] == old[checksTokens] {
		t.Errorf("other settings publish no version of %s", checksTokens)
	}
}

// What a deployment that failed has published must go, or Lambda would publish nothing at
// the next try; what is out of use stays, for going back.
func TestOldVersionsAreKept(t *testing.T) {
	t.Parallel()
	for id, r := range everySwitch.Resources {
		if r.Type == "AWS::Lambda::Version" && (r.DeletionPolicy != "RetainExceptOnCreate" || r.UpdateReplacePolicy != "Retain") {
			t.Errorf("%s: %s, %s", id, r.DeletionPolicy, r.UpdateReplacePolicy)
		}
	}
}

// Only aliases are invoked: a permission for the function would not be one for them
// ("Using Lambda aliases in event sources and permissions policies").
func TestOnlyAliasesMayBeInvoked(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, shopDev, open} {
		for id, p := range tmpl.all("AWS::Lambda::Permission") {
			if name := tmpl.text(p["FunctionName"]); !strings.HasSuffix(name, ":"+topology.LiveAlias+">") {
				t.Errorf("%s lets %s be invoked", id, name)
			}
		}
		for id, r := range tmpl.Resources {
			if r.Type != "AWS::ApiGatewayV2::Integration" || r.Properties["IntegrationType"] == "MOCK" {
				continue
			}
			api := r.Properties["ApiId"].(object)["Ref"]
			for permission, p := range tmpl.all("AWS::Lambda::Permission") {
				ours := strings.Contains(tmpl.text(p["SourceArn"]), tmpl.text(object{"Ref": api}))
				if ours && !slices.Contains(r.DependsOn, any(permission)) {
					t.Errorf("%s may be there before %s", id, permission)
				}
			}
		}
	}
}

func TestACanaryIsTakenBackByItsFunctionsAlarms(t *testing.T) {
	t.Parallel()
	groups := everySwitch.all("AWS::CodeDeploy::DeploymentGroup")
	if functions := everySwitch.app.Functions(); len(groups) != len(functions) {
		t.Errorf("%d groups for %d functions", len(groups), len(functions))
	}
	for _, p := range groups {
		name := p["DeploymentGroupName"].(string)
		var alarms []string
		for _, a := range p["AlarmConfiguration"].(object)["Alarms"].([]any) {
			id := a.(object)["Name"].(object)["Ref"].(string)
			alarms = append(alarms, everySwitch.Resources[id].Properties["AlarmName"].(string))
		}
		check(t, name+" alarms", p["AlarmConfiguration"].(object)["Enabled"], true)
		if want := []string{"subwire-prod-" + name + "-errors", "subwire-prod-" + name + "-throttles"}; !slices.Equal(alarms, want) {
			t.Errorf("%s is taken back by %v, want %v", name, alarms, want)
		}
		check(t, name+" rolls back", p["AutoRollbackConfiguration"], object{"Enabled": true,
			"Events": []string{"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"}})
		check(t, name+" shifts", p["DeploymentConfigName"], "CodeDeployDefault.LambdaCanary10Percent10Minutes")
		check(t, name+" style", p["DeploymentStyle"], object{"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"})
	}
	for id, r := range everySwitch.Resources {
		if r.Type != "AWS::Lambda::Alias" {
			continue
		}
		policy, _ := r.UpdatePolicy["CodeDeployLambdaAliasUpdate"].(object)
		group, _ := policy["DeploymentGroupName"].(object)["Ref"].(string)
		if function := groups[group]["DeploymentGroupName"]; function == nil || everySwitch.name(id) != "subwire-prod-"+function.(string)+":live" {
			t.Errorf("%s is shifted by the group of %v", everySwitch.name(id), function)
		}
	}
}

// The alarms must be able to fire while a tenth of the traffic is shifted.
func TestAlarmsAreFasterThanACanary(t *testing.T) {
	t.Parallel()
	const leastMinutes = 10 // the least of shifts
	for _, a := range everySwitch.app.Alarms(1000) {
		if a.Of.Function != "" && a.Minutes > leastMinutes/2 {
			t.Errorf("%s looks at %d minutes", a.Name, a.Minutes)
		}
	}
}

func TestWhoShiftsMayDoNothingElse(t *testing.T) {
	t.Parallel()
	for id, p := range everySwitch.all("AWS::CodeDeploy::DeploymentGroup") {
		arn := everySwitch.text(p["ServiceRoleArn"])
		role := everySwitch.Resources[strings.TrimSuffix(strings.TrimPrefix(arn, "<Arn of "), ">")].Properties
		want := []string{"cloudwatch:DescribeAlarms on *"}
		for _, f := range everySwitch.app.Functions() {
			for _, action := range []string{"GetAlias", "GetProvisionedConcurrencyConfig", "UpdateAlias"} {
				want = append(want, "lambda:"+action+" on arn:Partition:lambda:Region:AccountId:function:subwire-prod-"+f.Name+"*")
			}
		}
		slices.Sort(want)
		if got := granted(t, everySwitch, role); !slices.Equal(got, want) {
			t.Errorf("%s may %v", id, got)
		}
	}
}

func TestOnlyAProductionWithAlarmsHasACanaryUnasked(t *testing.T) {
	t.Parallel()
	production := map[string]string{"env": topology.Production, "public": "true", "alarms": "ops@example.com"}
	for _, tc := range []struct {
		change map[string]string
		want   string
	}{
		{nil, "Canary10Percent10Minutes"},
		{map[string]string{"alarms": "off"}, ""},
		{map[string]string{"shift": "off"}, ""},
		{map[string]string{"shift": "Linear10PercentEvery1Minute"}, "Linear10PercentEvery1Minute"},
		{map[string]string{"env": "dev"}, ""},
		{map[string]string{"env": "live", "production": "true"}, "Canary10Percent10Minutes"},
	} {
		context := maps.Clone(production)
		maps.Copy(context, tc.change)
		if o, err := parse(context); err != nil || o.shift != tc.want {
			t.Errorf("%v: %q, %v, want %q", tc.change, o.shift, err, tc.want)
		}
	}
	if len(dev.all("AWS::CodeDeploy::Application"))+len(alarmed.all("AWS::CodeDeploy::Application")) > 0 {
		t.Error("a development shifts")
	}
}
