package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/health"
)

// Thresholds by class have a table: what was promised and what test rows show.
func TestThresholdsByClass(t *testing.T) {
	r, d := evaluation(t)
	if strings.Contains(render(t, r, d), `id="thresholds"`) {
		t.Error("a detector with one threshold has the section")
	}
	r.Detector.PromisedFPR = 0.05
	r.Clean.Classes = []evaluate.ClassRate{
		{Class: 0, Name: "<b>", Threshold: 1.25, Calibration: 200, N: 100, FPR: .04, CI95: evaluate.ClopperPearson(4, 100)},
		{Class: 1, Name: "rare", Threshold: 0.75, Calibration: 7, Pooled: true, FPR: evaluate.Number(math.NaN()), CI95: evaluate.ClopperPearson(0, 0)},
	}
	text := render(t, r, d)
	for _, want := range []string{`<a href="#thresholds">`, "of each 5.0 % false alarms", `<th scope="row">&lt;b&gt;</th><td>200</td><td>1.25</td><td>100</td><td>4.0 %</td><td>[1.1, 9.9]</td>`,
		`<th scope="row">rare</th><td>7</td><td>0.75 (of all)</td><td>0</td><td>–</td><td>–</td>`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// The health of a guard has a section, with a word nobody can miss where it is
// severe, and names of classes escaped.
func TestHealth(t *testing.T) {
	r, d := evaluation(t)
	if strings.Contains(render(t, r, d), `id="health"`) {
		t.Error("a report without health has the section")
	}
	m := health.Measured{Source: "calibration", Classes: 2, Names: []string{"sick <&>", "healthy"}, Coded: true, Threshold: 1}
	for i := range 100 {
		m.Labels, m.Predicted, m.Reconstructed = append(m.Labels, i%2), append(m.Predicted, i%2), append(m.Reconstructed, i%2)
		m.Score, m.Flagged = append(m.Score, float64(i)/100), append(m.Flagged, false)
	}
	r.Health = health.Judge(m)
	text := render(t, r, d)
	for _, want := range []string{`<a href="#health">Health of the guard</a>`, "100 clean rows of data.calibration", "sick &lt;&amp;&gt;", "reconstructions reach 2 of the 2"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "Do not rely") || strings.Contains(text, "Likeliest cures") {
		t.Error("the page warns of a sound guard")
	}
	if strings.Contains(text, "from which neither threshold nor correction was learnt") {
		t.Error("the page has held-out rows that there are not")
	}
	held := m
	held.Source, held.Flagged = "validation", slices.Clone(m.Flagged)
	held.Flagged[0] = true
	m.Learnt, m.HeldOut, m.Promised = true, &held, 0.05
	r.Health = health.Judge(m)
	text = render(t, r, d)
	for _, want := range []string{"Rows of data.calibration by class; from them the threshold was learnt", "100 rows of data.validation by class, from which neither threshold nor correction was learnt",
		`<th scope="row">all</th><td>100</td><td>1.0 %</td><td>100 %</td><td>100 %</td></tr>`, "1.0 % of 100 rows of data.validation are flagged, promised 5.0 %"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	m.HeldOut = nil
	clear(m.Reconstructed)
	r.Health = health.Judge(m)
	text = render(t, r, d)
	for _, want := range []string{"Do not rely on this guard", "<strong>severe</strong>", "Likeliest cures: vae.normalize"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
