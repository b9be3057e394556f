package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"subwire/shared/topology"
)

// account is the concurrency that Lambda allows an account in one region.
type account struct {
	limit int // invocations of all functions together; 1,000 by default, 10 in a new account
	free  int // of these, what no function outside the deployed stack reserves
}

// ask returns what the account may run. What the template's functions already
// reserve, from an earlier deployment, counts as free.
func ask(ctx context.Context, client *lambda.Client, t template) (account, error) {
	settings, err := client.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		return account{}, fmt.Errorf("ask Lambda for the account's settings: %w", err)
	}
	limit := settings.AccountLimit
	if limit == nil || limit.UnreservedConcurrentExecutions == nil {
		return account{}, errors.New("account settings of Lambda have no limit of concurrency")
	}
	a := account{limit: int(limit.ConcurrentExecutions), free: int(*limit.UnreservedConcurrentExecutions)}
	for name := range t.reserved {
		out, err := client.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})
		var missing *types.ResourceNotFoundException
		switch {
		case errors.As(err, &missing): // not deployed yet
		case err != nil:
			return account{}, fmt.Errorf("ask Lambda what %s reserves: %w", name, err)
		case out.ReservedConcurrentExecutions != nil:
			a.free += int(*out.ReservedConcurrentExecutions)
		}
	}
	return a, nil
}

// judge returns why the template should not be deployed to the account, in one line that
// says which switch helps: a doubtError if it would work, but badly. nil means fine.
func (t template) judge(a account) error {
	reserve := 0
	for _, n := range t.reserved {
		reserve += n
	}
	may := fmt.Sprintf("this account may run %d functions at once", a.limit)
	if a.free < a.limit {
		may += fmt.Sprintf(", of which others reserve %d", a.limit-a.free)
	}
	if reserve > 0 && a.free < reserve+topology.LeastUnreserved {
		help := "-c reserve=false"
		if a.free < t.mapped+topology.LeastUnreserved {
			help = "-c small=true"
		}
		return fmt.Errorf("%s; reserving %d needs %d: deploy with %s, or ask AWS for a higher quota of concurrent executions",
			may, reserve, reserve+topology.LeastUnreserved, help)
	}
	if reserve == 0 && a.free <= t.mapped {
		return doubtError{fmt.Errorf("%s, and the queues alone may take %d: new sockets and messages would be refused under load; "+
			"deploy with -c small=true, or ask AWS for a higher quota of concurrent executions", may, t.mapped)}
	}
	return nil
}
