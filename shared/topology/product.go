package topology

// Product is what a product adds to the core. It is data: package subwire makes it of an
// App.
type Product struct {
	Name   string   // part of every physical name
	Tables []Table  // its rows; a table with Stream is the source of events
	Claims []string // of tokens, which its rules look at and which are therefore kept
	Paths  []string // of its pages, in the syntax of "Create routes for HTTP APIs"
}
