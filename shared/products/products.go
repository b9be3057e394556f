// Package products is the list of what Subwire can be deployed as. It does nothing else.
package products

import (
	"fmt"
	"strings"

	"subwire/shared/chat"
	"subwire/shared/topology"
)

// all has a line for each product.
var all = []topology.Product{
	chat.Product,
}

// Named returns the product with the name. Its error lists those there are.
func Named(name string) (topology.Product, error) {
	var names []string
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return topology.Product{}, fmt.Errorf("it must be one of %s", strings.Join(names, ", "))
}
