package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// child is another process, so that its CPU time is its own. It reads and writes
// lines of JSON, and ends when there are no more to read.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// startChild starts a program with more environment than this one has.
func startChild(ctx context.Context, env []string, command ...string) (*child, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), env...)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	return &child{cmd, in, json.NewDecoder(bufio.NewReader(out))}, nil
}

// ask sends the child a line and reads its answer.
func (c *child) ask(line, answer any) error {
	if err := json.NewEncoder(c.in).Encode(line); err != nil {
		return fmt.Errorf("write to a child: %w", err)
	}
	if err := c.out.Decode(answer); err != nil {
		return fmt.Errorf("read from a child: %w", err)
	}
	return nil
}

func (c *child) stop() {
	c.in.Close()
	_ = c.cmd.Wait() // it does not matter how it ended
}
