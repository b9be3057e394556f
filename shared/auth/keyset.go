package auth

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// keySet holds the public keys of a JSON Web Key Set by id. Keys that share an id are
// all tried (RFC 7517 section 4.5 only says that they should not).
type keySet map[string][]jwt.VerificationKey

// keyShape is the form of a key for an algorithm (RFC 7518 sections 3.1 and 6.1, RFC
// 8037 section 2).
type keyShape struct{ kty, crv string }

var keyShapes = map[string]keyShape{
	"RS256": {"RSA", ""},
	"PS256": {"RSA", ""},
	"ES256": {"EC", "P-256"},
	"EdDSA": {"OKP", "Ed25519"},
}

// parseKeySet reads the keys of a JSON Web Key Set that verify tokens of the algorithm.
// Issuers publish others beside them, for encryption or for a future algorithm: they do
// not make the set invalid (RFC 7517 section 5), and skipped gives the id of each and
// the reason. The error is for what is not a key set.
func parseKeySet(body []byte, algorithm string) (set keySet, skipped []string, err error) {
	var parsed struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &parsed); err != nil || parsed.Keys == nil {
		return nil, nil, errors.New("it is no JSON Web Key Set")
	}
	set = keySet{}
	for _, raw := range *parsed.Keys {
		id, key, err := parseKey(raw, algorithm)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("%.64q: %v", id, err))
			continue
		}
		set[id] = append(set[id], key)
	}
	return set, skipped, nil
}

// parseKey reads one key of a set (RFC 7517 section 4). Its errors hold nothing of the
// key.
func parseKey(raw json.RawMessage, algorithm string) (id string, key jwt.VerificationKey, err error) {
	var members map[string]json.RawMessage // a struct would match names in any case
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return "", nil, errBroken
	}
	text := func(name string) (value string) {
		if err == nil && members[name] != nil && json.Unmarshal(members[name], &value) != nil {
			err = errBroken
		}
		return value
	}
	id = text("kid")
	kty, crv, use, alg := text("kty"), text("crv"), text("use"), text("alg")
	public := jwkset.JWKMarshal{KTY: jwkset.KTY(kty), CRV: jwkset.CRV(crv), X: text("x"), Y: text("y"),
		N: text("n"), E: text("e")}
	if err != nil {
		return id, nil, err
	}
	shape := keyShapes[algorithm]
	_, isPrivate := members["d"]
	switch {
	case kty != shape.kty || shape.crv != "" && crv != shape.crv:
		return id, nil, errors.New("its type or curve is of another algorithm")
	case alg != "" && alg != algorithm:
		return id, nil, errors.New("it is for another algorithm")
	case use != "" && use != "sig":
		return id, nil, errors.New("it is not for signatures")
	case !mayVerify(members["key_ops"]):
		return id, nil, errors.New("its key_ops are without verify")
	case isPrivate:
		return id, nil, errors.New("it is a private key, by which anybody can sign")
	case id == "":
		return id, nil, errors.New("it has no id")
	}
	key, err = publicKey(public)
	return id, key, err
}

var errBroken = errors.New("it is not a valid key: a member is missing or wrong")

// mayVerify reads the member key_ops, which is optional (RFC 7517 section 4.3).
func mayVerify(raw json.RawMessage) bool {
	var operations []string
	if raw == nil || json.Unmarshal(raw, &operations) == nil && operations == nil {
		return true
	}
	return slices.Contains(operations, "verify")
}

func publicKey(members jwkset.JWKMarshal) (jwt.VerificationKey, error) {
	parsed, err := jwkset.NewJWKFromMarshal(members, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipAll: true})
	if err != nil {
		return nil, errBroken
	}
	switch key := parsed.Key().(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return nil, errShortRSA
		}
	case *ecdsa.PublicKey:
		if _, err := key.ECDH(); err != nil { // the point is not on its curve
			return nil, errBroken
		}
	}
	return parsed.Key(), nil
}

// minRSABits is the minimum for RS256 and PS256 (RFC 7518 sections 3.3 and 3.5).
const minRSABits = 2048

var errShortRSA = fmt.Errorf("an RSA key has at least %d bits", minRSABits)
