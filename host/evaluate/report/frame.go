package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var style string

// script sorts tables, moves the threshold and opens what is folded before the
// page is printed. Without it all figures are there.
//
//go:embed page.js
var script string

// frame is a page around its sections: head, contents, style and script.
type frame struct {
	Kind     string // what the page is
	Name     string
	About    []Fact // under the name
	Sections []rendered
}

// policy lets the page run its own script, show its own pictures, and do nothing
// else: a browser then refuses whatever a text of the page might have become.
func policy() string {
	sum := sha256.Sum256([]byte(script))
	return "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

func (f frame) write(w io.Writer) error {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("report template: %w", err)
	}
	return t.Execute(w, struct {
		frame
		Policy string
		Style  template.CSS
		Script template.JS
	}{f, policy(), template.CSS(style), template.JS(script)}) //nolint:gosec // embedded at build time
}
