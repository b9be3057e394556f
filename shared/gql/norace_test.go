//go:build !race

package gql_test

const race = false
