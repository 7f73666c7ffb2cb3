package report

import (
	"bytes"
	"fmt"
	"html/template"
	"regexp"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// Section is one part of the page: a template and the data that it shows.
type Section struct {
	// ID is the anchor of the section: lower-case letters, digits and dashes,
	// unique on the page.
	ID string
	// Heading stands above the section and in the list of contents. A
	// section without one is not listed; its template may have a heading.
	Heading string
	// Template is the text of an html/template, executed with what Data
	// returns. It has the functions of package html/template and:
	//
	//	percent V            a rate as "3.7 %"; – if it is not defined
	//	figure V             a number with three digits; – if it is not defined
	//	interval I           an evaluate.Interval in per cent: [2.4, 5.5]
	//	signed V             a number with its sign
	//	bar V                a bar of V per cent of its cell
	//	interval3 I          an evaluate.Interval with three digits: [0.912, 0.943]
	//
	// It must refer to nothing outside the page, which opens offline; the page's
	// policy lets no script of it run. A table of class sort whose thead has
	// headings of scope col can be sorted by the reader.
	Template string
	// Data prepares what the template shows, and reports whether the section
	// is shown at all.
	Data func(p *Page) (data any, show bool)
}

// Page is what sections are made of. They do not change it.
type Page struct {
	Report  *evaluate.Report
	Details *evaluate.Details
	Options Options
}

// sections are the parts of the page from top to bottom, a file each and a
// template of its name; those that are charts alone share charts.html. Those of
// Options.Sections come before the provenance.
func sections() []Section {
	return []Section{
		{"verdict", "", verdictHTML, verdictData},
		{"cards", "", cardsHTML, cardsData},
		{"warnings", "", warningsHTML, warningsData},
		{"health", "Health of the guard", healthHTML, healthData},
		{"thresholds", "Thresholds by class", thresholdsHTML, thresholdsData},
		{"guide", "", guideHTML, always},
		{"attacks", "Attacks on the classifier", attacksHTML, attacksData},
		{"classes", "Figures by class", classesHTML, classesData},
		{"scores", "Scores of clean and attacked inputs", scoresHTML, scoresData},
		{"adaptive", "Adaptive attacks", adaptiveHTML, adaptiveData},
		{"certified", "What is proved", certifiedHTML, certifiedData},
		{"curves", "Security curves", chartsHTML, curvesData},
		{"examples", "Examples", examplesHTML, examplesData},
		{"moves", "Examples", movesHTML, movesData},
		{"features", "Which features attacks change", featuresHTML, featuresData},
		{"corruptions", "Natural corruptions", corruptionsHTML, corruptionsData},
		{"training", "Training", chartsHTML, trainingData},
		{"layers", "Layers", layersHTML, layersData},
		{"provenance", "Provenance", provenanceHTML, provenanceData},
	}
}

// always shows a section that has no data.
func always(*Page) (any, bool) { return nil, true }

// rendered is a section as the frame of the page takes it.
type rendered struct {
	ID, Heading string
	Body        template.HTML
}

var sectionID = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// render executes the sections that are shown.
func (p *Page) render(list []Section) ([]rendered, error) {
	var out []rendered
	seen := make(map[string]bool)
	for _, s := range list {
		switch {
		case !sectionID.MatchString(s.ID):
			return nil, fmt.Errorf("report section %q: want an ID of lower-case letters, digits and dashes", s.ID)
		case seen[s.ID]:
			return nil, fmt.Errorf("report section %q: there are two of this ID", s.ID)
		case s.Data == nil:
			return nil, fmt.Errorf("report section %q has no Data", s.ID)
		}
		seen[s.ID] = true
		data, show := s.Data(p)
		if !show {
			continue
		}
		t, err := template.New(s.ID).Funcs(functions).Parse(s.Template)
		if err != nil {
			return nil, fmt.Errorf("report section: %w", err)
		}
		var b bytes.Buffer
		if err := t.Execute(&b, data); err != nil {
			return nil, fmt.Errorf("report section: %w", err)
		}
		out = append(out, rendered{s.ID, s.Heading, template.HTML(b.String())}) //nolint:gosec // html/template has escaped it
	}
	return out, nil
}
