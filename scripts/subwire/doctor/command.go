// Package doctor is subwire doctor: it says what is in the way of a deployment, or what is
// wrong with one that runs. It changes nothing, except that it posts events to the product's
// canary.
package doctor

import (
	"context"
	"errors"
	"flag"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/subwire/cli"
	"subwire/shared/canary"
)

// askTime bounds what is asked before a deployment, as a network may be missing.
const askTime = time.Minute

type options struct {
	where    *deployment.Flags
	env      string
	switches []string
	try      canary.Try // token and origin
	json     bool
}

func Command() *cobra.Command {
	o := options{}
	cmd := &cobra.Command{Use: "doctor", Args: cobra.NoArgs,
		Short: "Say what is in the way of a deployment, or wrong with one that runs",
		Long: `Say what is in the way of a deployment, or wrong with one that runs. Each line is a
check: ok, warning or error, with what to do.

Without --stack and --local it looks at what a deployment with these switches needs:
tools, binaries, credentials, the CDK's bootstrap, concurrency and quotas, leftovers,
parameters, keys and certificate. It uses the AWS credentials and region of the
environment, and changes nothing.

With one of them it looks at the tables, queues, mappings, functions and alarms of a
running deployment. Then it does what a client does: it connects, subscribes, posts
and waits for the event, as the product's canary says, and tells how long that took.

The exit code is 0 if no check found an error, and 1 if one did. What may not be asked is
a warning.`,
		Example: `  subwire doctor --env prod -c alarms=ops@example.com -c settings='AUTH=jwt;…'
  subwire doctor --stack subwire-prod --token TOKEN
  subwire doctor --local`,
		PreRunE: func(*cobra.Command, []string) error { return o.check() }}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	o.where = deployment.Register(flags)
	cmd.Flags().AddGoFlagSet(flags)
	cmd.Flags().StringVar(&o.env, "env", "", "`NAME` of the deployment to be made, as -c env=NAME; default dev")
	cmd.Flags().StringArrayVarP(&o.switches, "context", "c", nil,
		"`KEY=VALUE` of the deployment to be made, as for make deploy; may be repeated")
	cmd.Flags().StringVar(&o.try.Token, "token", "", "`TOKEN` of the canary, for a running deployment with AUTH=jwt")
	cmd.Flags().StringVar(&o.try.Origin, "origin", "",
		"`ORIGIN` of the canary, for a running deployment with ALLOWED_ORIGINS")
	cli.Output(cmd, &o.json)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.where.Given() {
			return o.after(cmd)
		}
		return o.before(cmd)
	}
	return cmd
}

func (o *options) check() error {
	if !o.where.Given() {
		if o.try.Token+o.try.Origin != "" {
			return errors.New("--token and --origin are for a running deployment: say --local or --stack NAME")
		}
		_, err := read(o.env, o.switches)
		return err
	}
	if o.env != "" || o.switches != nil {
		return errors.New("--env and -c are of a deployment that is to be made; " +
			"--local and --stack name one that runs: choose one")
	}
	return o.where.Check()
}

func (o *options) before(cmd *cobra.Command) error {
	p, err := read(o.env, o.switches)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), askTime)
	defer cancel()
	checks := []func() []result{
		func() []result { return checkTools(ctx, runTool) },
		func() []result { return p.checkBinaries() },
		func() []result {
			cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithLogger(logging.Nop{})) // the error says enough
			if err != nil {
				return []result{fault("credentials", "read AWS configuration: %v", err)}
			}
			return p.checkAccount(ctx, askAccount(cfg))
		},
	}
	return report(cmd.OutOrStdout(), o.json, checks...)
}

// checkAccount does all that needs credentials, or says that there are none.
func (p plan) checkAccount(ctx context.Context, a accountAPI) []result {
	if a.region == "" {
		return []result{fault("credentials", "no AWS region; set AWS_REGION, or AWS_PROFILE to a profile that has one")}
	}
	all, good := p.checkCredentials(ctx, a)
	if !good {
		return all
	}
	all = append(all, checkBootstrap(ctx, a), p.checkConcurrency(ctx, a), checkRate(ctx, a))
	all = append(all, p.checkStack(ctx, a)...)
	all = append(all, p.checkLoggingRole(ctx, a)...)
	all = append(all, p.checkParameters(ctx, a)...)
	all = append(all, p.checkKeys(ctx, a)...)
	all = append(all, p.checkFargate(ctx, a)...)
	return append(all, p.checkCertificates(a)...)
}

func (o *options) after(cmd *cobra.Command) error {
	d, err := o.where.Resolve(cmd.Context())
	if err != nil {
		return err
	}
	c := askCloud(d.AWS, o.where.Local())
	if c.try, err = tryOf(d, o.try); err != nil {
		return err
	}
	return report(cmd.OutOrStdout(), o.json, examine(cmd.Context(), d, c)...)
}
