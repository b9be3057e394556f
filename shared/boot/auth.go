package boot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"subwire/shared/topology"
)

// Auth is the settings of authentication. It has the fields of auth.Config,
// which functions that check no token are built without.
type Auth struct {
	Mode, Issuer, Audience, Algorithm, KeysURL, Key string
	Leeway                                          time.Duration
}

// The modes, as in auth.
var modes = []string{"anonymous", "jwt"}

func (a *Auth) set(s topology.Setting, value string) (err error) {
	switch s {
	case topology.Auth:
		if a.Mode = value; !slices.Contains(modes, value) {
			err = fmt.Errorf("it must be one of %s", strings.Join(modes, ", "))
		}
	case topology.JWTIssuer:
		a.Issuer = value
	case topology.JWTAudience:
		a.Audience = value
	case topology.JWTAlgorithm:
		a.Algorithm = value
	case topology.JWTKeysURL:
		a.KeysURL = value
	case topology.JWTKey:
		a.Key = value
	case topology.JWTLeeway:
		a.Leeway, err = duration(value, 0, 5*time.Minute)
	default:
		err = errors.New("boot does not know this setting")
	}
	return err
}

// members reads names of init payload members. Secrets are never stored.
func members(value string) ([]string, error) {
	return list(strings.ToLower(value)), topology.CheckInitMembers(value)
}
