package main

import (
	"log/slog"
	"strings"
	"testing"

	"subwire/shared/boot"
	"subwire/shared/chat"
	"subwire/shared/topology"
)

// A setting that only its user can check also ends the process with an error. A run
// that went on would end the test: it is not a Lambda process.
func TestASettingThatCannotBeUsedIsAnError(t *testing.T) {
	t.Parallel()
	jwt := map[string]string{"AUTH": topology.JWT, "JWT_ISSUER": "i", "JWT_AUDIENCE": "a",
		"JWT_JWKS_URL": "https://i.example/jwks"}
	for name, tc := range map[string]struct{ env, value, want string }{
		"NoIssuer":           {"JWT_ISSUER", "", "needs JWT_ISSUER and JWT_AUDIENCE"},
		"NoAudience":         {"JWT_AUDIENCE", "", "needs JWT_ISSUER and JWT_AUDIENCE"},
		"NoKeys":             {"JWT_JWKS_URL", "", "either JWT_JWKS_URL or JWT_KEY"},
		"KeyAndKeys":         {"JWT_KEY", "ssm:/key", "either JWT_JWKS_URL or JWT_KEY"},
		"PublishedSecret":    {"JWT_ALGORITHM", "HS256", "needs JWT_KEY"},
		"NoTrustedDocuments": {"TRUSTED_DOCUMENTS", "/nowhere/operations.json", "trusted documents"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, errs := topology.Read(topology.Message.Settings(), func(env string) string {
				if env == tc.env {
					return tc.value
				}
				return jwt[env]
			})
			if errs != nil {
				t.Fatal(errs)
			}
			err := run(boot.Process{Config: boot.Config{Settings: settings}, Log: slog.New(slog.DiscardHandler)}, chat.New().App)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
