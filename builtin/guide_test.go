package builtin_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/gradient"
)

// heads are the first lines of explain's pages.
var heads = regexp.MustCompile(`(?m)^(Keys|[\w./-]+ \([\w/ -]+\))$`)

// TestExplainAll: what `explain --all` prints holds every name of every table and
// every key of a spec, each in its place.
func TestExplainAll(t *testing.T) {
	c := builtin.Components()
	g, err := host.Guide(c)
	if err != nil {
		t.Fatal(err)
	}
	text := g.Everything()
	pages := make(map[string]string) // by their heads
	for i, at := range heads.FindAllStringIndex(text, -1) {
		end := len(text)
		if next := heads.FindStringIndex(text[at[1]:]); next != nil {
			end = at[1] + next[0]
		}
		head := text[at[0]:at[1]]
		if pages[head] != "" {
			t.Errorf("page %d: %s for the second time", i, head)
		}
		pages[head] = text[at[1]:end]
	}
	var names []string // as the pages' heads have them
	for _, table := range c.Tables() {
		for _, name := range table.Names() {
			names = append(names, name+" ("+table.Kind()+")")
		}
	}
	for _, name := range c.Classifiers.Names() {
		names = append(names, name+" (classifier)")
	}
	for _, name := range c.SpecNames() {
		names = append(names, name+" (spec)")
	}
	for _, d := range gradient.Docs() {
		names = append(names, string(d.Kind)+" (gradient)")
	}
	for _, head := range names {
		if len(strings.TrimSpace(pages[head])) < 10 {
			t.Errorf("%s: its page is %q", head, pages[head])
		}
	}
	keys := g.Keys()
	if len(keys) < 150 {
		t.Errorf("only %d keys", len(keys))
	}
	for _, key := range keys {
		page, option := pages["Keys"], key
		if i := strings.LastIndexByte(key, '.'); i >= 0 {
			section := key[:i]
			page, option = pages[section+" (mapping)"]+pages[section+" (list of mapping)"], key[i+1:]
		}
		if !strings.Contains(page, "\n"+option+" ") {
			t.Errorf("%s is not in the page of its section:\n%s", key, page)
		}
	}
}
