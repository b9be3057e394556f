package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsbudgets"
	"github.com/aws/jsii-runtime-go"
)

// addBudget sends those who get alarms a notice when the month's costs reach four fifths of
// the budget, or all of it, or are forecast to. It stops nothing.
//
// It counts the whole account. A budget of one tag counts nothing until the account that
// pays has activated the tag, which takes up to a day ("Activating user-defined cost
// allocation tags"), and never counts what has no tags, such as the metrics of the log.
func (s *stack) addBudget() {
	if s.budget == 0 {
		return
	}
	to := awsbudgets.CfnBudget_SubscriberProperty{SubscriptionType: jsii.String("EMAIL"), Address: &s.alarms}
	if strings.HasPrefix(s.alarms, "arn:") {
		to.SubscriptionType = jsii.String("SNS")
	}
	var notices []any
	for _, at := range []struct {
		kind    string
		percent int
	}{{"ACTUAL", 80}, {"ACTUAL", 100}, {"FORECASTED", 100}} {
		notices = append(notices, &awsbudgets.CfnBudget_NotificationWithSubscribersProperty{
			Notification: &awsbudgets.CfnBudget_NotificationProperty{NotificationType: &at.kind,
				Threshold: jsii.Number(at.percent), ThresholdType: jsii.String("PERCENTAGE"),
				ComparisonOperator: jsii.String("GREATER_THAN")},
			Subscribers: []any{&to},
		})
	}
	var tags []any
	for _, key := range slices.Sorted(maps.Keys(s.tags())) {
		tags = append(tags, &awsbudgets.CfnBudget_ResourceTagProperty{Key: &key, Value: jsii.String(s.tags()[key])})
	}
	awsbudgets.NewCfnBudget(s.cdk, jsii.String("budget"), &awsbudgets.CfnBudgetProps{
		Budget: &awsbudgets.CfnBudget_BudgetDataProperty{
			BudgetName:  jsii.String(*s.cdk.StackName() + "-" + *s.cdk.Region()), // unique in all regions
			BudgetType:  jsii.String("COST"),
			TimeUnit:    jsii.String("MONTHLY"),
			BudgetLimit: &awsbudgets.CfnBudget_SpendProperty{Amount: jsii.Number(s.budget), Unit: jsii.String("USD")}},
		NotificationsWithSubscribers: notices,
		ResourceTags:                 tags,
	})
}
