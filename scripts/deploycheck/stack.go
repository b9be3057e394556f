package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// checkPlace refuses credentials of another account than the template's. Who they belong to
// may be unknown: the CDK asks again.
func checkPlace(ctx context.Context, client *sts.Client, t template) error {
	if t.accountID == "" {
		return nil
	}
	who, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err == nil && aws.ToString(who.Account) != t.accountID {
		return fmt.Errorf("%s is deployed to account %s (-c account), and these credentials are of %s",
			t.stack, t.accountID, aws.ToString(who.Account))
	}
	return nil
}

// neverComplete are states of a stack whose first deployment failed. The CDK deletes such a
// stack before the next try.
var neverComplete = []types.StackStatus{
	types.StackStatusCreateFailed, types.StackStatusRollbackComplete, types.StackStatusRollbackFailed}

// unprotect lets a stack be deleted that was never complete: its template protects it from
// the beginning, and the next try would fail.
func unprotect(ctx context.Context, client *cloudformation.Client, stack string) error {
	found, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &stack})
	if err != nil { // it does not exist, or whoever deploys may not ask
		return nil
	}
	if len(found.Stacks) == 0 || !aws.ToBool(found.Stacks[0].EnableTerminationProtection) ||
		!slices.Contains(neverComplete, found.Stacks[0].StackStatus) {
		return nil
	}
	_, err = client.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{
		StackName: &stack, EnableTerminationProtection: aws.Bool(false)})
	if err != nil {
		return fmt.Errorf("the first deployment of %s failed, and what is left of it cannot be deleted: %w", stack, err)
	}
	return nil
}
