package report

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// pages are reports with each section on one of them, and a comparison.
func pages(t *testing.T) map[string]string {
	t.Helper()
	r, d := evaluation(t)
	d.ClassNames = []string{"a", "<b>", "c", "d"}
	a := r.Attacks[0]
	r.Adaptive = []evaluate.AdaptiveReport{{AttackReport: a}}
	r.Detector.PromisedFPR = .05
	r.Clean.Classes = []evaluate.ClassRate{{Name: "<b>", Threshold: 1.25, Calibration: 200, FPR: evaluate.Number(math.NaN()), CI95: evaluate.ClopperPearson(0, 0)}}
	r.Corruptions = []evaluate.CorruptionReport{{Name: "blur", Severity: 1, FlaggedHarmless: .2}, {Name: "blur", Severity: 3, FlaggedHarmless: 1}, {Name: "noise", Severity: 3}}
	r.Health = health.Judge(health.Measured{Source: "calibration", Classes: 2, Coded: true, Labels: []int{0, 1}, Predicted: []int{0, 1}, Reconstructed: []int{0, 0}, Score: []float64{0, 1}, Flagged: []bool{false, true}})
	out := map[string]string{"table": render(t, r, d)}
	d.Shape = tensor.Shape{8, 8, 1}
	out["image"] = render(t, r, d)
	var b strings.Builder
	if err := WriteComparison(&b, Comparison{
		Runs: []ComparedRun{{"one", "2026-01-02", "one/report.html"}, {"two", "–", ""}}, Verdicts: []string{"one is better"},
		Figures:     []ComparedLine{{"accuracy", []ComparedCell{{"0.9", true}, {"0.8", false}}}},
		Differences: []ComparedLine{{"seed", []ComparedCell{{"1", false}, {"2", false}}}},
		Pairs:       []ComparedPair{{A: "one", B: "<two>", Tests: []evaluate.Comparison{{ID: "pgd", NSuccess: 5}}, Note: "a note"}},
		Command:     "vaeguard runs compare one two",
	}); err != nil {
		t.Fatal(err)
	}
	out["comparison"] = b.String()
	return out
}

var (
	tableTag = regexp.MustCompile(`(?s)<table.*?</table>`)
	rowTag   = regexp.MustCompile(`(?s)<tr[ >].*?</tr>`)
	cellTag  = regexp.MustCompile(`(?s)<(t[hd])( [^>]*)?>(.*?)</t[hd]>`)
	spanAttr = regexp.MustCompile(`(col|row)span="(\d+)"`)
	idAttr   = regexp.MustCompile(` id="([^"]*)"`)
	anchor   = regexp.MustCompile(`(?:href="#|aria-labelledby=")([^"]*)"`)
)

// Every table says what it is, its headings say of what, and no row lacks a cell or
// has an empty one.
func TestTables(t *testing.T) {
	for name, text := range pages(t) {
		tables := tableTag.FindAllString(text, -1)
		if len(tables) < 3 {
			t.Errorf("%s: %d tables", name, len(tables))
		}
		for _, table := range tables {
			caption := regexp.MustCompile(`(?s)<caption>(.*?)</caption>`).FindStringSubmatch(table)
			if caption == nil || strings.TrimSpace(caption[1]) == "" {
				t.Errorf("%s: a table without caption: %.200s", name, table)
				continue
			}
			var below []int // rows that a cell still covers, by column
			width := 0
			for r, row := range rowTag.FindAllString(table, -1) {
				n := 0
				for _, left := range below {
					if left > 0 {
						n++
					}
				}
				for k := range below {
					below[k] = max(0, below[k]-1)
				}
				for _, cell := range cellTag.FindAllStringSubmatch(row, -1) {
					span, rows := 1, 1
					for _, m := range spanAttr.FindAllStringSubmatch(cell[2], -1) {
						v, _ := strconv.Atoi(m[2])
						if m[1] == "col" {
							span = v
						} else {
							rows = v
						}
					}
					n += span
					if rows > 1 {
						below = append(below, rows-1)
					}
					if cell[1] == "th" && !strings.Contains(cell[2], `scope="`) {
						t.Errorf("%s, %s: a heading without scope: %s", name, caption[1], cell[0])
					}
					if strings.TrimSpace(cell[3]) == "" {
						t.Errorf("%s, %s: an empty cell in %s", name, caption[1], row)
					}
				}
				if r == 0 {
					width = n
				}
				if n != width {
					t.Errorf("%s, %s: a row of %d cells, the first has %d: %s", name, caption[1], n, width, row)
				}
			}
		}
	}
}

