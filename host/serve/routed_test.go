package serve

import (
	"slices"
	"testing"
)

// While a file is read again, requests go as they did: a model that is to have a server is the guard's own until they go there.
func TestOwnUntilRouted(t *testing.T) {
	up := &Upstream{URL: "http://127.0.0.1:1"}
	before := &Spec{Models: []Model{{Name: "becomes"}, {Name: "stays", Upstream: up}, {Name: "was", Upstream: up}}}
	after := &Spec{Models: []Model{{Name: "becomes", Upstream: up}, {Name: "stays", Upstream: up}, {Name: "was"}, {Name: "new", Upstream: up}, {Name: "mine"}}}
	m := newModels(newSource(before), ModelOptions{})
	for _, name := range []string{"becomes", "stays", "was", "new", "mine", "found"} {
		m.entries[name] = &entry{name: name}
	}
	own := func() (out []string) {
		for _, name := range []string{"becomes", "stays", "was", "new", "mine", "found", "none"} {
			if m.own(name) {
				out = append(out, name)
			}
		}
		return out
	}
	m.source.spec.Store(after)
	if got := own(); !slices.Equal(got, []string{"becomes", "mine", "found"}) {
		t.Errorf("%q", got)
	}
	m.routed.Store(after)
	if got := own(); !slices.Equal(got, []string{"was", "mine", "found"}) {
		t.Errorf("%q", got)
	}
}
