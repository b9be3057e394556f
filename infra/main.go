// Command infra is the CDK app that deploys Subwire: one stack, built from topology.
// The CDK command line runs it (see cdk.json). It decides nothing about what a
// function does.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/binary"
	"subwire/shared/topology"
)

func main() {
	app := awscdk.NewApp(nil)
	options, err := parse(context(app))
	if err == nil {
		err = checkBinaries(options)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "subwire:", err)
		os.Exit(1)
	}
	newStack(app, options)
	app.Synth(nil)
	jsii.Close()
}

// context returns the context from -c and cdk.json, as text by key.
func context(app awscdk.App) map[string]string {
	values := map[string]string{}
	all, _ := app.Node().GetAllContext(nil).(map[string]any) // it is always a map
	for key, value := range all {
		values[key] = fmt.Sprint(value)
	}
	return values
}

// checkBinaries makes sure that every function was built for the processor it is deployed
// on, and has the files it needs. Otherwise the first invocation would find out.
func checkBinaries(o options) error {
	all := o.app.Functions()
	if o.fargate {
		all = append(all, topology.Host)
	}
	for _, f := range all {
		if err := binary.Check(o.binary(f), o.arch); err != nil {
			return err
		}
		path := filepath.Join(o.assets, f.Name, trustedFile)
		needs := o.trusted && slices.Contains(f.Settings(), topology.TrustedDocuments.Setting)
		if _, err := os.Stat(path); needs && err != nil {
			return fmt.Errorf("%s is missing: write operations.json with subwire trust, then run make build", path)
		}
		if needs && !o.trustsCanary(path) {
			return fmt.Errorf("%s lacks the documents of the canary: add those of App.Canary with subwire trust,"+
				" then run make build", path)
		}
	}
	return nil
}
