package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"subwire/shared/topology"
)

const hostCertificate = "arn:aws:acm:eu-west-1:123456789012:certificate/2"

// only returns the one resource of a type.
func (t template) only(test *testing.T, kind string) object {
	test.Helper()
	all := slices.Collect(maps.Values(t.all(kind)))
	if len(all) != 1 {
		test.Fatalf("there are %d of %s", len(all), kind)
	}
	return all[0]
}

func TestWithoutAHostThereIsNoneOfIt(t *testing.T) {
	t.Parallel()
	for id, r := range dev.Resources {
		for _, of := range []string{"AWS::ECS::", "AWS::EC2::", "AWS::ElasticLoadBalancingV2::", "AWS::SecretsManager::", "AWS::ApplicationAutoScaling::"} {
			if strings.HasPrefix(r.Type, of) {
				t.Errorf("%s is %s", id, r.Type)
			}
		}
	}
}

// What clients and functions need to know.
func TestWhereTheHostIs(t *testing.T) {
	t.Parallel()
	plain := "<DNSName of hostbalancer>"
	for _, tt := range []struct {
		tmpl                template
		prefix, url, socket string
		clients             string
	}{
		{hosted, "subwire-dev-", "http://" + plain, "ws://" + plain + "/graphql", ""},
		{hostedProd, "subwire-prod-", "https://sockets.a.example", "wss://sockets.a.example/graphql", "wss://sockets.a.example/graphql"},
	} {
		check(t, "output", tt.tmpl.text(tt.tmpl.Outputs[topology.OutputHostURL]["Value"]), tt.socket)
		if got := tt.tmpl.text(tt.tmpl.Outputs[topology.OutputWSURL]["Value"]); tt.clients != "" && got != tt.clients {
			t.Errorf("clients open sockets at %s", got)
		} else if tt.clients == "" && !strings.Contains(got, "execute-api") {
			t.Errorf("clients open sockets at %s, and were not moved", got)
		}
		if api := tt.tmpl.Outputs[topology.OutputAPISocket]; (api != nil) != (tt.clients != "") || api != nil &&
			tt.tmpl.text(api["Value"]) != "wss://<"+tt.prefix+"sockets>.execute-api.Region.URLSuffix/live" {
			t.Errorf("API Gateway's sockets are at %s", tt.tmpl.text(api["Value"]))
		}
		for _, p := range tt.tmpl.all("AWS::Lambda::Function") {
			name := strings.TrimPrefix(fmt.Sprint(p["FunctionName"]), tt.prefix)
			env := p["Environment"].(object)["Variables"].(object)
			url, key := tt.tmpl.text(env[topology.HostURL.Env]), env[topology.HostKey.Env]
			if slices.Contains(topology.HostURL.ReadBy(), name) {
				check(t, name+" reaches", url, tt.url)
				check(t, name+" signs with", key, "ssm:/aws/reference/secretsmanager/"+tt.prefix+"host-key")
			} else if key != nil {
				t.Errorf("%s is given the key", name)
			}
		}
	}
}

func TestOnlyWhoPostsMayReadTheKey(t *testing.T) {
	t.Parallel()
	for name, role := range roles(hosted) {
		may := slices.Contains(granted(t, hosted, role),
			"secretsmanager:GetSecretValue on arn:Partition:secretsmanager:Region:AccountId:secret:subwire-dev-host-key-??????")
		if may != slices.Contains(topology.HostURL.ReadBy(), name) {
			t.Errorf("%s may read the key: %v", name, may)
		}
	}
	secret := hosted.only(t, "AWS::SecretsManager::Secret")
	check(t, "name", secret["Name"], "subwire-dev-host-key")
	check(t, "secret", secret["GenerateSecretString"], object{"ExcludePunctuation": true, "PasswordLength": 48})
}

func attributes(list any) object {
	found := object{}
	for _, a := range list.([]any) {
		found[a.(object)["Key"].(string)] = a.(object)["Value"]
	}
	return found
}

