package topology

import (
	"errors"
	"net/url"
)

// ParameterPrefix marks a key or token that is the name of a parameter in AWS Systems
// Manager's Parameter Store, which also reads secrets of Secrets Manager.
const ParameterPrefix = "ssm:"

// HS256 is the one algorithm whose key is a secret.
const HS256 = "HS256"

// Algorithms are the allowed values of JWTAlgorithm.
func Algorithms() []string { return []string{"RS256", "PS256", "ES256", "EdDSA", HS256} }

// CheckJWT refuses settings that do not go together with AUTH=jwt. Each is good by
// itself; "" is one that is not set.
func CheckJWT(issuer, audience, algorithm, keysURL, key string) error {
	switch {
	case issuer == "" || audience == "":
		return errors.New("AUTH=jwt needs JWT_ISSUER and JWT_AUDIENCE: or else any token of the issuer's keys would do")
	case (keysURL == "") == (key == ""):
		return errors.New("AUTH=jwt needs either JWT_JWKS_URL or JWT_KEY")
	case algorithm == HS256 && key == "":
		return errors.New("JWT_ALGORITHM=HS256 needs JWT_KEY: a secret must not be published")
	}
	return nil
}

// CheckHandshakeToken refuses tokens at the handshake where there are none at all.
func CheckHandshakeToken(v Values) error {
	if HandshakeToken.In(v) != TokenOff && Auth.In(v) == Anonymous {
		return errors.New("HANDSHAKE_TOKEN needs AUTH=jwt")
	}
	return nil
}

// keysURL reads the URL of a JSON Web Key Set, or "".
func keysURL(text string) (string, error) {
	u, err := url.Parse(text)
	isURL := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
	if text != "" && !isURL {
		return "", errors.New("it must be an http or https URL with a host")
	}
	return text, nil
}
