// Command tools makes the static assets. It is a module of its own so that the bundler and the compressor stay out of
// the product's go.mod. It runs in its own folder: go -C static/tools run . NAME
//
//	vendor  copies the files named in src/vendor.json out of node_modules (maintainers, after npm ci)
//	check   proves that the committed copies are the ones that vendor.sum names (everybody, no Node)
//	icons   writes views/icons_gen.go from src/icons
//	assets  writes dist from src
//	brand   renders the PNG pictures in src/brand with Chromium (maintainers)
package main

import (
	"fmt"
	"os"
)

const (
	src   = "../src"
	dist  = "../dist"
	views = "../../views"
)

func main() {
	commands := map[string]func() error{"vendor": vendor, "check": check, "icons": icons, "assets": assets, "brand": brand}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go -C static/tools run . vendor|check|icons|assets|brand")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