func TestTheLoadBalancer(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{hosted, hostedProd} {
		b, g, l := tmpl.only(t, "AWS::ElasticLoadBalancingV2::LoadBalancer"), tmpl.only(t, "AWS::ElasticLoadBalancingV2::TargetGroup"),
			tmpl.only(t, "AWS::ElasticLoadBalancingV2::Listener")
		check(t, "balancer", attributes(b["LoadBalancerAttributes"]), object{"idle_timeout.timeout_seconds": "120",
			"routing.http.drop_invalid_header_fields.enabled": "true",
			"routing.http.preserve_host_header.enabled":       "true", "routing.http.xff_header_processing.mode": "append"})
		check(t, "targets", attributes(g["TargetGroupAttributes"]), object{"deregistration_delay.timeout_seconds": "120",
			"load_balancing.algorithm.type": "least_outstanding_requests", "stickiness.enabled": "false"})
		check(t, "health", object{"path": g["HealthCheckPath"], "type": g["TargetType"], "port": g["Port"], "matcher": g["Matcher"]},
			object{"path": "/healthz", "type": "ip", "port": 4100, "matcher": object{"HttpCode": "200"}})
		if n := len(b["Subnets"].([]any)); n != 2 {
			t.Errorf("it is in %d zones", n)
		}
		want := object{"Port": 80, "Protocol": "HTTP"}
		if tmpl.Outputs["HostDomainTarget"] != nil {
			want = object{"Port": 443, "Protocol": "HTTPS", "SslPolicy": tlsPolicy, "Certificates": []object{{"CertificateArn": hostCertificate}}}
		}
		got := object{}
		for _, key := range []string{"Port", "Protocol", "SslPolicy", "Certificates"} {
			if l[key] != nil {
				got[key] = l[key]
			}
		}
		check(t, "listener", got, want)
	}
}

// The zones are two different ones.
func TestTheNetworkHasTwoZonesAndNoNAT(t *testing.T) {
	t.Parallel()
	zones := map[string]bool{}
	for _, p := range hosted.all("AWS::EC2::Subnet") {
		zones[hosted.text(p["AvailabilityZone"])] = true
	}
	if len(zones) != 2 || len(hosted.all("AWS::EC2::NatGateway")) > 0 {
		t.Errorf("zones %v, %d gateways", zones, len(hosted.all("AWS::EC2::NatGateway")))
	}
}

// Each way in and out, as group, peer and port. What a group itself says lets out nothing.
func TestWhoReachesWhom(t *testing.T) {
	t.Parallel()
	var got []string
	for direction, peer := range map[string]string{"Ingress": "SourceSecurityGroupId", "Egress": "DestinationSecurityGroupId"} {
		for _, p := range hostedProd.all("AWS::EC2::SecurityGroup" + direction) {
			who := hostedProd.text(p[peer])
			if p[peer] == nil {
				who = fmt.Sprint(p["CidrIp"])
			}
			got = append(got, fmt.Sprintf("%s of %s: %s %v-%v", direction, hostedProd.text(p["GroupId"]), who, p["FromPort"], p["ToPort"]))
		}
	}
	slices.Sort(got)
	const tasks, balancer = "<GroupId of hosttasksgroup>", "<GroupId of hostbalancergroup>"
	check(t, "rules", toAny(got), []string{
		"Egress of " + balancer + ": " + tasks + " 4100-4100",
		"Egress of " + tasks + ": 0.0.0.0/0 443-443",
		"Egress of " + tasks + ": " + tasks + " 4100-4100",
		"Ingress of " + balancer + ": 0.0.0.0/0 443-443",
		"Ingress of " + tasks + ": " + balancer + " 4100-4100",
		"Ingress of " + tasks + ": " + tasks + " 4100-4100",
	})
	for id, p := range hostedProd.all("AWS::EC2::SecurityGroup") {
		if p["SecurityGroupIngress"] != nil || len(p["SecurityGroupEgress"].([]any)) != 1 {
			t.Errorf("%s has rules of its own: %v", id, p)
		}
	}
}

func toAny(all []string) (list []any) {
	for _, s := range all {
		list = append(list, s)
	}
	return list
}

// containers are those of the task, by name.
func containers(t *testing.T, tmpl template) (task object, byName map[string]object) {
	t.Helper()
	task, byName = tmpl.only(t, "AWS::ECS::TaskDefinition"), map[string]object{}
	for _, c := range task["ContainerDefinitions"].([]any) {
		byName[c.(object)["Name"].(string)] = c.(object)
	}
	return task, byName
}

