package main

import (
	"log/slog"
	"testing"

	"subwire/shared/boot"
	"subwire/shared/chat"
	"subwire/shared/topology"
)

// As in the test of the function message.
func TestASettingThatCannotBeUsedIsAnError(t *testing.T) {
	t.Parallel()
	for env, value := range map[string]string{"AUTH": topology.JWT, "TRUSTED_DOCUMENTS": "/nowhere/operations.json"} {
		given := map[string]string{env: value}
		settings, _ := topology.Read(topology.GraphQL.Settings(), func(name string) string { return given[name] })
		if run(boot.Process{Config: boot.Config{Settings: settings}, Log: slog.New(slog.DiscardHandler)}, chat.New().App) == nil {
			t.Errorf("%s=%s: no error", env, value)
		}
	}
}
