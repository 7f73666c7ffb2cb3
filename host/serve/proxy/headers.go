package proxy

import (
	"net/http"
	"strings"
)

// only is the value of a header; several, of which each reader might take another, are
// one that no reader takes.
func only(h http.Header, name string) string { return strings.Join(h.Values(name), ",") }
