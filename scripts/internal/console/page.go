package console

import (
	"embed"
	"io/fs"
)

//go:embed page
var page embed.FS

// Page has the console's files: console.html, and what it loads from /console/.
func Page() fs.FS {
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return files
}
