package chaos

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// burnEnv in the environment makes the test binary burn.
const burnEnv = "SUBWIRE_CHAOS_BURN"

// startBurner starts a process that keeps a core busy until this process ends.
func startBurner() error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), burnEnv+"=1", "GOMAXPROCS=1")
	if _, err := cmd.StdinPipe(); err != nil {
		return fmt.Errorf("start burner: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start burner: %w", err)
	}
	return nil
}

// burn keeps a core busy until its input ends, which happens when the parent dies.
func burn() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for n := uint64(1); n != 0; { // 2^64 steps
		n = n*6364136223846793005 + 1442695040888963407
	}
}