func TestTheTask(t *testing.T) {
	t.Parallel()
	for tmpl, arch := range map[*template]string{&hosted: "ARM64", &hostedProd: "X86_64"} {
		task, all := containers(t, *tmpl)
		check(t, "size", []any{task["Cpu"], task["Memory"], task["RuntimePlatform"]},
			[]any{"256", "512", object{"CpuArchitecture": arch, "OperatingSystemFamily": "LINUX"}})
		host := all["host"]
		check(t, "host", object{"readonly": host["ReadonlyRootFilesystem"], "user": host["User"], "limits": host["Ulimits"],
			"linux": host["LinuxParameters"], "stop": host["StopTimeout"], "after": host["DependsOn"], "ports": host["PortMappings"]},
			object{"readonly": true, "user": "65534:65534", "stop": 120,
				"limits": []object{{"Name": "nofile", "SoftLimit": 65535, "HardLimit": 65535}},
				"linux":  object{"Capabilities": object{"Drop": []string{"ALL"}}},
				"after":  []object{{"ContainerName": "fetch", "Condition": "SUCCESS"}},
				"ports":  []object{{"ContainerPort": 4100, "Protocol": "tcp"}}})
		check(t, "volume", host["MountPoints"], []object{{"SourceVolume": "program", "ContainerPath": "/program", "ReadOnly": true}})
		check(t, "fetcher", all["fetch"]["Essential"], false)
		for name, c := range all {
			options := c["LogConfiguration"].(object)["Options"].(object)
			if options["mode"] != "non-blocking" || !strings.Contains(tmpl.text(options["awslogs-group"]), "-host>") {
				t.Errorf("%s logs to %v", name, options)
			}
		}
	}
}

// The words after the script are an address, a path and a hash for each file.
func TestTheTaskRunsWhatWasDeployed(t *testing.T) {
	t.Parallel()
	for tmpl, files := range map[*template]map[string]string{
		&hosted:     {"/program/host": "host"},
		&hostedProd: {"/program/host": "host", "/program/operations.json": "{}"},
	} {
		_, all := containers(t, *tmpl)
		words := all["fetch"]["Command"].([]any)
		check(t, "shell", []any{words[0], words[1], words[2]}, []string{"-c", fetchScript, "fetch"})
		if words = words[3:]; len(words) != 3*len(files) {
			t.Fatalf("it fetches %v", words)
		}
		for file := range slices.Chunk(words, 3) {
			sum := sha256.Sum256([]byte(files[file[1].(string)]))
			if file[2] != hex.EncodeToString(sum[:]) || !strings.HasPrefix(tmpl.text(file[0]), "s3://") {
				t.Errorf("it fetches %v", file)
			}
		}
	}
}

func TestTheHostIsGivenWhatItNeeds(t *testing.T) {
	t.Parallel()
	_, all := containers(t, hosted)
	env := map[string]string{}
	for _, pair := range all["host"]["Environment"].([]any) {
		env[pair.(object)["Name"].(string)] = hosted.text(pair.(object)["Value"])
	}
	for name, want := range map[string]string{"PORT": "4100", "STACK": "subwire-dev",
		"HOST_TARGET_GROUP": "<hosttargets>", "MESSAGES_TABLE": "<subwire-dev-messages>", "RETRIES_QUEUE": "<subwire-dev-retries>",
		"GOMEMLIMIT": "409MiB", "AWS_REGION": "Region"} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	if _, shown := env[topology.HostKey.Env]; shown {
		t.Error("the key is among its settings")
	}
	secrets := all["host"]["Secrets"].([]any)
	if len(secrets) != 1 || secrets[0].(object)["Name"] != topology.HostKey.Env {
		t.Errorf("its secrets are %v", secrets)
	}
}

