package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"subwire/shared/metrics"
	"subwire/shared/topology"
)

// ofAWS are the metrics of AWS's services that a dashboard may name, from the pages "Types
// of metrics for Lambda functions", "Available CloudWatch metrics for Amazon SQS",
// "DynamoDB metrics and dimensions", "Monitor HTTP APIs" and "Monitor WebSocket API
// execution with CloudWatch metrics".
var ofAWS = map[string][]string{
	"AWS/Lambda":     {"Errors", "Throttles", "IteratorAge"},
	"AWS/SQS":        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
	"AWS/DynamoDB":   {"ReadThrottleEvents", "WriteThrottleEvents"},
	"AWS/ApiGateway": {"Count", "4xx", "5xx", "ClientError"},
}

// dashboardOf decodes the body of the template's dashboard, with names in the place of
// references.
func dashboardOf(t *testing.T, tmpl template) (body struct {
	Widgets []struct {
		Type                string
		X, Y, Width, Height int
		Properties          struct {
			Title, Markdown, Region string
			Period                  int
			Metrics                 [][]any
		}
	}
}) {
	t.Helper()
	for _, p := range tmpl.all("AWS::CloudWatch::Dashboard") {
		if err := json.Unmarshal([]byte(tmpl.text(p["DashboardBody"])), &body); err != nil {
			t.Fatal(err)
		}
	}
	return body
}

// "Dashboard Body Structure and Syntax".
func TestTheDashboardIsThePipeline(t *testing.T) {
	t.Parallel()
	app := everySwitch.app
	if app.CanaryEvery = time.Minute; len(app.Pipeline()) != len(everySwitch.app.Pipeline())+1 {
		t.Error("the pipeline lacks the canary")
	}
	body := dashboardOf(t, everySwitch)
	parts := everySwitch.app.Pipeline()
	if len(body.Widgets) != len(parts)+1 {
		t.Fatalf("%d widgets for %d parts", len(body.Widgets), len(parts))
	}
	for name := range ofAWS {
		slices.Sort(ofAWS[name])
	}
	for _, m := range metrics.All() {
		ofAWS[metrics.Namespace] = append(ofAWS[metrics.Namespace], m.Name)
	}
	taken := map[[2]int]bool{}
	for i, w := range body.Widgets {
		for x := w.X; x < w.X+w.Width; x++ {
			for y := w.Y; y < w.Y+w.Height; y++ {
				if taken[[2]int{x, y}] || x > 23 {
					t.Fatalf("widget %d lies over another, or outside", i)
				}
				taken[[2]int{x, y}] = true
			}
		}
		if w.Type == "text" {
			if !strings.Contains(w.Properties.Markdown, "subwire-prod") {
				t.Errorf("the text does not say of which deployment it is: %s", w.Properties.Markdown)
			}
			continue
		}
		part := parts[i-1]
		if w.Type != "metric" || w.Properties.Title != part.Name || w.Properties.Region != "Region" || w.Properties.Period != 60 ||
			len(w.Properties.Metrics) != len(part.Figures) {
			t.Errorf("widget %d is %+v, want %s", i, w.Properties, part.Name)
		}
		for j, line := range w.Properties.Metrics {
			namespace, name := line[0].(string), line[1].(string)
			if !slices.Contains(ofAWS[namespace], name) {
				t.Errorf("nobody publishes %s %s", namespace, name)
			}
			if line[len(line)-2] == "" || len(line) != 5 {
				t.Errorf("%v has no dimension", line)
			}
			check(t, "look", line[len(line)-1], object{"stat": part.Figures[j].Statistic, "label": part.Figures[j].Label})
		}
	}
	if line := body.Widgets[1].Properties.Metrics[0]; line[2] != "Stack" || line[3] != "subwire-prod" {
		t.Errorf("the first line is %v", line)
	}
}

func TestWhoHasADashboard(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tmpl template
		want int
	}{"without alarms": {dev, 0}, "with alarms": {alarmed, 1}, "with alarms and without it": {alarmedShop, 0}} {
		if got := len(tt.tmpl.all("AWS::CloudWatch::Dashboard")); got != tt.want {
			t.Errorf("%s: %d", name, got)
		}
	}
	o, err := parse(map[string]string{"dashboard": "true"})
	if err != nil || !o.dashboard {
		t.Errorf("by itself: %v, %v", o.dashboard, err)
	}
}

// A saved query names only what is logged: attributes and messages of the code, and fields
// of Logs Insights ("Supported logs and discovered fields").
func TestQueriesNameOnlyWhatIsLogged(t *testing.T) {
	t.Parallel()
	code := sources(t)
	known := map[string]bool{"@timestamp": true, "@message": true, "time": true, "level": true, "msg": true, metrics.Code: true}
	for _, m := range metrics.All() {
		known[m.Name] = true
	}
	for _, later := range []string{"request", "trace", "record", "status", "requestId"} { // of every line, or Lambda's
		known[later] = true
	}
	word, text := regexp.MustCompile(`@?[A-Za-z]+`), regexp.MustCompile(`"[^"]*"`)
	const language = "filter or in like fields sort desc limit stats sum as by ispresent count max min"
	levels := []string{`"ID"`, `"ERROR"`, `"WARN"`}
	statuses := []string{`"failure"`, `"error"`, `"timeout"`} // "Lambda Telemetry API Event schema reference", Status
	for _, q := range queries {
		for _, value := range text.FindAllString(q.text, -1) {
			if !slices.Contains(levels, value) && !slices.Contains(statuses, value) && !strings.Contains(code, value) {
				t.Errorf("%s: nothing logs %s", q.name, value)
			}
		}
		for _, alias := range regexp.MustCompile(`as (\w+)`).FindAllStringSubmatch(q.text, -1) {
			known[alias[1]] = true
		}
		for _, name := range word.FindAllString(text.ReplaceAllString(q.text, ""), -1) {
			logged := known[name] || strings.Contains(code, `"`+name+`", `)
			if !logged && !slices.Contains(strings.Fields(language), name) {
				t.Errorf("%s: nothing logs %s", q.name, name)
			}
		}
	}
	for _, p := range everySwitch.all("AWS::Logs::QueryDefinition") {
		if groups := p["LogGroupNames"].([]any); len(groups) != len(topology.Functions()) || groups[0] != "/aws/lambda/subwire-prod-connect" ||
			!strings.HasPrefix(p["Name"].(string), "subwire-prod/") {
			t.Errorf("query %v is over %v", p["Name"], groups)
		}
	}
}

// sources is the code that logs.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{"../shared", "../functions"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			all.Write(raw)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

func TestTheEmulatorGetsWhatItKnows(t *testing.T) {
	t.Parallel()
	if len(emulatedAlarms.all("AWS::Logs::QueryDefinition")) > 0 {
		t.Error("it gets queries")
	}
	alarms := alarmsOf(emulatedAlarms, "subwire-dev-")
	if alarms["posts-refused"] != nil || alarms["parked"] == nil {
		t.Errorf("it gets %d alarms", len(alarms))
	}
}
