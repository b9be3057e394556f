package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// deployed answers GetTemplate with the deployed template, or with the error for a missing
// stack if body is "", or for a caller who may not ask. next answers everything else.
func deployed(body string, forbidden bool, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			next(w, r)
			return
		}
		code, message := "ValidationError", "Stack with id "+r.FormValue("StackName")+" does not exist"
		switch {
		case r.FormValue("Action") != "GetTemplate" || forbidden:
			code, message = "AccessDenied", "no"
		case body != "":
			var text strings.Builder
			_ = xml.EscapeText(&text, []byte(body)) // a builder takes everything
			fmt.Fprintf(w, `<GetTemplateResponse><GetTemplateResult><TemplateBody>%s</TemplateBody></GetTemplateResult></GetTemplateResponse>`, &text)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, message)
	}
}

// tasksOf answers as ECS with a service that has these tasks, and everything else like next.
// counts is the service as JSON, "" for none; last the state of a task that was told to stop, ""
// for none. A count that begins with ! is an error.
func tasksOf(counts, last string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, action, isECS := strings.Cut(r.Header.Get("X-Amz-Target"), "AmazonEC2ContainerServiceV20141113.")
		if !isECS {
			next(w, r)
			return
		}
		var in struct {
			Cluster, DesiredStatus string
			Services, Tasks        []string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Cluster != "subwire-prod-cluster" {
			refuse(w, http.StatusBadRequest, "InvalidParameterException")
			return
		}
		fault, isFault := strings.CutPrefix(counts, "!")
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		switch {
		case isFault:
			refuse(w, http.StatusBadRequest, fault)
		case action == "DescribeServices" && slices.Equal(in.Services, []string{"subwire-prod-host"}) && counts == "":
			fmt.Fprint(w, `{"services":[],"failures":[{"arn":"arn","reason":"MISSING"}]}`)
		case action == "DescribeServices" && slices.Equal(in.Services, []string{"subwire-prod-host"}):
			fmt.Fprintf(w, `{"services":[%s],"failures":[]}`, counts)
		case action == "ListTasks" && in.DesiredStatus == "STOPPED" && last == "":
			fmt.Fprint(w, `{"taskArns":[]}`)
		case action == "ListTasks" && in.DesiredStatus == "STOPPED":
			fmt.Fprint(w, `{"taskArns":["arn:1"]}`)
		case action == "DescribeTasks" && slices.Equal(in.Tasks, []string{"arn:1"}):
			fmt.Fprintf(w, `{"tasks":[{"taskArn":"arn:1","lastStatus":%q}]}`, last)
		default:
			refuse(w, http.StatusBadRequest, "InvalidParameterException")
		}
	}
}

// says checks what is said of a template with these resources besides: want, and then it is
// refused, or nothing if that is "".
func says(t *testing.T, url, resources, want string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "subwire-shop-prod.template.json")
	text := `{"Resources": {` + resources + `"sender": {"Type": "AWS::Lambda::Function",
		"Properties": {"FunctionName": "subwire-shop-prod-sender", "Environment": {"Variables": {"APP": "shop"}}}},
		"operations": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": "subwire-shop-prod-operations"}}}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, said := command(t, url, "stored", path)
	if (status != 0) != (want != "") || !strings.Contains(said, want) || want == "" && said != "" {
		t.Errorf("status %d: %s", status, said)
	}
}

// A host that was told to have no tasks may still have some, or have some again.
func TestAHostIsTakenAwayWhenItsTasksHaveStopped(t *testing.T) {
	t.Parallel()
	const (
		cluster = `"cluster": {"Type": "AWS::ECS::Cluster", "Properties": {"ClusterName": "subwire-prod-cluster"}}`
		service = `"service": {"Type": "AWS::ECS::Service", "Properties": {"ServiceName": "subwire-prod-host", "DesiredCount": 0}}`
		none    = `{"desiredCount":0,"runningCount":0,"pendingCount":0}`
	)
	for name, tc := range map[string]struct {
		counts, last string
		says         string // "" for nothing
	}{
		"Stopped":     {none, "STOPPED", ""},
		"Forgotten":   {none, "", ""},
		"Running":     {`{"desiredCount":0,"runningCount":2,"pendingCount":0}`, "", "still has tasks, 2 of them"},
		"Starting":    {`{"desiredCount":0,"runningCount":0,"pendingCount":1}`, "", "still has tasks, 1 of them"},
		"Asked":       {`{"desiredCount":2,"runningCount":0,"pendingCount":0}`, "", "still has tasks, 2 of them"},
		"Draining":    {none, "DEACTIVATING", "still has tasks, 1 of them"},
		"Stopping":    {none, "STOPPING", "still has tasks, 1 of them"},
		"NoService":   {"", "STOPPED", ""},
		"NoCluster":   {"!ClusterNotFoundException", "", ""},
		"NotAnswered": {"!AccessDeniedException", "", "is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(deployed(`{"Resources": {`+cluster+`,`+service+`}}`, false,
				tasksOf(tc.counts, tc.last, operations("ResourceNotFoundException"))))
			defer server.Close()
			says(t, server.URL, "", tc.says)
		})
	}
}

// A host that has sockets is emptied before it is taken away.
func TestAHostWithSocketsIsNotTakenAway(t *testing.T) {
	t.Parallel()
	const (
		scaled  = `{"Type": "AWS::ECS::Service", "Properties": {"ServiceName": "subwire-prod-host"}}`
		fixed   = `{"Type": "AWS::ECS::Service", "Properties": {"DesiredCount": 2}}`
		emptied = `{"Type": "AWS::ECS::Service", "Properties": {"DesiredCount": 0}}`
		none    = `{"Type": "AWS::IAM::Role"}`
	)
	for name, tc := range map[string]struct {
		before, after string // the resource in question; "" for no stack
		forbidden     bool
		says          string // "" for nothing
	}{
		"TakenAway":   {scaled, none, false, "-c hostTasks=0 first, then without"},
		"FixedNumber": {fixed, none, false, "-c hostTasks=0 first, then without"},
		"EmptiedNow":  {scaled, emptied, false, ""},
		"Kept":        {scaled, scaled, false, ""},
		"NeverThere":  {none, none, false, ""},
		"First":       {"", none, false, ""},
		"NotKnown":    {none, none, true, "is not known"},
		"KeptUnknown": {none, scaled, true, ""},
		"NoTemplate":  {"%", none, false, "is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := tc.before
			if strings.HasPrefix(body, "{") {
				body = `{"Resources": {"service": ` + body + `}}`
			}
			server := httptest.NewServer(deployed(body, tc.forbidden, operations("ResourceNotFoundException")))
			defer server.Close()
			says(t, server.URL, `"service": `+tc.after+`,`, tc.says)
		})
	}
}