// The host does what the functions may do, but for what their mappings do and API Gateway's sockets.
func TestTheHostMayDoWhatTheFunctionsMay(t *testing.T) {
	t.Parallel()
	_, role := hostRoles(t, hosted)
	var got []string
	for _, permission := range granted(t, hosted, role) {
		if !strings.HasPrefix(permission, "s3:GetObject on arn:Partition:s3:::") {
			got = append(got, permission)
		}
	}
	functions := map[string]bool{"elasticloadbalancing:DescribeTargetHealth on *": true}
	for name, r := range roles(hosted) {
		for _, permission := range granted(t, hosted, r) {
			mapping := slices.ContainsFunc([]string{"sqs:Receive", "sqs:Delete", "sqs:GetQueue", "logs:", "ssm:", "secretsmanager:", "execute-api:"},
				func(prefix string) bool { return strings.HasPrefix(permission, prefix) })
			if slices.Contains([]string{"connect", "message", "disconnect", "sender"}, name) && !mapping {
				functions[permission] = true
			}
		}
	}
	check(t, "permissions", toAny(got), slices.Sorted(maps.Keys(functions)))
}

// hostRoles are the role with which the task is started and that of its program.
func hostRoles(t *testing.T, tmpl template) (starting, running object) {
	t.Helper()
	task, _ := containers(t, tmpl)
	role := func(key string) object {
		id := strings.TrimSuffix(strings.TrimPrefix(tmpl.text(task[key]), "<Arn of "), ">")
		return tmpl.Resources[id].Properties
	}
	return role("ExecutionRoleArn"), role("TaskRoleArn")
}

func TestTheRolesOfTasks(t *testing.T) {
	t.Parallel()
	starting, running := hostRoles(t, hosted)
	check(t, "starting", toAny(granted(t, hosted, starting)), []string{
		"logs:CreateLogStream on <Arn of /subwire/subwire-dev-host>", "logs:PutLogEvents on <Arn of /subwire/subwire-dev-host>",
		"secretsmanager:GetSecretValue on <hostkey>"})
	for _, role := range []object{starting, running} {
		trust := role["AssumeRolePolicyDocument"].(object)["Statement"].([]any)[0].(object)
		check(t, "trust", trust["Principal"], object{"Service": "ecs-tasks.amazonaws.com"})
		check(t, "account", hosted.text(trust["Condition"].(object)["StringEquals"].(object)["aws:SourceAccount"]), "AccountId")
	}
}

func TestTheServiceAndItsScaling(t *testing.T) {
	t.Parallel()
	service := hostedProd.only(t, "AWS::ECS::Service")
	check(t, "deployments", service["DeploymentConfiguration"], object{"MinimumHealthyPercent": 100, "MaximumPercent": 200,
		"DeploymentCircuitBreaker": object{"Enable": true, "Rollback": true}})
	check(t, "number", service["DesiredCount"], nil)
	check(t, "network", service["NetworkConfiguration"].(object)["AwsvpcConfiguration"].(object)["AssignPublicIp"], "ENABLED")
	target := hostedProd.only(t, "AWS::ApplicationAutoScaling::ScalableTarget")
	check(t, "bounds", bounds(target), []int{3, 30, 3, 30})
	by := map[string]any{}
	for _, p := range hostedProd.all("AWS::ApplicationAutoScaling::ScalingPolicy") {
		c := p["TargetTrackingScalingPolicyConfiguration"].(object)
		check(t, "cooldowns", []any{c["ScaleOutCooldown"], c["ScaleInCooldown"]}, []int{30, 900})
		if custom, ok := c["CustomizedMetricSpecification"].(object); ok {
			by[fmt.Sprint(custom["Namespace"], " ", custom["MetricName"], " ", custom["Statistic"], " ",
				custom["Dimensions"].([]any)[0].(object)["Value"])] = c["TargetValue"]
			continue
		}
		by[c["PredefinedMetricSpecification"].(object)["PredefinedMetricType"].(string)] = c["TargetValue"]
	}
	check(t, "policies", by, object{"ECSServiceAverageCPUUtilization": 50, "Subwire Sockets Average subwire-prod": 5000})
}

// bounds are those of the number of tasks, and those to which it is brought every so often.
func bounds(target object) []any {
	actions := target["ScheduledActions"].([]any)
	action := actions[0].(object)
	if len(actions) != 1 || action["Schedule"] != keepCount {
		return actions
	}
	to := action["ScalableTargetAction"].(object)
	return []any{target["MinCapacity"], target["MaxCapacity"], to["MinCapacity"], to["MaxCapacity"]}
}

