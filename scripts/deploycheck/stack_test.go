package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stackOf answers as the account 123456789012 with one stack, which is protected, and counts
// what is done to it. Everything else is unknown.
func stackOf(status string, changes *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		switch action := r.Form.Get("Action"); action {
		case "GetCallerIdentity":
			fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
		case "DescribeStacks":
			fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>%s</StackName><StackStatus>%s</StackStatus>`+
				`<CreationTime>2026-11-28T00:00:00Z</CreationTime><EnableTerminationProtection>true</EnableTerminationProtection></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`,
				r.Form.Get("StackName"), status)
		case "UpdateTerminationProtection":
			*changes = append(*changes, r.Form.Get("StackName")+" "+r.Form.Get("EnableTerminationProtection"))
			if status == "ROLLBACK_FAILED" { // and it cannot be changed
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
				return
			}
			fmt.Fprint(w, `<UpdateTerminationProtectionResponse><UpdateTerminationProtectionResult/></UpdateTerminationProtectionResponse>`)
		default:
			refuse(w, http.StatusForbidden, "AccessDeniedException")
		}
	}
}

func TestWhatIsLeftOfAFirstDeploymentCanBeDeleted(t *testing.T) {
	t.Parallel()
	for state, test := range map[string]struct {
		changes string
		status  int
	}{
		"ROLLBACK_COMPLETE":        {"subwire-prod false", 0},
		"CREATE_FAILED":            {"subwire-prod false", 0},
		"ROLLBACK_FAILED":          {"subwire-prod false", 1},
		"CREATE_COMPLETE":          {"", 0},
		"UPDATE_ROLLBACK_COMPLETE": {"", 0},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			var changes []string
			server := httptest.NewServer(stackOf(state, &changes))
			defer server.Close()
			status, said := command(t, server.URL, "before", written(t, "", 0))
			if status != test.status || strings.Join(changes, ", ") != test.changes {
				t.Errorf("status %d, changes %v: %s", status, changes, said)
			}
		})
	}
}

func TestCredentialsOfAnotherAccountAreRefused(t *testing.T) {
	t.Parallel()
	for environment, want := range map[string]string{
		"aws://123456789012/eu-west-1":         "",
		"aws://unknown-account/unknown-region": "",
		"aws://210987654321/eu-west-1": "subwire: subwire-prod is deployed to account 210987654321 (-c account)," +
			" and these credentials are of 123456789012\n",
	} {
		t.Run(environment, func(t *testing.T) {
			t.Parallel()
			var changes []string
			server := httptest.NewServer(stackOf("ROLLBACK_COMPLETE", &changes))
			defer server.Close()
			path := written(t, "", 0)
			manifest := fmt.Sprintf(`{"artifacts": {"subwire-prod": {"environment": %q}, "subwire-prod.assets": {}}}`, environment)
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "manifest.json"), []byte(manifest), 0o600); err != nil {
				t.Fatal(err)
			}
			status, said := command(t, server.URL, "before", path)
			if want != "" && (status != 1 || said != want || changes != nil) || want == "" && status != 0 {
				t.Errorf("status %d, changes %v: %s", status, changes, said)
			}
		})
	}
}

// What AWS is asked is asked where the stack is deployed.
func TestThePinnedRegionIsAsked(t *testing.T) {
	t.Parallel()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope := strings.Split(r.Header.Get("Authorization"), "/") // KEY/DATE/REGION/SERVICE/…
		asked = append(asked, scope[2])
		refuse(w, http.StatusForbidden, "AccessDeniedException")
	}))
	defer server.Close()
	path := written(t, "", 0)
	manifest := `{"artifacts": {"subwire-prod": {"environment": "aws://123456789012/ap-south-1"}}}`
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "manifest.json"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, server.URL, "before", path)
	for _, region := range asked {
		if region != "ap-south-1" {
			t.Errorf("asked in %s", region)
		}
	}
	if len(asked) < 3 {
		t.Errorf("asked %d times", len(asked))
	}
}
