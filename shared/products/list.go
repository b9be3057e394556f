package products

import (
	"subwire/shared/chat"
	"subwire/shared/shop"
	"subwire/shared/subwire"
)

// all has a line for each product, the default first. With PRODUCT=FOLDER the scripts
// build with another file in the place of this one (scripts/product.sh).
var all = []func() *subwire.App{
	func() *subwire.App { return chat.New().App },
	func() *subwire.App { return shop.New().App },
}