// Nodes write rows that an older release's functions do not know.
func TestTheHostComesAfterTheFunctions(t *testing.T) {
	t.Parallel()
	for _, r := range hosted.Resources {
		if r.Type != "AWS::ECS::Service" {
			continue
		}
		for id, f := range hosted.Resources {
			if f.Type == "AWS::Lambda::Alias" && !slices.Contains(r.DependsOn, any(id)) {
				t.Errorf("it does not wait for %s", hosted.name(id))
			}
		}
	}
}

// To take a host away, it is emptied first, while functions still reach it.
func TestAHostCanBeEmptied(t *testing.T) {
	t.Parallel()
	check(t, "number", emptied.only(t, "AWS::ECS::Service")["DesiredCount"], 0)
	target := emptied.only(t, "AWS::ApplicationAutoScaling::ScalableTarget")
	check(t, "bounds", bounds(target), []int{0, 0, 0, 0})
	if n := len(emptied.all("AWS::ApplicationAutoScaling::ScalingPolicy")); n > 0 {
		t.Errorf("%d policies", n)
	}
	for name := range alarmsOf(emptied, "subwire-dev-") {
		if strings.HasPrefix(name, "host-") {
			t.Errorf("alarm %s is about a host without tasks", name)
		}
	}
	env := emptied.named("AWS::Lambda::Function", "sender")["Environment"].(object)["Variables"].(object)
	check(t, "functions reach", emptied.text(env[topology.HostURL.Env]), "http://<DNSName of hostbalancer>")
}

func TestAlarmsOfTheHost(t *testing.T) {
	t.Parallel()
	all := alarmsOf(hostedProd, "subwire-prod-")
	if got, want := len(all), len(hostedProd.app.Alarms(1000)); got != want {
		t.Errorf("%d alarms, want %d", got, want)
	}
	check(t, "no data", all["host-down"]["TreatMissingData"], "breaching")
	check(t, "no data of others", all["host-cpu"]["TreatMissingData"], "notBreaching")
	for name, want := range map[string]string{
		"host-unhealthy": "AWS/ApplicationELB LoadBalancer=<LoadBalancerFullName of hostbalancer> TargetGroup=<TargetGroupFullName of hosttargets>",
		"host-refusals":  "AWS/ApplicationELB LoadBalancer=<LoadBalancerFullName of hostbalancer>",
		"host-cpu":       "AWS/ECS ClusterName=<hostcluster> ServiceName=subwire-prod-host",
		"host-full":      "Subwire Stack=subwire-prod",
	} {
		got := fmt.Sprint(all[name]["Namespace"])
		for _, d := range all[name]["Dimensions"].([]any) {
			got += fmt.Sprint(" ", d.(object)["Name"], "=", hostedProd.text(d.(object)["Value"]))
		}
		if got != want {
			t.Errorf("alarm %s is about %s, want %s", name, got, want)
		}
	}
	for _, r := range hostedProd.Resources {
		if r.Type == "AWS::CloudWatch::Alarm" && strings.HasSuffix(fmt.Sprint(r.Properties["AlarmName"]), "-host-down") &&
			!slices.ContainsFunc(r.DependsOn, func(id any) bool { return hostedProd.Resources[id.(string)].Type == "AWS::ECS::Service" }) {
			t.Error("host-down goes off while there cannot be tasks yet")
		}
	}
}

