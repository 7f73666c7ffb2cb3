package report

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/health"
)

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
	clear(m.Reconstructed)
	r.Health = health.Judge(m)
	text = render(t, r, d)
	for _, want := range []string{"Do not rely on this guard", "<strong>severe</strong>", "Likeliest cures: vae.normalize"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
