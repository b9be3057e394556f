package e2e

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/topology"
)

// What one address spends over HTTP also counts for its sockets, whichever processes
// serve them.
func TestAnAllowanceHoldsForAllFunctions(t *testing.T) {
	t.Parallel()
	c, err := startCloud(within(t), cloud.Config{Root: "../..", Output: &logs, Settings: map[string]string{
		topology.MaxCostPerMinute.Env: "400", topology.InitTimeout.Env: "5m"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	ask := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.HTTPURL+"?query={__typename}", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Error("a refusal does not say when to try again")
		}
		return resp.StatusCode
	}
	client, err := wsclient.Dial(within(t), c.WSURL, wsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	await(t, "a request is refused", func() bool { return ask() == http.StatusTooManyRequests })
	// A process learns of it by its first draw that is counted.
	await(t, "an operation is refused", func() bool {
		ask() // a new minute may have begun
		_, err := client.Query(context.WithoutCancel(t.Context()), wsclient.Operation{Query: "{ __typename }"})
		return err != nil && (strings.Contains(err.Error(), "LIMIT_EXCEEDED") || strings.Contains(err.Error(), "4429 Allowance spent"))
	})
	await(t, "a handshake is refused", func() bool {
		ask()
		raw, err := wsclient.DialRaw(t.Context(), c.WSURL, wsclient.Options{})
		if err == nil {
			raw.Close(1000, "")
		}
		var refused *wsclient.RefusedError
		return errors.As(err, &refused) && refused.Status == http.StatusTooManyRequests
	})
}
