package specs_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/grid"
	"github.com/vaeguard/vaeguard/host/spec"
)

// sections are the parts of a resolved spec that make a detector: from vae to
// threshold, without what is logged of its training.
func sections(t *testing.T, resolved []byte) string {
	t.Helper()
	_, text, ok := bytes.Cut(resolved, []byte("\nvae:\n"))
	out, _, ok2 := bytes.Cut(text, []byte("\nattacks:\n"))
	if !ok || !ok2 {
		t.Fatalf("no vae, or no attacks after it:\n%s", resolved)
	}
	return strings.Replace(string(out), "  log_metrics: [mse]\n", "", 1)
}

// TestRecommendedIsMeasured: the recommended recipe for Fashion-MNIST is the detector
// default of the track whose figures the README shows, to the last key.
func TestRecommendedIsMeasured(t *testing.T) {
	c := builtin.Components()
	g, err := grid.Load("tracks/s-lite.yaml", nil, c.Tables())
	if err != nil {
		t.Fatal(err)
	}
	var set []string
	for _, d := range g.Detectors {
		if d.Name == g.Default {
			set = spec.Overrides(d.Set)
		}
	}
	measured, err := host.Load("tracks/fashion.yaml", set, c, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("fashion-cnn.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := host.ParseSpec("fashion-cnn.yaml", text, c)
	if err != nil {
		t.Fatal(err)
	}
	if shipped.Expanded != "recommended" {
		t.Fatalf("fashion-cnn has the preset %q", shipped.Expanded)
	}
	if got, want := sections(t, shipped.Resolved()), sections(t, measured.Spec.Resolved()); got != want {
		t.Errorf("the recipe is\n%s\nmeasured was\n%s", got, want)
	}
}
