// Package account says whether Lambda lets an account run what a deployment needs.
package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"subwire/shared/topology"
)

// Room is the concurrency that Lambda allows an account in one region.
type Room struct {
	Limit int // invocations of all functions together; 1,000 by default, 10 in a new account
	Free  int // of these, what no function outside the deployed stack reserves
}

// Needs is what a deployment demands of it.
type Needs struct {
	Reserved map[string]int // concurrency by physical name of the function
	Mapped   int            // concurrency of all queue mappings together
}

// DoubtError is a doubt that does not stop a deployment.
type DoubtError struct{ error }

// Doubt makes an error a doubt.
func Doubt(err error) error { return DoubtError{err} }

// Ask returns what the account may run. What the deployment's functions already
// reserve, from an earlier deployment, counts as free.
func (n Needs) Ask(ctx context.Context, client *lambda.Client) (Room, error) {
	settings, err := client.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		return Room{}, fmt.Errorf("ask Lambda for the account's settings: %w", err)
	}
	limit := settings.AccountLimit
	if limit == nil || limit.UnreservedConcurrentExecutions == nil {
		return Room{}, errors.New("account settings of Lambda have no limit of concurrency")
	}
	r := Room{Limit: int(limit.ConcurrentExecutions), Free: int(*limit.UnreservedConcurrentExecutions)}
	for _, name := range slices.Sorted(maps.Keys(n.Reserved)) {
		out, err := client.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})
		var missing *types.ResourceNotFoundException
		switch {
		case errors.As(err, &missing): // not deployed yet
		case err != nil:
			return Room{}, fmt.Errorf("ask Lambda what %s reserves: %w", name, err)
		case out.ReservedConcurrentExecutions != nil:
			r.Free += int(*out.ReservedConcurrentExecutions)
		}
	}
	return r, nil
}

// Judge returns why the deployment should not be made in the account, in one line that
// says which switch helps: a DoubtError if it would work, but badly. nil means fine.
func (n Needs) Judge(r Room) error {
	reserve := 0
	for _, one := range n.Reserved {
		reserve += one
	}
	may := fmt.Sprintf("this account may run %d functions at once", r.Limit)
	if r.Free < r.Limit {
		may += fmt.Sprintf(", of which others reserve %d", r.Limit-r.Free)
	}
	if reserve > 0 && r.Free < reserve+topology.LeastUnreserved {
		help := "-c reserve=false"
		if r.Free < n.Mapped+topology.LeastUnreserved {
			help = "-c small=true"
		}
		return fmt.Errorf("%s; reserving %d needs %d: deploy with %s, or ask AWS for a higher quota of concurrent executions",
			may, reserve, reserve+topology.LeastUnreserved, help)
	}
	if reserve == 0 && r.Free <= n.Mapped {
		return Doubt(fmt.Errorf("%s, and the queues alone may take %d: new sockets and messages would be refused "+
			"under load; deploy with -c small=true, or ask AWS for a higher quota of concurrent executions", may, n.Mapped))
	}
	return nil
}
