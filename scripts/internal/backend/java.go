package backend

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

const oldestJava = 17 // DynamoDB Local 3 needs it

// findJava returns the java command, or an error that says what to install.
func findJava(ctx context.Context) (string, error) {
	path, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("no java command found: install a Java runtime, version %d or newer", oldestJava)
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run java -version: %w", err)
	}
	version, err := javaVersion(string(out))
	switch {
	case err != nil:
		return "", err
	case version < oldestJava:
		return "", fmt.Errorf("the java command is version %d: install a Java runtime, version %d or newer", version, oldestJava)
	}
	return path, nil
}

// javaVersion finds the major version in what java -version prints, such as
// `openjdk version "17.0.15" 2025-04-15` or `java version "1.8.0_402"`.
func javaVersion(printed string) (int, error) {
	_, quoted, _ := strings.Cut(printed, `version "`)
	quoted = strings.TrimPrefix(quoted, "1.") // up to Java 8
	digits := quoted[:len(quoted)-len(strings.TrimLeft(quoted, "0123456789"))]
	version, err := strconv.Atoi(digits)
	if err != nil {
		return 0, errors.New("java -version names no version")
	}
	return version, nil
}
