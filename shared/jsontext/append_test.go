package jsontext_test

import (
	"testing"

	"subwire/shared/jsontext"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{`x"<a> & b"`: "<a> & b", `x{"a":[1,null]}`: map[string]any{"a": []any{1, nil}}, `x"\n"`: "\n"} {
		if got, err := jsontext.Append([]byte("x"), v); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	if got, err := jsontext.Append([]byte("x"), []any{"a", func() {}}); err == nil || string(got) != "x" {
		t.Errorf("after an error: %s, %v", got, err)
	}
}
