package spec

import (
	"fmt"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Unknown says that there is no such what, and which one may have been meant.
func Unknown(what, name string, known []string) string {
	if best := registry.Nearest(name, known); best != "" {
		return fmt.Sprintf("unknown %s %q; did you mean %q?", what, name, best)
	}
	if len(known) == 0 {
		return fmt.Sprintf("unknown %s %q; none is known here", what, name)
	}
	return fmt.Sprintf("unknown %s %q; known: %s", what, name, strings.Join(known, ", "))
}
