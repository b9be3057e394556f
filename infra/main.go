// Command infra will be the CDK app that deploys Subwire. It is empty until
// the infrastructure is described here; the local cloud does not need it.
package main

func main() {}
