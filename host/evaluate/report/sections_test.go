package report

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// slowest is a section of a third party.
var slowest = Section{
	ID: "slowest", Heading: "Slow & costly",
	Template: `<p class="lead">{{.ID}} asked {{figure .Queries}} times and was detected at {{percent .Detected}} {{interval (index .CI95 "detected")}}.</p>`,
	Data: func(p *Page) (any, bool) {
		if len(p.Report.Attacks) == 0 {
			return nil, false
		}
		return p.Report.Attacks[0], true
	},
}

// A section of one's own stands before the provenance and in the contents,
// with its texts escaped; what it does not show is nowhere.
func TestSectionsOfOthers(t *testing.T) {
	r, d := evaluation(t)
	r.Attacks[0].ID = "<i>mine</i>"
	hidden := Section{ID: "hidden", Heading: "Hidden", Data: func(*Page) (any, bool) { return nil, false }}
	var b bytes.Buffer
	if err := WriteHTML(&b, r, d, Options{Sections: []Section{slowest, hidden}}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{`<a href="#slowest">Slow &amp; costly</a>`, `<h2>Slow &amp; costly</h2>`, "&lt;i&gt;mine&lt;/i&gt; asked"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "Hidden") || strings.Contains(text, `id="hidden"`) {
		t.Error("a section that is not shown is on the page")
	}
	if own, end := strings.Index(text, `id="slowest"`), strings.Index(text, `id="provenance"`); own < strings.Index(text, `id="scores"`) || own > end {
		t.Error("the section does not stand before the provenance")
	}
}

// What is wrong with a section is an error that names it.
func TestSectionErrors(t *testing.T) {
	r, d := evaluation(t)
	show := func(*Page) (any, bool) { return nil, true }
	for want, list := range map[string][]Section{
		`section "Two words": want an ID of`:        {{ID: "Two words", Data: show}},
		`section "": want an ID of`:                 {{Data: show}},
		`section "scores": there are two`:           {{ID: "scores", Data: show}},
		`section "none" has no Data`:                {{ID: "none"}},
		`section: template: open:1: unclosed`:       {{ID: "open", Template: "{{", Data: show}},
		`section: template: odd:1:`:                 {{ID: "odd", Template: "{{.Nothing.At.All}}", Data: func(*Page) (any, bool) { return 1, true }}},
		`function "shout" not defined`:              {{ID: "loud", Template: "{{shout .}}", Data: show}},
		`section "provenance": there are two of`:    {{ID: "provenance", Data: show}},
		`section "again": there are two of this ID`: {{ID: "again", Data: show}, {ID: "again", Data: show}},
	} {
		if err := WriteHTML(io.Discard, r, d, Options{Sections: list}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", list[0].ID, err, want)
		}
	}
}

// The contents lead to sections of the page, in its order, and to all that
// have a heading.
func TestContents(t *testing.T) {
	r, d := evaluation(t)
	text := render(t, r, d)
	var links, headed []string
	for _, m := range regexp.MustCompile(`<a href="#([^"]*)">`).FindAllStringSubmatch(text, -1) {
		links = append(links, m[1])
	}
	for _, m := range regexp.MustCompile(`<section id="([^"]*)">`).FindAllStringSubmatch(text, -1) {
		headed = append(headed, m[1])
	}
	want := []string{"attacks", "classes", "scores", "curves", "moves", "features", "training", "layers", "provenance"}
	if !slices.Equal(links, want) || !slices.Equal(headed, want) {
		t.Errorf("contents %v, sections %v, want %v", links, headed, want)
	}
}
