package boot

import (
	"strings"
	"testing"
	"time"

	"subwire/shared/topology"
)

func TestTheEnvironmentOfAHost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env  map[string]string
		want Host
		err  string
	}{
		"InATask": {map[string]string{taskMetadataEnv: "http://169.254.170.2/v4/1", "HOST_TARGET_GROUP": "arn"},
			Host{Port: "4100", Metadata: "http://169.254.170.2/v4/1", Targets: "arn", Drain: 75 * time.Second}, ""},
		"Elsewhere": {map[string]string{topology.HostAddressEnv: "10.0.0.1:80", "PORT": "80", topology.HostDrainEnv: "2s"},
			Host{Port: "80", Address: "10.0.0.1:80", Drain: 2 * time.Second}, ""},
		"Nowhere":  {nil, Host{}, "HOST_ADDRESS is not set"},
		"NoTime":   {map[string]string{topology.HostAddressEnv: "a:1", topology.HostDrainEnv: "long"}, Host{}, "HOST_DRAIN"},
		"Backward": {map[string]string{topology.HostAddressEnv: "a:1", topology.HostDrainEnv: "-1s"}, Host{}, "HOST_DRAIN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := hostOf(func(name string) string { return tc.env[name] })
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got error %v", err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
