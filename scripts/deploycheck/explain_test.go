package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What scripts/deploy.sh says after the CDK's errors, which it has shown.
func TestErrorsAreExplained(t *testing.T) {
	t.Parallel()
	const (
		noBootstrap = "subwire-dev: SSM parameter /cdk-bootstrap/hnb659fds/version not found. Has the environment been bootstrapped? Please run 'cdk bootstrap'\n"
		mayNotAsk   = "subwire-dev: This CDK deployment requires bootstrap stack version '6', but during the confirmation via SSM parameter" +
			" /cdk-bootstrap/hnb659fds/version the following error occurred: AccessDeniedException: User is not authorized to perform: ssm:GetParameter\n"
		bucketTaken  = "Environment aws://123456789012/eu-west-1 failed bootstrapping: _ToolkitError: cdk-hnb659fds-assets-123456789012-eu-west-1 already exists\n"
		ours         = "some noise\nerror: subwire: -c env=x: it must be one of dev, test, prod\n"
		otherAccount = "Need to perform AWS calls for account 111111111111, but the current credentials are for 222222222222\n"
		protected    = "Stack [subwire-prod] cannot be deleted while TerminationProtection is enabled\n"
		keyLeft      = "You can't create this secret because a secret with this name is already scheduled for deletion.\n"
		firstCluster = "CreateCluster Invalid Request: Unable to assume the service linked role. Please verify that the ECS service linked role exists.\n"
		unknown      = "Resource handler returned message: something new\n"
	)
	for name, tc := range map[string]struct{ command, said, want string }{
		"NotSetUp":       {"deploy", noBootstrap, "subwire: the CDK was never set up in this account and region, or long ago; run scripts/deploy.sh bootstrap once\n"},
		"MayNotAsk":      {"deploy", mayNotAsk, "subwire: cdk deploy may not do what it must; see above\n"},
		"CannotBeSetUp":  {"bootstrap", bucketTaken, "subwire: cdk bootstrap failed; see above\n"},
		"AnotherAccount": {"deploy", otherAccount, "subwire: these credentials are of another account than -c account; nothing was deployed\n"},
		"Protected":      {"destroy", protected, "subwire: the stack is a production and protected; docs/operations.md, \"Remove\", says how to remove it\n"},
		"Ours":           {"synth", ours, "subwire: -c env=x: it must be one of dev, test, prod\n"},
		"KeyOfTheHost": {"deploy", keyLeft, "subwire: the host's key is still being deleted; delete it at once with aws secretsmanager delete-secret" +
			" --force-delete-without-recovery --secret-id STACK-host-key, and deploy again\n"},
		"TheFirstCluster":  {"deploy", firstCluster, "subwire: AWS has just made a role that it needs for itself; deploy again in a minute\n"},
		"Unknown":          {"destroy", unknown, "subwire: cdk destroy failed; see above\n"},
		"NoCredentials":    {"diff", "Unable to resolve AWS account to use.\n", "subwire: no valid AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_REGION\n"},
		"ATooYoungAccount": {"deploy", "decreases account's UnreservedConcurrentExecution below its minimum value of [10].\n", "subwire: the account may run too few functions at once to reserve any; deploy with -c small=true, or ask AWS for a higher quota of concurrent executions\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "errors")
			if err := os.WriteFile(file, []byte(tc.said), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := exec.CommandContext(t.Context(), "../explain.sh", tc.command, file).CombinedOutput()
			if err != nil || string(got) != tc.want {
				t.Errorf("%v\ngot  %swant %s", err, got, tc.want)
			}
		})
	}
}
