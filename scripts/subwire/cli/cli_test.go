package cli

import (
	"testing"

	"subwire/shared/topology"
)

func TestSettingsAreReadAsAFunctionDoes(t *testing.T) {
	t.Parallel()
	given, values, err := Settings([]string{"MAX_FIELDS=7", "AUTH=jwt"})
	if err != nil || len(given) != 2 || given["MAX_FIELDS"] != "7" ||
		topology.MaxFields.In(values) != 7 || topology.Auth.In(values) != topology.JWT {
		t.Errorf("read %v, %v, %v", given, values, err)
	}
	for _, pair := range []string{"MAX_FIELDS=many", "MAX_FIELDS=0", "NONE=1", ""} {
		if _, _, err := Settings([]string{pair}); err == nil {
			t.Errorf("%q: no error", pair)
		}
	}
}
