package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const componentTag = "component"

// tags are on everything that can have some, for its costs. app is the stack's name, so it
// alone tells deployments apart. What belongs to no one part is of the component
// "deployment".
func (s *stack) tags() map[string]string {
	tags := map[string]string{"app": *s.cdk.StackName(), "env": s.env, componentTag: "deployment"}
	if s.owner != "" {
		tags["owner"] = s.owner
	}
	return tags
}

func (s *stack) addTags() {
	for key, value := range s.tags() {
		awscdk.Tags_Of(s.cdk).Add(&key, &value, nil)
	}
}

// component tags what belongs to one part: a function, a table, a queue, an API.
func (s *stack) component(name string, parts ...constructs.IConstruct) {
	for _, part := range parts {
		awscdk.Tags_Of(part).Add(jsii.String(componentTag), &name, nil)
	}
}
