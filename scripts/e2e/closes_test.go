package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The npm client graphql-ws sees of a host what it sees of the server of its own package,
// whatever rule of the protocol it breaks: the code, the reason, and whether it tries
// again. A host may say more precisely what is wrong with a message.
func TestClosesAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	needHosts(t, "API Gateway closes with 1000 or 1001 only")
	line := startNode(t, "closes.mjs", local.WSURL, hurriedURL(t), secure(t).WSURL).line(t)
	type seen struct {
		Closes   []string
		Error    string
		Connects int
	}
	var rules map[string]struct{ Subwire, Reference seen }
	if err := json.Unmarshal([]byte(line), &rules); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	codes := map[string]bool{}
	plain := func(text string) string {
		code, _, _ := strings.Cut(text, " ")
		if codes[code] = true; code == "4400" {
			return code // its reason is each server's own
		}
		return text
	}
	for name, rule := range rules {
		for _, s := range []*seen{&rule.Subwire, &rule.Reference} {
			s.Error = plain(s.Error)
			for i, text := range s.Closes {
				s.Closes[i] = plain(text)
			}
		}
		if got, want := fmt.Sprint(rule.Subwire), fmt.Sprint(rule.Reference); got != want {
			t.Errorf("%s: the client sees %s, and of the reference %s", name, got, want)
		}
	}
	for _, code := range []string{"1000", "4400", "4401", "4403", "4408", "4409", "4429"} {
		if !codes[code] {
			t.Errorf("no rule leads to %s", code)
		}
	}
}
