package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/chat/chattest"
	"subwire/shared/table"
	"subwire/shared/trace"
)

// tracer runs subwire trace for the local cloud.
func tracer(t *testing.T) func(args ...string) (out string, code int) {
	t.Helper()
	folder := t.TempDir()
	binary := filepath.Join(folder, "subwire")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../subwire").CombinedOutput(); err != nil {
		t.Fatalf("build subwire: %v\n%s", err, out)
	}
	forget, err := local.Announce(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forget)
	return func(args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), binary, append([]string{"trace", "--local"}, args...)...)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
}

// One event is followed from the mutation to each of its subscribers: one gets it at once,
// one is too busy and gets it later, and one has gone.
func TestAnEventIsTraced(t *testing.T) {
	t.Parallel()
	run := tracer(t)
	const chatID = "e2e-trace"
	ids := map[string]string{} // of connections
	var subs []*wsclient.Subscription
	for _, name := range []string{"trace-well", "trace-busy", "trace-gone"} {
		c, err := wsclient.Dial(within(t), local.WSURL, wsclient.Options{Init: map[string]any{"name": name}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		subs = append(subs, subscribe(t, c, selections[0].query, chatID))
		ids[name] = connectionID(t, name)
	}
	awaitSubscribers(t, chatID, 3)
	failPosts(t, ids["trace-busy"], http.StatusTooManyRequests, 3)
	failPosts(t, ids["trace-gone"], http.StatusGone, 2)

	status, body := request(t, `{"query":"mutation { postMessage(chatId: \"e2e-trace\", content: \"x\", senderName: \"Ada\") { id } }"}`)
	var posted struct {
		Data struct{ PostMessage struct{ ID string } }
	}
	if err := json.Unmarshal(body, &posted); err != nil || status != http.StatusOK {
		t.Fatal(status, string(body), err)
	}
	event := posted.Data.PostMessage.ID
	next(t, subs[0])
	next(t, subs[1])
	var out string
	await(t, "the last batch", func() bool {
		var code int
		out, code = run(event, "--connection", ids["trace-busy"])
		return code == 0 && strings.Contains(out, "\n3 targets: 2 delivered, 1 gone\n")
	})
	steps := []string{
		`graphql +row written +table messages, event ` + event + ` `,
		`stream +event (delivered|sent) +event ` + event + `, .*3 targets`, // a busy machine takes the queue
		`(stream +event|sender +batch) delivered .*` + regexp.QuoteMeta(ids["trace-gone"]) + ` gone`,
		`(stream +event|sender +batch) delivered .*` + regexp.QuoteMeta(ids["trace-busy"]) + ` retried status 429`,
		`sender +batch delivered .*, attempt 1, 1 delivered`,
		`connection ` + regexp.QuoteMeta(ids["trace-busy"]) + `, of group \d: retried in attempt 0: status 429.*; a later batch`,
	}
	for _, step := range steps {
		if !regexp.MustCompile(step).MatchString(out) {
			t.Errorf("no %s in\n%s", step, out)
		}
	}
	if graphql, stream, sender := strings.Index(out, "row written"), strings.Index(out, "stream  "), strings.Index(out, "attempt 1"); graphql > stream || stream > sender {
		t.Errorf("not in order of time:\n%s", out)
	}
	if strings.Contains(out, chatID) {
		t.Errorf("the chat is named:\n%s", out)
	}

	asJSON, code := run(event, "-o", "json")
	var id string
	for line := range strings.Lines(asJSON) {
		var step struct {
			Function, Request, Trace, What string
			Traces                         []string
		}
		if err := json.Unmarshal([]byte(line), &step); err != nil || step.Traces == nil && (step.Request == "" || !trace.IsID(step.Trace)) {
			t.Errorf("%s: %v", line, err)
		}
		if step.Traces != nil {
			id = step.Traces[0]
		}
	}
	if byTrace, again := run(id); code != 0 || again != 0 || strings.Count(byTrace, "batch delivered") != strings.Count(out, "batch delivered") {
		t.Errorf("exit %d, %d; by the trace %q:\n%s", code, again, id, byTrace)
	}
	for args, want := range map[string]int{"01NOSUCHEVENT": 1, trace.New(time.Now()): 1, `a"b`: 2} {
		if out, code := run(args); code != want {
			t.Errorf("%s: exit %d, %s", args, code, out)
		}
	}
}

// A record that is parked is found by the trace of its row.
func TestADeadLetterIsTraced(t *testing.T) {
	t.Parallel()
	run := tracer(t)
	name, id := local.Tables[chattest.Table.Name], trace.New(time.Now())
	_, err := dynamodb.NewFromConfig(local.Backend.AWS()).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name,
		Item: map[string]ddb.AttributeValue{
			"chatId":      &ddb.AttributeValueMemberS{Value: "e2e-traced-letter"},
			"id":          &ddb.AttributeValueMemberS{Value: "no-message"},
			table.Trace:   &ddb.AttributeValueMemberS{Value: id},
			table.Written: &ddb.AttributeValueMemberN{Value: strconv.FormatInt(time.Now().UnixMilli(), 10)}}})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the letter", func() bool {
		out, code := run(id)
		return code == 0 && strings.Contains(out, "record parked")
	})
}

// A page that a browser has loaded cannot read the log, whatever its name leads to.
func TestTheLogIsForThisMachine(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]int{"": http.StatusOK, "evil.example:80": http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, local.ControlURL+"/log", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		fmt.Fprint(&b, response.Header)
		response.Body.Close()
		if response.StatusCode != want || strings.Contains(b.String(), "Access-Control") {
			t.Errorf("for %q: %d, %s", host, response.StatusCode, &b)
		}
	}
}
