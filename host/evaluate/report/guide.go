package report

import _ "embed"

// guideHTML explains the words of the page.
//
//go:embed guide.html
var guideHTML string
