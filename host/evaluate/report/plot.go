package report

import (
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// chartsHTML is the template of sections that are charts and nothing else.
//
//go:embed charts.html
var chartsHTML string

// shown is the data of such a section: without a chart it is left out.
func shown(list []template.HTML) (any, bool) { return list, len(list) > 0 }

// axis maps numbers to pixels.
type axis struct {
	lo, hi float64
	log    bool
	label  string
	from   float64 // pixel of lo
	to     float64 // pixel of hi
	share  bool    // ticks in per cent
	whole  bool    // ticks at whole numbers
}

func (a axis) at(v float64) float64 {
	lo, hi := a.lo, a.hi
	if a.log {
		v, lo, hi = math.Log10(max(v, a.lo)), math.Log10(lo), math.Log10(hi)
	}
	t := (v - lo) / (hi - lo)
	return a.from + min(max(t, 0), 1)*(a.to-a.from)
}

// data are the attributes with which the script moves what stands at pixel x: the
// ends of the axis in numbers and in pixels, and x.
func (a axis) data(x float64) string {
	return fmt.Sprintf(` data-lo="%g" data-hi="%g" data-log="%t" data-from="%g" data-to="%g" data-at="%.1f"`, a.lo, a.hi, a.log, a.from, a.to, x)
}

// ticks are round numbers inside the axis.
func (a axis) ticks() []float64 {
	var out []float64
	if a.log {
		first, last := int(math.Ceil(math.Log10(a.lo)-1e-9)), int(math.Floor(math.Log10(a.hi)+1e-9))
		step := max(1, (last-first+5)/6)
		for e := first; e <= last; e += step {
			out = append(out, math.Pow10(e))
		}
		return out
	}
	raw := (a.hi - a.lo) / 5
	unit := math.Pow10(int(math.Floor(math.Log10(raw))))
	step := unit
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if a.whole && m*unit != math.Trunc(m*unit) {
			continue
		}
		if m*unit >= raw*0.999 {
			step = m * unit
			break
		}
	}
	for k := math.Ceil(a.lo/step-1e-9) + 0; k*step <= a.hi+step*1e-9; k++ {
		out = append(out, k*step+0) // + 0: no negative zero
	}
	return out
}

func (a axis) name(v float64) string {
	if a.share {
		return strconv.FormatFloat(100*v, 'g', 4, 64) + " %"
	}
	if v != 0 && (math.Abs(v) < 1e-3 || math.Abs(v) >= 1e5) {
		return strconv.FormatFloat(v, 'e', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// chart is one plot with axes and a legend.
type chart struct {
	title, note string
	x, y        axis
	lines       []line
	marks       []mark
}

// mark is a vertical line.
type mark struct {
	x    float64
	name string
}

const (
	chartWidth  = 520.
	chartHeight = 300.
	left        = 66.
	right       = 26.
	top         = 12.
	bottom      = 44.
)

// figure draws the chart: an SVG, a caption and a legend.
func (c chart) figure() template.HTML {
	c.x.from, c.x.to = left, chartWidth-right
	c.y.from, c.y.to = chartHeight-bottom, top
	var b strings.Builder
	fmt.Fprintf(&b, `<figure class="chart"><figcaption>%s</figcaption>`, html.EscapeString(c.title))
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, chartWidth, chartHeight, html.EscapeString(c.title))
	c.frame(&b)
	for k := range c.lines {
		if l := &c.lines[k]; !l.dots && l.spots == nil {
			l.spots = c.spread(*l, k)
		}
		c.draw(&b, c.lines[k])
	}
	for _, m := range c.marks {
		x := c.x.at(m.x)
		anchor, dx := "start", 4.
		if x > chartWidth*0.7 {
			anchor, dx = "end", -4
		}
		fmt.Fprintf(&b, `<g class="moved"%s><line class="mark" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, c.x.data(x), x, x, top, chartHeight-bottom)
		fmt.Fprintf(&b, `<text class="marked" x="%.1f" y="%g" text-anchor="%s">%s</text></g>`, x+dx, top+10, anchor, html.EscapeString(m.name))
	}
	b.WriteString(`</svg><div class="legend">`)
	for _, l := range c.lines {
		b.WriteString(l.key())
	}
	b.WriteString(`</div>`)
	if c.note != "" {
		fmt.Fprintf(&b, `<p class="note">%s</p>`, html.EscapeString(c.note))
	}
	b.WriteString(`</figure>`)
	return template.HTML(b.String()) //nolint:gosec // every text in it is escaped above
}

func (c chart) frame(b *strings.Builder) {
	for _, v := range c.x.ticks() {
		x := c.x.at(v)
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, x, x, top, chartHeight-bottom)
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, x, chartHeight-bottom+16, c.x.name(v))
	}
	for _, v := range c.y.ticks() {
		y := c.y.at(v)
		fmt.Fprintf(b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`, left, chartWidth-right, y, y)
		fmt.Fprintf(b, `<text x="%g" y="%.1f" text-anchor="end">%s</text>`, left-6, y+4, c.y.name(v))
	}
	fmt.Fprintf(b, `<line class="axis" x1="%g" x2="%g" y1="%g" y2="%g"/>`, left, chartWidth-right, chartHeight-bottom, chartHeight-bottom)
	fmt.Fprintf(b, `<text class="label" x="%g" y="%g" text-anchor="middle">%s</text>`, (left+chartWidth-right)/2, chartHeight-8, html.EscapeString(c.x.label))
	fmt.Fprintf(b, `<text class="label" transform="translate(14 %g) rotate(-90)" text-anchor="middle">%s</text>`, (top+chartHeight-bottom)/2, html.EscapeString(c.y.label))
}
