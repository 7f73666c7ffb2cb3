package report

import _ "embed"

//go:embed layers.html
var layersHTML string

func layersData(p *Page) (any, bool) { return p.Options.Summary, p.Options.Summary != "" }
