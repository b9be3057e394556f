package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What scripts/deploy.sh makes of the CDK's errors: one line if the cause is certain,
// else the CDK's own words.
func TestErrorsAreExplained(t *testing.T) {
	t.Parallel()
	const (
		noBootstrap = "subwire-dev: SSM parameter /cdk-bootstrap/hnb659fds/version not found. Has the environment been bootstrapped? Please run 'cdk bootstrap'\n"
		mayNotAsk   = "subwire-dev: This CDK deployment requires bootstrap stack version '6', but during the confirmation via SSM parameter" +
			" /cdk-bootstrap/hnb659fds/version the following error occurred: AccessDeniedException: User is not authorized to perform: ssm:GetParameter\n"
		bucketTaken = "Environment aws://123456789012/eu-west-1 failed bootstrapping: _ToolkitError: cdk-hnb659fds-assets-123456789012-eu-west-1 already exists\n"
		ours        = "some noise\nerror: subwire: -c env=x: it must be one of dev, test, prod\n"
		unknown     = "Resource handler returned message: something new\n"
	)
	for name, tc := range map[string]struct{ command, said, want string }{
		"NotSetUp":         {"deploy", noBootstrap, "subwire: the CDK was never set up in this account and region, or long ago; run scripts/deploy.sh bootstrap once\n"},
		"MayNotAsk":        {"deploy", mayNotAsk, mayNotAsk},
		"CannotBeSetUp":    {"bootstrap", bucketTaken, bucketTaken},
		"Ours":             {"synth", ours, "subwire: -c env=x: it must be one of dev, test, prod\n"},
		"Unknown":          {"destroy", unknown, unknown},
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
