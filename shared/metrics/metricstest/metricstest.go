// Package metricstest reads metrics back, for tests.
package metricstest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"subwire/shared/metrics"
)

// New returns a meter, and a function that flushes it and returns the sums so far.
func New(t testing.TB) (m *metrics.Meter, sums func() map[string]int) {
	var out strings.Builder
	m = metrics.New("subwire-test", &out, time.Now)
	return m, func() map[string]int {
		t.Helper()
		m.Flush()
		return Sums(t, out.String())
	}
}

// Sums adds up the metrics in a log: "Refused" is of the deployment, "Refused 4401" of the
// code. Of values it has their sum. Other lines, and what is before a line's JSON, are
// passed over.
func Sums(t testing.TB, log string) map[string]int {
	t.Helper()
	sums := map[string]int{}
	for line := range strings.Lines(log) {
		if begin := strings.IndexByte(line, '{'); begin >= 0 && strings.Contains(line, `"_aws":`) {
			if err := add(sums, []byte(line[begin:])); err != nil {
				t.Errorf("%v in %s", err, line)
			}
		}
	}
	return sums
}

func add(sums map[string]int, line []byte) error {
	var meta struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	var members map[string]any
	if err := json.Unmarshal(line, &meta); err != nil {
		return err
	}
	if err := json.Unmarshal(line, &members); err != nil {
		return err
	}
	for _, directive := range meta.AWS.CloudWatchMetrics {
		for _, dimensions := range directive.Dimensions {
			code := ""
			for _, name := range dimensions {
				value, ok := members[name].(string)
				if !ok {
					return fmt.Errorf("no dimension %s", name)
				}
				if name == metrics.Code {
					code = " " + value
				}
			}
			for _, metric := range directive.Metrics {
				switch value := members[metric.Name].(type) {
				case float64:
					sums[metric.Name+code] += int(value)
				case []any:
					for _, v := range value {
						n, _ := v.(float64) // whatever else is a failure of the sums
						sums[metric.Name+code] += int(n)
					}
				default:
					return fmt.Errorf("no value of %s", metric.Name)
				}
			}
		}
	}
	return nil
}
