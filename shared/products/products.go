// Package products is the list of what Subwire can be deployed as. It does nothing else.
package products

import (
	"fmt"
	"strings"

	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// Default is the name of the product that is meant when none is named.
func Default() string { return all[0]().Name() }

// App returns a new App of the product with the name. Its error lists those there are.
func App(name string) (*subwire.App, error) {
	var names []string
	for _, make := range all {
		app := make()
		if app.Name() == name {
			return app, nil
		}
		names = append(names, app.Name())
	}
	return nil, fmt.Errorf("it must be one of %s", strings.Join(names, ", "))
}

// Named returns what a deployment of the product consists of. Its error is App's.
func Named(name string) (topology.Product, error) {
	app, err := App(name)
	if err != nil {
		return topology.Product{}, err
	}
	return app.Product(), nil
}
