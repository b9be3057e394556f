// Package jobs is a product whose schema the tests change (see schema_test.go).
package jobs

import (
	"context"

	"subwire/shared/subwire"
)

type State string

const (
	Open State = "OPEN"
	Late State = "LATE"
)

type Job struct {
	Team  string `json:"team" gql:"id"`
	ID    string `json:"id" gql:"id"`
	Title string `json:"title"`
}

type Product struct {
	*subwire.App
	jobs *subwire.Table[Job]
}

func New() Product {
	p := Product{App: subwire.New("jobs")}
	subwire.Enum(p.App, "State", Open, Late)
	p.jobs = subwire.NewTable(p.App, subwire.TableSpec{Name: "jobs", Key: "team", Sort: "id", OnlyInserts: true},
		func(c subwire.Change[Job], emit subwire.Emit) { emit(c.Now, c.Now.Team) })
	subwire.Query(p.App, "team", func(context.Context, subwire.Viewer, struct{}) (string, error) { return "a", nil })
	subwire.Mutation(p.App, "add", func(ctx context.Context, _ subwire.Viewer, a teamArgs) (Job, error) {
		job := Job{Team: a.Team, ID: p.NewID()}
		return job, p.jobs.Insert(ctx, job)
	})
	subwire.Subscribe(p.App, "jobs", subwire.Subscription[jobsArgs, Job]{
		Topic: func(a jobsArgs) (subwire.Topic, error) { return a.Team, nil },
		Replay: subwire.ReplayOf(p.jobs, func(a jobsArgs) string { return a.Team },
			func(j Job) (string, Job) { return j.ID, j }),
	})
	subwire.Subscribe(p.App, "sized", subwire.Subscription[sizedArgs, Job]{
		Topic: func(a sizedArgs) (subwire.Topic, error) { return a.Team, nil }})
	subwire.Subscribe(p.App, "stated", subwire.Subscription[statedArgs, Job]{
		Topic: func(a statedArgs) (subwire.Topic, error) { return a.Team, nil }})
	subwire.Subscribe(p.App, "numbered", subwire.Subscription[numberedArgs, Job]{
		Topic: func(a numberedArgs) (subwire.Topic, error) { return a.Team, nil }})
	return p
}

type teamArgs struct {
	Team string `json:"team" gql:"id"`
}

type jobsArgs struct {
	Team  string `json:"team" gql:"id"`
	After string `json:"after" gql:"id,after"`
}

type sizedArgs struct {
	Team string `json:"team" gql:"id"`
	Size *int   `json:"size"`
}

type statedArgs struct {
	Team  string `json:"team" gql:"id"`
	State *State `json:"state"`
}

type numberedArgs struct {
	Team   string  `json:"team" gql:"id"`
	Number *string `json:"number"`
}
