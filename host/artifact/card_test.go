package artifact_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/health"
)

// A detector has a page for people, which follows its calibration, and which may be
// edited or gone.
func TestCard(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	d := detector()
	d.Meta.Data = map[string]string{"train": "0b17"}
	d.Meta.Health = &health.Report{Rows: 7, Source: "calibration", Findings: []health.Finding{{Severity: health.Severe, Message: "all scores are the same"}}}
	if err := artifact.Save(dir, d, false); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		b, err := os.ReadFile(filepath.Join(dir, artifact.CardFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	saved, err := artifact.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := read()
	for _, want := range []string{"# small", "cnn 1.0.0", "| train | 0b17 |", "Threshold 0.5, as given", "On 7 clean rows (calibration)", "**severe**: all scores are the same", saved.Digest, "Its health has findings", "can evade it"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	rate, scores := .25, []float64{.1, .2, .3}
	if err := artifact.Recalibrate(dir, detect.State{Scores: scores, Threshold: &detect.Threshold{Value: .3, N: 3, Rank: 3, Rule: detect.Rule{FPR: &rate}}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if text := read(); !strings.Contains(text, "Threshold 0.3, of 3 clean scores: at most 0.25") || strings.Contains(text, "all scores are the same") {
		t.Errorf("after a calibration:\n%s", text)
	}
	if err := os.WriteFile(filepath.Join(dir, artifact.CardFile), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.Load(dir); err != nil {
		t.Errorf("an edited card: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, artifact.CardFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.Load(dir); err != nil {
		t.Errorf("no card: %v", err)
	}
}
