package local

import (
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/spf13/pflag"

	"subwire/scripts/internal/cloud"
)

// addresses are the flags that say where to listen, and where their values are.
func addresses(cfg *cloud.Config) map[string]*string {
	all := map[string]*string{"http": &cfg.HTTP, "ws": &cfg.WS}
	if cfg.Tokens {
		all["issuer"] = &cfg.Issuer
	}
	if cfg.Control != "" {
		all["control"] = &cfg.Control
	}
	return all
}

// checkAddresses refuses what can be no address.
func checkAddresses(cfg *cloud.Config) error {
	for flag, address := range addresses(cfg) {
		_, port, err := net.SplitHostPort(*address)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return fmt.Errorf("--%s is %q: it is HOST:PORT, with a port up to 65535", flag, *address)
		}
	}
	return nil
}

// findAddresses looks whether each address is free. One that was asked for must be. In place of
// a default it takes a free port, and says so.
func findAddresses(cfg *cloud.Config, flags *pflag.FlagSet, out io.Writer) error {
	for flag, address := range addresses(cfg) {
		l, err := net.Listen("tcp", *address)
		if err == nil {
			l.Close()
			continue
		}
		host, _, splitErr := net.SplitHostPort(*address)
		if flags.Changed(flag) || splitErr != nil {
			return fmt.Errorf("--%s: the address cannot be had: %w", flag, err)
		}
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		fmt.Fprintf(out, "%s is taken; --%s is %s now\n", *address, flag, l.Addr())
		*address = l.Addr().String()
		l.Close()
	}
	return nil
}
