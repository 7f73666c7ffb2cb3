package report_test

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/evaluate/report"
)

// A section of one's own: a heading, a template, and the data that it shows.
// A program with its own components sets it in host.Components.Sections, and
// every report of its command line has it.
func ExampleSection() {
	weakest := report.Section{
		ID: "weakest", Heading: "Weakest point",
		Template: `<p>{{.ID}} is detected at {{percent .Detected}} only.</p>`,
		Data: func(p *report.Page) (any, bool) {
			if len(p.Report.Attacks) == 0 {
				return nil, false // not shown
			}
			weakest := p.Report.Attacks[0]
			for _, a := range p.Report.Attacks {
				if a.Detected < weakest.Detected {
					weakest = a
				}
			}
			return weakest, true
		},
	}

	r := &evaluate.Report{Name: "digits", Attacks: []evaluate.AttackReport{
		{ID: "fgsm", Detection: evaluate.Detection{Detected: .91}},
		{ID: "pgd", Detection: evaluate.Detection{Detected: .34}},
	}}
	var page strings.Builder
	if err := report.WriteHTML(&page, r, &evaluate.Details{}, report.Options{Sections: []report.Section{weakest}}); err != nil {
		panic(err)
	}
	fmt.Println(regexp.MustCompile(`(?s)<section id="weakest">.*?</section>`).FindString(page.String()))
	// Output:
	// <section id="weakest">
	// <h2>Weakest point</h2>
	// <p>pgd is detected at 34 % only.</p>
	// </section>
}
