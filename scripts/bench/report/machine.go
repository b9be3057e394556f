package report

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine is where and what was measured. It names no host and no path.
type Machine struct {
	Commit string `json:"commit"` // short; with "+" if files were changed since; "" outside a repository
	Go     string `json:"go"`
	Cores  int    `json:"cores"`
	CPU    string `json:"cpu"` // model, or the architecture if that is not known
}

// ThisMachine describes the machine that it runs on.
func ThisMachine(ctx context.Context) Machine {
	return Machine{Commit: commit(ctx), Go: runtime.Version(), Cores: runtime.NumCPU(), CPU: cpu()}
}

func (m Machine) String() string {
	s := fmt.Sprintf("%d cores, %s, %s", m.Cores, m.CPU, m.Go)
	if m.Commit != "" {
		s += ", commit " + m.Commit
	}
	return s
}

func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return ""
	}
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil || len(changes) > 0 {
		return strings.TrimSpace(string(head)) + "+"
	}
	return strings.TrimSpace(string(head))
}

// cpu is the model's name as Linux reports it.
func cpu() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
