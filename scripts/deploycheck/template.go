package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"subwire/scripts/internal/account"
	"subwire/shared/topology"
)

// template is what a CloudFormation template demands of an account.
type template struct {
	account.Needs
	stack     string // its name
	accountID string // where alone it may be deployed; "" for anywhere, as region
	region    string
	kept      []string // physical names of the tables that outlive the stack
	host      bool     // whether it has one, with tasks or without

	operations string            // physical name of the table
	sender     map[string]string // environment of the function, without what refers to other resources
}

// resource is what is read of one.
type resource struct {
	Type           string
	DeletionPolicy string
	Properties     struct {
		FunctionName                 any // a name, or for a mapping a reference
		ReservedConcurrentExecutions int
		ScalingConfig                struct{ MaximumConcurrency int }
		Environment                  struct{ Variables map[string]any }
		TableName                    string
		ClusterName                  string
		ServiceName                  string
		DesiredCount                 *int // of a service; nil if its scaling decides
	}
}

// readTemplate reads the file. Its error is one line.
func readTemplate(path string) (template, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return template{}, fmt.Errorf("read template: %w", err)
	}
	var file struct{ Resources map[string]resource }
	if err := json.Unmarshal(raw, &file); err != nil {
		return template{}, fmt.Errorf("read template %s: %w", path, err)
	}
	t := template{Needs: account.Needs{Reserved: map[string]int{}}, sender: map[string]string{},
		stack: strings.TrimSuffix(filepath.Base(path), ".template.json")}
	if err := t.readPlace(filepath.Join(filepath.Dir(path), "manifest.json")); err != nil {
		return template{}, err
	}
	_, t.host = serviceOf(file.Resources)
	for _, r := range file.Resources {
		switch r.Type {
		case "AWS::Lambda::Function":
			name, ok := r.Properties.FunctionName.(string)
			if ok && r.Properties.ReservedConcurrentExecutions > 0 {
				t.Reserved[name] = r.Properties.ReservedConcurrentExecutions
			}
			if strings.HasSuffix(name, "-"+topology.Sender.Name) {
				t.sender = texts(r.Properties.Environment.Variables)
			}
		case "AWS::Lambda::EventSourceMapping":
			t.Mapped += r.Properties.ScalingConfig.MaximumConcurrency
		case "AWS::DynamoDB::Table":
			if strings.HasSuffix(r.Properties.TableName, "-"+topology.Operations.Name) {
				t.operations = r.Properties.TableName
			}
			if r.DeletionPolicy == "RetainExceptOnCreate" {
				t.kept = append(t.kept, r.Properties.TableName)
			}
		}
	}
	return t, nil
}

// readPlace reads where the stack may be deployed from the manifest that the CDK writes beside
// the template, "aws://ACCOUNT/REGION". Without one it may be anywhere.
func (t *template) readPlace(manifest string) error {
	raw, err := os.ReadFile(manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var file struct {
		Artifacts map[string]struct{ Environment string }
	}
	if err == nil {
		err = json.Unmarshal(raw, &file)
	}
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	id, region, _ := strings.Cut(strings.TrimPrefix(file.Artifacts[t.stack].Environment, "aws://"), "/")
	if id != "unknown-account" {
		t.accountID, t.region = id, region
	}
	return nil
}

// texts are the values that are texts.
func texts(values map[string]any) map[string]string {
	found := map[string]string{}
	for name, value := range values {
		if text, ok := value.(string); ok {
			found[name] = text
		}
	}
	return found
}
