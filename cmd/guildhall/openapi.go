package main

import (
	"encoding/json"
	"io"

	"guildhall/handlers"
)

// printOpenAPI prints what a server of this version has at /openapi.json,
// without one.
func printOpenAPI(args, env []string, out, errs io.Writer) error {
	r := newRemote("openapi", "[--server URL]\n\nPrints the OpenAPI document of this version's API.", out, errs)
	if err := r.parse(args, env, 0, 0); err != nil {
		return ignoreHelp(err)
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(handlers.OpenAPI(r.server, version, false))
}
