package publish_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"subwire/shared/publish"
	"subwire/shared/shop"
	"subwire/shared/subwire"
)

// database answers as DynamoDB, and keeps what it was asked.
type database struct {
	answer string // "" for success
	calls  []string
	bodies []string
}

func (d *database) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.calls = append(d.calls, r.Header.Get("X-Amz-Target"))
	d.bodies = append(d.bodies, string(body))
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if d.answer != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#`+d.answer+`"}`)
		return
	}
	_, _ = io.WriteString(w, "{}")
}

func start(t *testing.T, d *database) aws.Config {
	t.Helper()
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return aws.Config{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
}

// One call of the one action that the permission allows.
func TestAnEventIsOnePutItem(t *testing.T) {
	t.Parallel()
	d := &database{}
	p, err := publish.New(start(t, d), shop.New().App, "the-inbox")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), "courierMoved", "1", shop.Position{CourierID: "carl", Latitude: 52.5}); err != nil {
		t.Fatal(err)
	}
	if len(d.calls) != 1 || d.calls[0] != "DynamoDB_20120810.PutItem" {
		t.Fatalf("called %q", d.calls)
	}
	var got struct {
		TableName, ConditionExpression string
		Item                           map[string]map[string]string
	}
	if err := json.Unmarshal([]byte(d.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	data := `{"courierId":"carl","latitude":52.5,"longitude":0}`
	if got.TableName != "the-inbox" || got.ConditionExpression != "attribute_not_exists(#newer) OR #newer < :newer OR #ttl < :now" || len(got.Item) != 6 ||
		got.Item["group"]["S"] != "courierMoved/carl" || got.Item["id"]["S"] != "latest" || got.Item["newest"]["S"] != "1" || got.Item["event"]["S"] != "courierMoved" ||
		got.Item["data"]["S"] != data || got.Item["ttl"]["N"] == "" {
		t.Errorf("put %s", d.bodies[0])
	}
}

func TestWhatComesOfACall(t *testing.T) {
	t.Parallel()
	for answer, tc := range map[string]struct {
		data          string
		done, refused bool
		calls         int
	}{
		"":                                {`{"courierId":"carl","latitude":1,"longitude":2}`, true, false, 1},
		"ConditionalCheckFailedException": {`{"courierId":"carl","latitude":1,"longitude":2}`, true, false, 1}, // it was published before
		"AccessDeniedException":           {`{"courierId":"carl","latitude":1,"longitude":2}`, false, false, 1},
		"ValidationException":             {`{"courierId":"carl","latitude":"x"}`, false, true, 0},
	} {
		d := &database{answer: answer}
		p, err := publish.New(start(t, d), shop.New().App, "the-inbox")
		if err != nil {
			t.Fatal(err)
		}
		err = p.Publish(t.Context(), "courierMoved", "1", json.RawMessage(tc.data))
		if (err == nil) != tc.done || errors.Is(err, subwire.ErrRefused) != tc.refused || len(d.calls) != tc.calls {
			t.Errorf("%s: %v after %q", answer, err, d.calls)
		}
	}
}

func TestAProductWithoutAnInboxHasNoPublisher(t *testing.T) {
	t.Parallel()
	if _, err := publish.New(aws.Config{}, subwire.New("quiet"), "x"); err == nil || !strings.Contains(err.Error(), "product quiet takes no events") {
		t.Errorf("got %v", err)
	}
}
