package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// functions are those of the sections' templates: Section.Template.
var functions = template.FuncMap{
	"percent":   func(v any) string { return percent(number(v)) },
	"figure":    func(v any) string { return figure(number(v)) },
	"score":     score,
	"signed":    func(v any) string { return signed(number(v)) },
	"bar":       func(v any) template.HTML { return bar(number(v)) },
	"interval":  interval,
	"interval3": interval3,
}

func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case evaluate.Number:
		return float64(v)
	case *evaluate.Number:
		if v != nil {
			return float64(*v)
		}
	}
	return math.NaN()
}

func percent(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v > 0 && v < 0.0995 || v > 0.9 && v < 1:
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

func figure(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return fmt.Sprintf("%.3g", v)
}

// score is a figure, or the word for one of a reconstruction that is not finite.
func score(v float64) string {
	if math.IsInf(v, 1) {
		return "infinite"
	}
	return figure(v)
}

// signed is a figure with its sign.
func signed(v float64) string {
	if v > 0 {
		return "+" + figure(v)
	}
	return strings.Replace(figure(v), "-", "−", 1)
}

// bar is a bar of v per cent; none if v is not defined.
func bar(v float64) template.HTML {
	if math.IsNaN(v) {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width="%.1f" height="10"/></svg>`, min(max(v, 0), 100))) //nolint:gosec // a number alone
}

// interval is an interval in per cent; nothing if it is not defined.
func interval(i evaluate.Interval) string {
	if math.IsNaN(i.Lo) || math.IsNaN(i.Hi) {
		return ""
	}
	return fmt.Sprintf("[%.1f, %.1f]", 100*i.Lo, 100*i.Hi)
}

// interval3 is an interval with three digits; nothing if it is not defined.
func interval3(i evaluate.Interval) string {
	if math.IsNaN(i.Lo) || math.IsNaN(i.Hi) {
		return ""
	}
	return fmt.Sprintf("[%.3f, %.3f]", i.Lo, i.Hi)
}

// epsUnit marks an eps in standard deviations.
func epsUnit(params map[string]any) string {
	if params["eps_unit"] == "std" {
		return " sd"
	}
	return ""
}