// Anchors lead somewhere, IDs are unique, what scrolls can be reached by key and has
// a name, pictures have a text.
func TestStructure(t *testing.T) {
	for name, text := range pages(t) {
		ids := map[string]bool{}
		for _, m := range idAttr.FindAllStringSubmatch(text, -1) {
			if ids[m[1]] {
				t.Errorf("%s: ID %s twice", name, m[1])
			}
			ids[m[1]] = true
		}
		for _, m := range anchor.FindAllStringSubmatch(text, -1) {
			if !ids[m[1]] {
				t.Errorf("%s: nothing has the ID %s", name, m[1])
			}
		}
		labels := map[string]bool{}
		for _, m := range regexp.MustCompile(`<div class="scroll"[^>]*>`).FindAllString(text, -1) {
			label := regexp.MustCompile(`tabindex="0" role="group" aria-label="([^"]+)"`).FindStringSubmatch(m)
			if label == nil || labels[label[1]] {
				t.Errorf("%s: no name of its own: %s", name, m)
				continue
			}
			labels[label[1]] = true
		}
		for _, m := range regexp.MustCompile(`<img [^>]*>`).FindAllString(text, -1) {
			if !regexp.MustCompile(`alt="[^"]+"`).MatchString(m) {
				t.Errorf("%s: no text: %.80s", name, m)
			}
		}
	}
	if n := strings.Count(pages(t)["image"], `<svg class="ramp"`); n == 0 {
		t.Error("perturbations have no legend")
	}
}

// The policy lets this script run and no other, and nothing is loaded.
func TestPolicy(t *testing.T) {
	for name, text := range pages(t) {
		scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(text, -1)
		if len(scripts) != 1 {
			t.Fatalf("%s: %d scripts", name, len(scripts))
		}
		sum := sha256.Sum256([]byte(scripts[0][1]))
		if want := "script-src &#39;sha256-" + base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(strings.ReplaceAll(text, "&#43;", "+"), want) {
			t.Errorf("%s: the policy is not that of its script, %s", name, want)
		}
		if !strings.Contains(text, "default-src &#39;none&#39;") {
			t.Errorf("%s: what is not allowed is not forbidden", name)
		}
	}
	if len(script) > 6<<10 {
		t.Errorf("the script has %d bytes", len(script))
	}
}

// The same evaluation has the same bytes.
func TestDeterministic(t *testing.T) {
	r, d := evaluation(t)
	once := render(t, r, d)
	if again := render(t, r, d); once != again {
		t.Error("two pages of one evaluation differ")
	}
}

// Texts, lines and markers have a contrast of 4.5 at least against what they stand
// on (WCAG 2.2, 1.4.3), light and dark, and so has text on the darkest cell of a
// heat map.
func TestContrast(t *testing.T) {
	const least = 4.5
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(style, 2)
	for k, name := range []string{"light", "dark"} {
		colors := map[string][3]float64{}
		for _, m := range regexp.MustCompile(`--(\w+): #(..)(..)(..);`).FindAllStringSubmatch(blocks[k][1], -1) {
			var c [3]float64
			for j := range c {
				v, err := strconv.ParseUint(m[2+j], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				c[j] = float64(v) / 255
			}
			colors[m[1]] = c
		}
		shaded := colors["panel"]
		for j := range shaded {
			shaded[j] += .56 * (colors["heat"][j] - shaded[j]) // .h8
		}
		if c := contrast(colors["ink"], shaded); c < least {
			t.Errorf("%s: text on a heat map has %.2f", name, c)
		}
		texts := []string{"ink", "soft", "link", "good", "fair", "bad", "clean"}
		for j := range looks {
			texts = append(texts, fmt.Sprintf("s%d", j))
		}
		for _, text := range texts {
			for _, under := range []string{"bg", "panel"} {
				if c := contrast(colors[text], colors[under]); c < least {
					t.Errorf("%s: %s on %s has %.2f", name, text, under, c)
				}
			}
		}
	}
}

// contrast is that of WCAG 2.2.
func contrast(a, b [3]float64) float64 {
	luminance := func(c [3]float64) float64 {
		for j, v := range c {
			if c[j] = v / 12.92; v > 0.04045 {
				c[j] = math.Pow((v+0.055)/1.055, 2.4)
			}
		}
		return .2126*c[0] + .7152*c[1] + .0722*c[2]
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

// Lines of a chart differ in dashes, and in markers where they have some.
func TestLinesWithoutColor(t *testing.T) {
	seen := map[string]string{}
	for k := range looks {
		m := regexp.MustCompile(fmt.Sprintf(`\.line\.s%d \{([^}]*)\}`, k)).FindStringSubmatch(style)
		if m == nil {
			t.Fatalf("s%d has no style", k)
		}
		_, dashes, _ := strings.Cut(m[1], "stroke-dasharray:")
		if other, ok := seen[dashes]; ok {
			t.Errorf("s%d is drawn like %s", k, other)
		}
		seen[dashes] = class(k)
		if other, ok := seen[marker(class(k), 0, 0)]; ok {
			t.Errorf("s%d has the marker of %s", k, other)
		}
		seen[marker(class(k), 0, 0)] = class(k)
	}
}
