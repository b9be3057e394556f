package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"subwire/shared/boot"
)

// metadataTime bounds a look at the task's metadata: they are on the same machine.
const metadataTime = 5 * time.Second

// taskAddress is the address of this task in its network ("Amazon ECS task metadata
// endpoint version 4 for tasks on Fargate": Networks, IPv4Addresses).
func taskAddress(ctx context.Context, env boot.Host) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, env.Metadata, nil)
	if err != nil {
		return "", fmt.Errorf("read metadata of task: %w", err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", fmt.Errorf("read metadata of task: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	var found struct {
		Networks []struct{ IPv4Addresses []string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return "", fmt.Errorf("read metadata of task: %w", err)
	}
	for _, n := range found.Networks {
		for _, ip := range n.IPv4Addresses {
			return net.JoinHostPort(ip, env.Port), nil
		}
	}
	return "", errors.New("the task's metadata name no address")
}