// Of the host, what publishes metrics has an alarm and is in the dashboard. Those that it may
// name are on the pages "CloudWatch metrics for your Application Load Balancer" and "Amazon ECS
// CloudWatch metrics".
func TestNothingOfTheHostGoesUnseen(t *testing.T) {
	t.Parallel()
	balancer := []string{"HTTPCode_ELB_5XX_Count", "NewConnectionCount", "HealthyHostCount", "UnHealthyHostCount",
		"HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"}
	published := map[string][]string{"AWS/ApplicationELB": balancer, "AWS/ECS": {"CPUUtilization", "MemoryUtilization"}}
	names := map[string]string{"AWS::ElasticLoadBalancingV2::LoadBalancer": "LoadBalancer", "AWS::ElasticLoadBalancingV2::TargetGroup": "TargetGroup",
		"AWS::ECS::Cluster": "ClusterName", "AWS::ECS::Service": "ServiceName"}
	alarmed, shown := map[string]bool{}, map[string]bool{}
	look := func(seen map[string]bool, namespace, metric string, dimensions ...string) {
		if all := published[namespace]; all != nil && !slices.Contains(all, metric) {
			t.Errorf("nobody publishes %s of %s", metric, namespace)
		}
		for _, d := range dimensions {
			seen[d] = true
		}
	}
	dimensions := func(of any) (names []string) {
		for _, d := range of.([]any) {
			names = append(names, d.(object)["Name"].(string))
		}
		return names
	}
	for name, a := range alarmsOf(hostedProd, "subwire-prod-") {
		if a["Dimensions"] != nil {
			look(alarmed, fmt.Sprint(a["Namespace"]), fmt.Sprint(a["MetricName"]), dimensions(a["Dimensions"])...)
		}
		if name == "host-down" {
			metric := a["Metrics"].([]any)[1].(object)["MetricStat"].(object)["Metric"].(object)
			look(alarmed, fmt.Sprint(metric["Namespace"]), fmt.Sprint(metric["MetricName"]), dimensions(metric["Dimensions"])...)
		}
	}
	for _, w := range dashboardOf(t, hostedProd).Widgets {
		for _, line := range w.Properties.Metrics {
			for i := 2; i+1 < len(line); i += 2 { // pairs, then how it looks
				look(shown, line[0].(string), line[1].(string), line[i].(string))
			}
		}
	}
	for kind, dimension := range names {
		if hostedProd.all(kind) == nil || !alarmed[dimension] || !shown[dimension] {
			t.Errorf("%s: an alarm %v, shown %v", kind, alarmed[dimension], shown[dimension])
		}
	}
}

func TestSwitchesOfTheHost(t *testing.T) {
	t.Parallel()
	good := map[string]string{"host": "fargate", "hostDomain": "sockets.a.example", "hostCertificate": hostCertificate, "clients": "host"}
	with := func(pairs ...string) map[string]string {
		c := maps.Clone(good)
		for pair := range slices.Chunk(pairs, 2) {
			c[pair[0]] = pair[1]
		}
		return c
	}
	production := []string{"env", "prod", "public", "true", "alarms", "off"}
	for _, tt := range []struct {
		context map[string]string
		says    string // "" for good
	}{
		{good, ""},
		{with(production...), ""},
		{with("hostTasks", "1"), ""},
		{with("hostTasks", "0", "clients", "api"), ""},
		{map[string]string{"host": "fargate"}, ""},
		{with("host", "ec2"), "-c host=ec2: it must be fargate"},
		{with("host", ""), "with host=fargate"},
		{with("hostDomain", ""), "-c hostCertificate"},
		{with("hostDomain", "", "hostCertificate", ""), "browsers would not open"},
		{with("hostCertificate", ""), "-c hostCertificate="},
		{with("hostDomain", "ws.a.example", "wsDomain", "ws.a.example", "certificate", "arn:1"), "another domain than wsDomain"},
		{with("clients", "both"), "api or host"},
		{with("hostTasks", "0"), "without a host that has tasks"},
		{with("hostTasks", "11"), "at most hostMostTasks"},
		{with("hostTasks", "-1"), "a number of tasks from 0"},
		{with("hostMostTasks", "0"), "a number of tasks from 1"},
		{with("local", "https://localhost:4566"), "no Fargate"},
		{with("settings", "METRICS=false"), "METRICS must be true"},
		{with("settings", "EDGE_SECRET_SHA256="+strings.Repeat("a", 64)), "refuses whoever does not come through CloudFront, and hostDomain," +
			" where pages would open sockets, is the load balancer: leave out one of the two"},
		{with("settings", "EDGE_SECRET_SHA256="+strings.Repeat("a", 64), "clients", "api"), ""},
		{with("settings", "HOST_KEY=secret"), "set with -c host=fargate"},
		{map[string]string{"settings": "HOST_URL=https://sockets.a.example"}, "set with -c host=fargate"},
		{with(append(production, "hostDomain", "", "hostCertificate", "", "clients", "api")...), "has no TLS"},
		{with(append(production, "hostTasks", "1")...), "hostTasks must be 2 at least"},
	} {
		o, err := parse(tt.context)
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%v: %v", tt.context, err)
		case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%v: %v, want %q", tt.context, err, tt.says)
		case tt.says == "" && (o.hostWarning() == "") != (o.hostDomain != ""):
			t.Errorf("%v: warns %q", tt.context, o.hostWarning())
		}
	}
}
