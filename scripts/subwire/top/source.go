package top

import (
	"context"
	"time"

	emulated "subwire/scripts/internal/cloudwatch"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/figures"
	"subwire/shared/topology"
)

// local asks the local cloud.
type local struct{ deployment.Deployment }

func (l local) Look(ctx context.Context, parts []topology.Part) (figures.Look, error) {
	if l.ControlURL == "" {
		return figures.Look{}, deployment.ErrNoControl
	}
	var report emulated.Report
	if err := deployment.AskControl(ctx, l.ControlURL+"/metrics", &report); err != nil {
		return figures.Look{}, err
	}
	type statistic struct {
		metric emulated.Metric
		name   string
	}
	found := map[statistic]float64{}
	for _, p := range report.Points {
		found[statistic{p.Metric, p.Statistic}] = p.Value
	}
	seen := figures.Look{At: report.At.Truncate(time.Minute), Figures: map[string]map[string]float64{},
		Alarms: report.Alarms, Faults: report.Faults}
	for _, p := range parts {
		for _, f := range p.Figures {
			if v, ok := found[statistic{emulated.Of(f.Of, f.Metric, l.App.Stack("")), f.Statistic}]; ok {
				seen.Set(p.Name, f.Label, v)
			}
		}
	}
	return seen, nil
}
