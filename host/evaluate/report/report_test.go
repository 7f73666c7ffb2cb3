package report

import (
	"bytes"
	"context"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// shift is an attack: every feature one step against the gradient.
type shift struct {
	Eps float64 `yaml:"eps"`
}

func (s shift) Ball() (attack.Norm, float64) { return attack.Linf, s.Eps }
func (s shift) Needs() attack.Need           { return attack.NeedsGradients }
func (s shift) Iterated() bool               { return true }

func (s shift) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	e, err := attack.NewProbe(m, x.N(), o, b).Gradient(ctx, attack.All(x.N()), x)
	if err != nil {
		return nil, err
	}
	y := x.Clone()
	for i, g := range e.Grad.Data {
		y.Data[i] -= float32(math.Copysign(b.Eps, float64(g)))
	}
	return y, nil
}

func evaluation(t *testing.T) (*evaluate.Report, *evaluate.Details) {
	t.Helper()
	g, x, y := attacktest.NewGuard(64, 8, 4, 300, 11)
	r, d, err := evaluate.Run(context.Background(), evaluate.Options{Section: evaluate.Section{Bootstrap: 50, CurveRows: 40},
		Name: "toy <guard> & co", Guard: g, Classifier: g.M, Threshold: g.Threshold, X: x, Labels: y,
		Attacks: []evaluate.NamedAttack{{Name: "pgd", Attack: shift{.1}}, {Name: "pgd", Attack: shift{.03}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, d
}

func render(t *testing.T, r *evaluate.Report, d *evaluate.Details) string {
	t.Helper()
	var b bytes.Buffer
	err := WriteHTML(&b, r, d, Options{
		Training: []Series{{"loss", []float64{1, 2, 3}, []float64{.5, .3, .2}}, {"val_loss", []float64{1, 2, 3}, []float64{.55, .35, .3}}},
		Date:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: "file toy.npy",
		Spec: "name: toy\n", Command: []string{"vaeguard run 'my toy.yaml'"}, Summary: "layer  output\ndense_0  [8]\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("REPORT_HTML"); path != "" {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// The page is whole, names nothing outside itself, and escapes what users
// wrote.
func TestPage(t *testing.T) {
	r, d := evaluation(t)
	r.Warnings = append(r.Warnings, "a <b>warning</b>")
	text := render(t, r, d)
	for _, want := range []string{"</html>", "Attacks on the classifier", "Scores of clean", "ROC", "over growing eps", "Which features", "loss during training", `<th scope="row">calibration rows</th><td>0</td>`, `<th scope="row">seed</th><td>0</td>`, "2026-01-02 03:04 UTC", "300 clean test rows of 64 features", " classes: file toy.npy", "toy &lt;guard&gt; &amp; co", "dense_0  [8]", "vaeguard run &#39;my toy.yaml&#39;", "a &lt;b&gt;warning"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "src=\"/", "NaN", "ZgotmplZ", "%!", ` style="`, ` onclick`} {
		if strings.Contains(strings.Replace(text, script, "", 1), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

// Examples of image shape become pictures inside the page.
func TestPictures(t *testing.T) {
	r, d := evaluation(t)
	d.Shape = tensor.Shape{8, 8, 1}
	text := render(t, r, d)
	if n := strings.Count(text, `src="data:image/png;base64,`); n < 5 {
		t.Errorf("%d pictures, want at least 5", n)
	}
}

// A report without any successful attack still says so.
func TestNothingHappened(t *testing.T) {
	g, x, y := attacktest.NewGuard(12, 3, 4, 60, 11)
	r, d, err := evaluate.Run(context.Background(), evaluate.Options{Section: evaluate.Section{Bootstrap: 20}, Name: "idle", Guard: g, Classifier: g.M, Threshold: g.Threshold, X: x, Labels: y})
	if err != nil {
		t.Fatal(err)
	}
	if text := render(t, r, d); !strings.Contains(text, "nothing can be said") {
		t.Error("no word about the lack of attacks")
	}
}

// Adaptive attacks alone are judged too.
func TestAdaptiveAlone(t *testing.T) {
	r, _ := evaluation(t)
	r.Attacks = nil
	for evaded, want := range map[float64]string{.1: "rarely evade", .4: "often evade", .9: "usually evade"} {
		r.AdaptiveUnion = &evaluate.UnionReport{N: 100, Evaded: evaluate.Number(evaded)}
		if v := judge(r); !strings.Contains(v.Headline, want) || !strings.Contains(v.Sentences[0], percent(evaded)) {
			t.Errorf("%v evaded: %+v", evaded, v)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		a    axis
		want []float64
	}{
		{axis{lo: 0, hi: 1}, []float64{0, .2, .4, .6, .8, 1}},
		{axis{lo: 1e-3, hi: 1, log: true}, []float64{1e-3, 1e-2, .1, 1}},
		{axis{lo: 0, hi: .3}, []float64{0, .1, .2, .3}},
		{axis{lo: 1, hi: 12}, []float64{2.5, 5, 7.5, 10}},
		{axis{lo: 1, hi: 12, whole: true}, []float64{5, 10}},
		{axis{lo: 1, hi: 3, whole: true}, []float64{1, 2, 3}},
	} {
		got := c.a.ticks()
		if len(got) != len(c.want) {
			t.Errorf("ticks of [%g, %g] = %v, want %v", c.a.lo, c.a.hi, got, c.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-9 {
				t.Errorf("ticks of [%g, %g] = %v, want %v", c.a.lo, c.a.hi, got, c.want)
			}
		}
	}
}

// The verdict leaves out controls, whatever their name, and nothing else.
func TestVerdictLeavesOutControls(t *testing.T) {
	r, _ := evaluation(t)
	r.Attacks[0].Name, r.Attacks[1].Control = "noise", true
	if got := known(r); len(got) != 1 || got[0].ID != r.Attacks[0].ID {
		t.Errorf("%d attacks count, want the first alone", len(got))
	}
}

// TestFarRows: scores that are infinite, of some rows or of all, leave the charts whole.
func TestFarRows(t *testing.T) {
	for name, far := range map[string]func(x []float32) bool{
		"some": func(x []float32) bool { return x[0] > .7 },
		"all":  func([]float32) bool { return true },
	} {
		g, x, y := attacktest.NewGuard(64, 8, 4, 300, 11)
		g.Far = far
		r, d, err := evaluate.Run(context.Background(), evaluate.Options{Section: evaluate.Section{Bootstrap: 20, CurveRows: 40},
			Name: "far", Guard: g, Classifier: g.M, Threshold: g.Threshold, X: x, Labels: y,
			Attacks: []evaluate.NamedAttack{{Name: "pgd", Attack: shift{.1}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for k, shape := range []tensor.Shape{{64}, {8, 8, 1}} {
			d.Shape = shape
			text := render(t, r, d)
			for _, bad := range []string{"NaN", "%!"} {
				if strings.Contains(strings.Replace(text, script, "", 1), bad) {
					t.Errorf("%s, shape %v: the page has %q", name, shape, bad)
				}
			}
			if !strings.Contains(text, "infinite") || !strings.Contains(text, "is not finite") || k == 0 && !strings.Contains(text, "Distribution of scores") {
				t.Errorf("%s, shape %v: no word of infinite scores", name, shape)
			}
		}
	}
}
