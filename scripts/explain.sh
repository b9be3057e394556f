#!/bin/sh
# Explains in one line why a command of the CDK failed, if the cause is known. The CDK's own
# words have been shown. For deploy.sh.
#   explain.sh COMMAND FILE    FILE has the error output of the CDK's COMMAND
set -eu
case $(cat "$2") in
*"subwire:"*) sed -n 's/.*\(subwire: .*\)/\1/p' "$2" | tail -n 1 ;;
*"Unable to resolve AWS account"* | *"no credentials"* | *"Could not load credentials"* | *[Cc]"redentials"*"invalid"* | *"security token"* | *"ExpiredToken"*)
	echo "subwire: no valid AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_REGION" ;;
*"but the current credentials are for"*)
	echo "subwire: these credentials are of another account than -c account; nothing was deployed" ;;
*"TerminationProtection is enabled"*)
	echo "subwire: the stack is a production and protected; docs/operations.md, \"Remove\", says how to remove it" ;;
*"below its minimum value"*)
	echo "subwire: the account may run too few functions at once to reserve any; deploy with -c small=true, or ask AWS for a higher quota of concurrent executions" ;;
*"QueueDeletedRecently"* | *"60 seconds after deleting a queue"*)
	echo "subwire: SQS gives a deleted queue's name away after 60 seconds; deploy again in a minute" ;;
*"already scheduled for deletion"*)
	echo "subwire: the host's key is still being deleted; delete it at once with aws secretsmanager delete-secret --force-delete-without-recovery --secret-id STACK-host-key, and deploy again" ;;
*"service linked role"* | *"service-linked role"*) # at the account's first cluster, load balancer or scaling
	echo "subwire: AWS has just made a role that it needs for itself; deploy again in a minute" ;;
*"AccessDenied"* | *"not authorized"*) # also when the CDK checks whether it was set up
	echo "subwire: cdk $1 may not do what it must; see above" ;;
*"bootstrap"*)
	if [ "$1" = bootstrap ]; then
		echo "subwire: cdk $1 failed; see above"
	else
		echo "subwire: the CDK was never set up in this account and region, or long ago; run scripts/deploy.sh bootstrap once"
	fi ;;
*) echo "subwire: cdk $1 failed; see above" ;;
esac
