package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"

	"subwire/shared/topology"
)

// secretPrefix marks a parameter that stands for a secret of Secrets Manager ("Referencing
// AWS Secrets Manager secrets from Parameter Store parameters").
const secretPrefix = "/aws/reference/secretsmanager/"

// checkAuth refuses settings of tokens that do not go together, and a key that anybody
// who may see a function could read.
func checkAuth(v topology.Values) error {
	if topology.Auth.In(v) == topology.Anonymous {
		return topology.CheckHandshakeToken(v)
	}
	key := topology.JWTKey.In(v)
	err := topology.CheckJWT(topology.JWTIssuer.In(v), topology.JWTAudience.In(v), topology.JWTAlgorithm.In(v),
		topology.JWTKeysURL.In(v), key)
	if err == nil && key != "" && !strings.HasPrefix(key, topology.ParameterPrefix) {
		return errors.New("JWT_KEY must be ssm:NAME of a parameter: a function's settings are no place for a secret")
	}
	return err
}

// keyAccess lets a function that checks tokens read the parameter with the key, if
// there is one, and the canary that with its token. connect checks tokens of handshakes only.
func (s *stack) keyAccess(f topology.Function) []awsiam.PolicyStatement {
	if f.Name == topology.Canary.Name {
		return s.mayRead(topology.CanaryToken.In(s.values))
	}
	if f.Name == topology.Connect.Name && topology.HandshakeToken.In(s.values) == topology.TokenOff {
		return nil
	}
	if !slices.Contains(f.Settings(), topology.JWTKey.Setting) {
		return nil
	}
	return s.mayRead(topology.JWTKey.In(s.values))
}

// mayRead allows to read what the value of a setting names, if that is a parameter.
func (s *stack) mayRead(value string) []awsiam.PolicyStatement {
	name, isParameter := strings.CutPrefix(value, topology.ParameterPrefix)
	if !isParameter {
		return nil
	}
	access := []awsiam.PolicyStatement{allow(s.arn("ssm", "parameter/"+strings.TrimPrefix(name, "/")), "ssm:GetParameter")}
	if secret, ok := strings.CutPrefix(name, secretPrefix); ok {
		// Secrets Manager adds six characters to each secret's name.
		access = append(access, allow(s.arn("secretsmanager", "secret:"+secret+"-??????"), "secretsmanager:GetSecretValue"))
	}
	return access
}
