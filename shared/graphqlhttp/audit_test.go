package graphqlhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"subwire/shared/graphqlhttp"
	"subwire/shared/pubsub"
)

const maxBody = 64 << 10

// executor answers the documents that the tests and the audits send. It parses nothing.
type executor struct{}

var _ pubsub.Executor = executor{}

var errStore = errors.New("table chats-secret is gone")

func (executor) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	result := func(kind pubsub.Kind, text string, err error) (pubsub.Executable, error) {
		return pubsub.Executable{Kind: kind, Run: func(context.Context, *pubsub.Event) (json.RawMessage, error) {
			return json.RawMessage(text), err
		}}, nil
	}
	invalid := func(code string) pubsub.Errors { return pubsub.Errors{pubsub.NewError(code, "no")} }
	switch doc := op.Document; {
	case doc == "{" || doc == "":
		return pubsub.Executable{}, invalid(pubsub.CodeParse)
	case strings.HasPrefix(doc, "query CoerceFailure"):
		return result(pubsub.KindQuery, "", invalid(pubsub.CodeInput))
	case doc == "{ broken }":
		return result(pubsub.KindQuery, "", errStore)
	case doc == "{ noData }":
		return result(pubsub.KindQuery, `{"errors":[{"message":"no"}]}`, nil)
	case doc == "{ nullData }":
		return result(pubsub.KindQuery, `{"errors":[{"message":"no"}],"data":null}`, nil)
	case strings.Contains(doc, "__type("):
		return result(pubsub.KindQuery, `{"data":{"__type":null}}`, nil)
	case doc == "mutation { __typename }":
		return result(pubsub.KindMutation, `{"data":{"__typename":"Mutation"}}`, nil)
	case doc == "subscription { __typename }":
		return result(pubsub.KindSubscription, `{"data":{"__typename":"Subscription"}}`, nil)
	case doc == "{ __typename }" || doc == "query Query { __typename }":
		return result(pubsub.KindQuery, `{"data":{"__typename":"Query"}}`, nil)
	}
	return pubsub.Executable{}, invalid(pubsub.CodeValidation)
}

// answer does with a request what the graphql function does.
func answer(ctx context.Context, r graphqlhttp.Request) graphqlhttp.Response {
	result, err := execute(ctx, r)
	return graphqlhttp.Respond(r.Accept, result, err)
}

func execute(ctx context.Context, r graphqlhttp.Request) (json.RawMessage, error) {
	op, err := graphqlhttp.Decode(r, maxBody)
	if err != nil {
		return nil, err
	}
	executable, err := executor{}.Prepare(op)
	if err != nil {
		return nil, err
	}
	if err := graphqlhttp.CheckKind(r.Method, executable.Kind); err != nil {
		return nil, err
	}
	return executable.Run(ctx, nil)
}

func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	response := answer(r.Context(), graphqlhttp.Request{
		Method:          r.Method,
		ContentType:     r.Header.Get("Content-Type"),
		ContentEncoding: strings.Join(r.Header.Values("Content-Encoding"), ","),
		Accept:          strings.Join(r.Header.Values("Accept"), ","),
		AcceptEncoding:  strings.Join(r.Header.Values("Accept-Encoding"), ","),
		Query:           r.URL.Query(),
		Body:            body,
	})
	for name, value := range response.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(response.Status)
	w.Write(response.Body)
}

// TestAudits runs the 61 audits of graphql-http against this package behind a
// real HTTP server. It needs node, and npm ci in scripts/clients.
func TestAudits(t *testing.T) {
	t.Parallel()
	const clients = "../../scripts/clients"
	required := os.Getenv("SUBWIRE_AUDIT") == "1"
	missing := func(what string) {
		if required {
			t.Fatal(what + " is missing")
		}
		t.Skip(what + " is missing; SUBWIRE_AUDIT=1 makes this a failure")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node")
	}
	if _, err := os.Stat(clients + "/node_modules/graphql-http"); err != nil {
		missing("node_modules of scripts/clients")
	}
	server := httptest.NewServer(http.HandlerFunc(serve))
	defer server.Close()

	cmd := exec.CommandContext(t.Context(), node, "audit.mjs", server.URL+"/graphql")
	cmd.Dir = clients
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "61 passed, 0 failed") {
		t.Errorf("%v\n%s", err, output)
	}
}
