package trace

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/story"
)

// source finds lines in the functions' logs, and returns them in order of time.
type source interface {
	lines(ctx context.Context, q query) ([]story.Line, error)
}

func sourceOf(d deployment.Deployment, since time.Duration) (source, error) {
	if d.Stack == "" {
		if d.ControlURL == "" {
			return nil, deployment.ErrNoControl
		}
		return local{d.ControlURL}, nil
	}
	var groups []string
	for _, f := range d.App.Functions() {
		groups = append(groups, "/aws/lambda/"+d.Stack+"-"+f.Name)
	}
	return insights{cloudwatchlogs.NewFromConfig(d.AWS), groups, since, time.Second}, nil
}

// local asks the local cloud.
type local struct{ url string }

func (l local) lines(ctx context.Context, q query) ([]story.Line, error) {
	var kept []deployment.Line
	if err := deployment.AskControl(ctx, l.url+"/log", &kept); err != nil {
		return nil, err
	}
	texts := make([]string, len(kept))
	for i, line := range kept {
		texts[i] = line.Text
	}
	return matching(texts, q), nil
}

func matching(texts []string, q query) (found []story.Line) {
	for _, l := range story.ParseAll(texts) {
		if q.matches(l) {
			found = append(found, l)
		}
	}
	return found
}

// client is the part of *cloudwatchlogs.Client that is used.
type client interface {
	StartQuery(context.Context, *cloudwatchlogs.StartQueryInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StartQueryOutput, error)
	GetQueryResults(context.Context, *cloudwatchlogs.GetQueryResultsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetQueryResultsOutput, error)
}

// insights asks CloudWatch Logs Insights.
type insights struct {
	client client
	groups []string
	since  time.Duration
	pause  time.Duration // between two looks at a query
}

// maxResults is the most that a query returns ("CloudWatch Logs quotas").
const maxResults = 10_000

// lines searches for more than q asks for, as the ids of its events may have endings, and
// drops the rest.
func (i insights) lines(ctx context.Context, q query) ([]story.Line, error) {
	now := time.Now()
	started, err := i.client.StartQuery(ctx, &cloudwatchlogs.StartQueryInput{
		LogGroupNames: i.groups, QueryString: aws.String(q.insights()),
		StartTime: aws.Int64(now.Add(-i.since).Unix()), EndTime: aws.Int64(now.Unix() + 1), Limit: aws.Int32(maxResults)})
	if err != nil {
		return nil, fmt.Errorf("search the logs: %w", err)
	}
	for {
		out, err := i.client.GetQueryResults(ctx, &cloudwatchlogs.GetQueryResultsInput{QueryId: started.QueryId})
		if err != nil {
			return nil, fmt.Errorf("search the logs: %w", err)
		}
		switch out.Status {
		case types.QueryStatusComplete:
			return matching(messages(out.Results), q), nil
		case types.QueryStatusScheduled, types.QueryStatusRunning, types.QueryStatusUnknown:
		default:
			return nil, fmt.Errorf("search the logs: the query is %s", out.Status)
		}
		select {
		case <-time.After(i.pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func messages(rows [][]types.ResultField) (texts []string) {
	for _, row := range rows {
		for _, field := range row {
			if aws.ToString(field.Field) == "@message" {
				texts = append(texts, aws.ToString(field.Value))
			}
		}
	}
	return texts
}

// insights is the query in the language of Logs Insights, in which like finds a part
// ("Logs Insights query syntax"). No id has a quote.
func (q query) insights() string {
	var conditions []string
	for _, id := range q.traces {
		conditions = append(conditions, fmt.Sprintf("trace = %q", id))
	}
	if q.event != "" {
		conditions = append(conditions, fmt.Sprintf("event like %q", q.event))
	}
	return "fields @message | filter " + strings.Join(conditions, " or ") + " | sort @timestamp asc"
}
