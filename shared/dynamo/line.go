package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pacing"
)

// A line of package pacing is an item in the connections table, like what a quota has. It
// says where the line ends, in Unix microseconds.
const linePrefix = "line/"

// lineTTL is how long it is kept after the last turn: longer than any is waited for.
const lineTTL = time.Hour

// Reserve implements pacing.Line. It is one write: the turn begins where the line ends. Only
// for a line that has run out there is a second one, as no expression has a maximum. If an
// attempt lost its answer, its turn is lost.
func (s *Store) Reserve(ctx context.Context, line string, t pacing.Turn) (time.Time, error) {
	if t.Latest.Before(t.Earliest) {
		return t.Earliest, nil // too late; BETWEEN takes no such bounds
	}
	broken := t.Latest.Add(pacing.Broken)
	for tries := 0; ; tries++ {
		end, err := s.moveLine(ctx, line, t, "SET ends = ends + :lasts, #ttl = :ttl",
			"ends BETWEEN :earliest AND :latest", attributes{":lasts": number(t.Lasts.Microseconds()),
				":earliest": micros(t.Earliest), ":latest": micros(t.Latest)})
		old, isBeyond := failedCondition(err)
		switch {
		case err != nil && !isBeyond:
			return time.Time{}, fmt.Errorf("reserve turn: %w", err)
		case !isBeyond:
			return end.Add(-t.Lasts), nil
		}
		if ends, ok := endOf(old); ok && ends.After(t.Latest) && !ends.After(broken) {
			return ends, nil // nothing is reserved
		}
		_, err = s.moveLine(ctx, line, t, "SET ends = :ends, #ttl = :ttl",
			"NOT ends BETWEEN :earliest AND :broken OR attribute_not_exists(ends)", attributes{
				":ends": micros(t.Earliest.Add(t.Lasts)), ":earliest": micros(t.Earliest), ":broken": micros(broken)})
		_, isBeaten := failedCondition(err)
		if err == nil {
			return t.Earliest.Truncate(time.Microsecond), nil
		}
		if isBeaten {
			err = beaten(ctx, tries)
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("begin line: %w", err)
		}
	}
}

// moveLine updates a line if the condition holds, and returns its new end.
func (s *Store) moveLine(ctx context.Context, line string, t pacing.Turn, update, condition string,
	values attributes) (time.Time, error) {
	values[":ttl"] = number(t.Latest.Add(lineTTL).Unix())
	out, err := call(ctx, s.client.UpdateItem, &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey(linePrefix + line),
		UpdateExpression: aws.String(update), ConditionExpression: aws.String(condition),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"}, ExpressionAttributeValues: values,
		ReturnValues:                        types.ReturnValueUpdatedNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		return time.Time{}, err
	}
	end, ok := endOf(out.Attributes)
	if !ok {
		return time.Time{}, fmt.Errorf("the answer does not say where the line ends")
	}
	return end, nil
}

func micros(t time.Time) types.AttributeValue { return number(t.UnixMicro()) }

// endOf is where the line ends. It is false for one that has not begun.
func endOf(line attributes) (time.Time, bool) {
	n, ok := numberOf(line, "ends")
	return time.UnixMicro(n), ok
}
