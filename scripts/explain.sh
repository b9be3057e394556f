#!/bin/sh
# Explains in one line why a command of the CDK failed, if the cause is known, or
# else prints the CDK's own words. For deploy.sh.
#   explain.sh COMMAND FILE    FILE has the error output of the CDK's COMMAND
set -eu
case $(cat "$2") in
*"subwire:"*) sed -n 's/.*\(subwire: .*\)/\1/p' "$2" ;;
*"Unable to resolve AWS account"* | *"no credentials"* | *"Could not load credentials"* | *[Cc]"redentials"*"invalid"* | *"security token"* | *"ExpiredToken"*)
	echo "subwire: no valid AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_REGION" ;;
*"below its minimum value"*)
	echo "subwire: the account may run too few functions at once to reserve any; deploy with -c small=true, or ask AWS for a higher quota of concurrent executions" ;;
*"QueueDeletedRecently"* | *"60 seconds after deleting a queue"*)
	echo "subwire: SQS gives a deleted queue's name away after 60 seconds; deploy again in a minute" ;;
*"AccessDenied"* | *"not authorized"*) # also when the CDK checks whether it was set up
	cat "$2" ;;
*"bootstrap"*)
	if [ "$1" = bootstrap ]; then
		cat "$2"
	else
		echo "subwire: the CDK was never set up in this account and region, or long ago; run scripts/deploy.sh bootstrap once"
	fi ;;
*) cat "$2" ;;
esac
