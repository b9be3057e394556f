package backend

import "testing"

func TestJavaVersion(t *testing.T) {
	t.Parallel()
	for printed, want := range map[string]int{
		`openjdk version "17.0.15" 2025-04-15`:                                       17,
		`openjdk version "21" 2023-09-19`:                                            21,
		`java version "1.8.0_402"`:                                                   8,
		`openjdk version "24-ea" 2025-03-18`:                                         24,
		"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"25.0.1\" 2025-10-21": 25,
		"": 0, `version "x"`: 0,
	} {
		got, err := javaVersion(printed)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %d, error %v, want %d", printed, got, err, want)
		}
	}
}
