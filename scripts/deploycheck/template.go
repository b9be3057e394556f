package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// template is what a CloudFormation template demands of an account.
type template struct {
	reserved map[string]int // concurrency by physical name of the function
	mapped   int            // concurrency of all queue mappings together
	kept     []string       // physical names of the tables that outlive the stack
}

// readTemplate reads the file. Its error is one line.
func readTemplate(path string) (template, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return template{}, fmt.Errorf("read template: %w", err)
	}
	var file struct {
		Resources map[string]struct {
			Type           string
			DeletionPolicy string
			Properties     struct {
				FunctionName                 any // a name, or for a mapping a reference
				ReservedConcurrentExecutions int
				ScalingConfig                struct{ MaximumConcurrency int }
				TableName                    string
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return template{}, fmt.Errorf("read template %s: %w", path, err)
	}
	t := template{reserved: map[string]int{}}
	for _, r := range file.Resources {
		switch r.Type {
		case "AWS::Lambda::Function":
			if name, ok := r.Properties.FunctionName.(string); ok && r.Properties.ReservedConcurrentExecutions > 0 {
				t.reserved[name] = r.Properties.ReservedConcurrentExecutions
			}
		case "AWS::Lambda::EventSourceMapping":
			t.mapped += r.Properties.ScalingConfig.MaximumConcurrency
		case "AWS::DynamoDB::Table":
			if r.DeletionPolicy == "RetainExceptOnCreate" {
				t.kept = append(t.kept, r.Properties.TableName)
			}
		}
	}
	return t, nil
}
