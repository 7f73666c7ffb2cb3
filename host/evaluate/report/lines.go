package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// line is one series. Class is its look: s0 … s7, each a colour, a pattern of
// dashes and a marker, so that lines are told apart without colour; or clean.
type line struct {
	name, class string
	x, y        []float64
	step, fill  bool  // hold the value to the next x; shade down to the axis
	dots, dash  bool  // a marker with its value at every point; finely dotted
	spots       []int // points with a marker, where not all have one
}

// looks is how many lines of a chart look different.
const looks = 8

// class is the look of line k.
func class(k int) string { return fmt.Sprintf("s%d", k%looks) }

// markers are the outlines of the markers of s0 … s7 around 0 0, as the lines of
// an SVG path: circle, square, triangle, diamond, triangle on its tip, plus,
// cross, hourglass.
var markers = [looks]string{
	"m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",
	"m-3-3h6v6h-6z",
	"m0-4l4 7h-8z",
	"m0-4.4l4 4.4l-4 4.4l-4-4.4z",
	"m0 4l4-7h-8z",
	"m-1.1-4h2.2v2.9h2.9v2.2h-2.9v2.9h-2.2v-2.9h-2.9v-2.2h2.9z",
	"m-3.8-2.4l1.4-1.4l2.4 2.4l2.4-2.4l1.4 1.4l-2.4 2.4l2.4 2.4l-1.4 1.4l-2.4-2.4l-2.4 2.4l-1.4-1.4l2.4-2.4z",
	"m-3.4-3.8h6.8l-6.8 7.6h6.8z",
}

// marker is the path of a look's marker at a point; "" for clean rows, which are
// the only line without one.
func marker(class string, x, y float64) string {
	for k, outline := range markers {
		if class == fmt.Sprintf("s%d", k) {
			return fmt.Sprintf("M%.1f %.1f%s", x, y, outline)
		}
	}
	return ""
}

// spread are up to five points of a line, those of line k shifted against
// others', so that markers do not cover each other.
func (c chart) spread(l line, k int) []int {
	const n = 5
	var out []int
	width := c.x.to - c.x.from
	for j := range n {
		want := c.x.from + width*(float64(j)+.3+float64(k%looks)/looks)/n
		best := -1
		for i, x := range l.x {
			at := c.x.at(x)
			inside := l.y[i] > c.y.lo && l.y[i] < c.y.hi
			if inside && math.Abs(at-want) < width/(2*n) && (best < 0 || math.Abs(at-want) < math.Abs(c.x.at(l.x[best])-want)) {
				best = i
			}
		}
		if best >= 0 {
			out = append(out, best)
		}
	}
	return out
}

// draw draws the line, and its markers over it.
func (c chart) draw(b *strings.Builder, l line) {
	if len(l.x) == 0 {
		return
	}
	var d strings.Builder
	for i, x := range l.x {
		px, py := c.x.at(x), c.y.at(l.y[i])
		if l.step && i > 0 {
			fmt.Fprintf(&d, "H%.1f", px)
		}
		fmt.Fprintf(&d, "%s%.1f %.1f", verb(i), px, py)
	}
	if l.fill {
		fmt.Fprintf(b, `<path class="area %s" d="%sV%.1fH%.1fZ"/>`, l.class, d.String(), c.y.from, c.x.at(l.x[0]))
	}
	fmt.Fprintf(b, `<path class="line %s" d="%s"/>`, l.look(), d.String())
	if l.dots {
		for i, x := range l.x {
			fmt.Fprintf(b, `<path class="dot %s" d="%s"><title>%s: %s</title></path>`, l.class, marker(l.class, c.x.at(x), c.y.at(l.y[i])), c.x.name(x), c.y.name(l.y[i]))
		}
		return
	}
	for _, i := range l.spots {
		if m := marker(l.class, c.x.at(l.x[i]), c.y.at(l.y[i])); m != "" {
			fmt.Fprintf(b, `<path class="dot %s" d="%s"/>`, l.class, m)
		}
	}
}

func (l line) look() string {
	if l.dash {
		return l.class + " dashed"
	}
	return l.class
}

// key is the line's entry of the legend, with a piece of it; "" without a name.
func (l line) key() string {
	if l.name == "" {
		return ""
	}
	piece := fmt.Sprintf(`<path class="line %s" d="M1 6H35"/>`, l.look())
	if m := marker(l.class, 18, 6); m != "" && (l.dots || len(l.spots) > 0) {
		piece += fmt.Sprintf(`<path class="dot %s" d="%s"/>`, l.class, m)
	}
	return `<span><svg class="key" viewBox="0 0 36 12" aria-hidden="true">` + piece + `</svg>` + html.EscapeString(l.name) + `</span>`
}

func verb(i int) string {
	if i == 0 {
		return "M"
	}
	return "L"
}
