package awsproxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOnlyOneAsksForCapacity(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                                   `{"ReturnConsumedCapacity":"TOTAL"}`,
		`{ "A":1}`:                             `{"ReturnConsumedCapacity":"TOTAL", "A":1}`,
		`{"ReturnConsumedCapacity":"INDEXES"}`: `{"ReturnConsumedCapacity":"INDEXES"}`,
		``:                                     ``,
	} {
		if got := string(AskForCapacity([]byte(body))); got != want {
			t.Errorf("%s becomes %s, want %s", body, got, want)
		}
	}
}

// answering reads a request, and looks for more of its body while the answer is read.
type answering struct{ sent io.Reader }

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.ReadAll(r.Body); err != nil {
		return nil, err
	}
	rest := answering{r.Body}
	return &http.Response{StatusCode: http.StatusOK, ContentLength: -1,
		Body: io.NopCloser(io.MultiReader(strings.NewReader("begun"), rest))}, nil
}

func (a answering) Read(p []byte) (int, error) {
	if n, err := a.sent.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return 0, errors.New("the request has not ended")
	}
	return copy(p, "ended"), io.EOF
}

func TestARequestHasEndedWhenItsAnswerBegins(t *testing.T) {
	t.Parallel()
	proxy, err := New("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	proxy.Transport = answering{}
	server := httptest.NewServer(proxy)
	defer server.Close()
	resp, err := server.Client().Post(server.URL, "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "begunended" {
		t.Errorf("got %q, %v", got, err)
	}
}
