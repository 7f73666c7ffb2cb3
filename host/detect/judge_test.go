package detect_test

import (
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func namedScore(t *testing.T, name string) detect.NamedScore {
	t.Helper()
	s, err := scores.Table().Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return detect.NamedScore{Name: name, Score: s}
}

// pairs are rows whose prediction and whose reconstruction's are two classes' logits: the
// reconstruction of row i lacks certainty by lack[i].
func pairs(lack ...float32) *train.Step {
	n := len(lack)
	s := &train.Step{X: tensor.New(n, 2), Rebuilt: tensor.New(n, 2), P: tensor.New(n, 2), Q: tensor.New(n, 2)}
	for i, l := range lack {
		copy(s.P.Row(i), []float32{3, 0})
		copy(s.Q.Row(i), []float32{3 - l, 0})
	}
	return s
}

// TestJudge: the threshold is the rule's on the clean rows since the last verdict, and a
// row is flagged above it.
func TestJudge(t *testing.T) {
	rate := func(v float64) *detect.Rule { return &detect.Rule{FPR: &v} }
	info := sdk.Info{NumClasses: 2, Output: sdk.Logits}
	var clean []float32
	for i := range 99 {
		clean = append(clean, float32(i)/100) // margins −3 … −2.02
	}
	half := -2.5
	for name, c := range map[string]struct {
		rule  *detect.Rule
		rows  int
		lack  []float32
		flags []bool
	}{
		"default":      {nil, 99, []float32{.93, .94, .95}, []bool{false, false, true}},
		"rate":         {rate(.5), 99, []float32{.48, .49, .50}, []bool{false, false, true}},
		"by class":     {&detect.Rule{FPR: rate(.5).FPR, By: "predicted_class"}, 99, []float32{.49, .50}, []bool{false, true}},
		"given":        {&detect.Rule{Value: &half}, 99, []float32{.45, .55}, []bool{false, true}},
		"too few rows": {nil, 5, []float32{.04, .05}, []bool{false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := detect.NewJudge(detect.Options{Scores: []detect.NamedScore{namedScore(t, "margin")}}, info, c.rule)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]bool, len(c.lack))
			for range 2 { // the second time other rows would show
				j.Clean(pairs(clean[:c.rows/2]...))
				j.Clean(pairs(clean[c.rows/2 : c.rows]...))
				if j.Flagged(got, pairs(c.lack...)); !slices.Equal(got, c.flags) {
					t.Errorf("flags %v, want %v", got, c.flags)
				}
			}
			far := make([]float32, 99)
			for i := range far {
				far[i] = 5
			}
			if c.rule == nil || c.rule.Value == nil {
				j.Clean(pairs(far...))
				if j.Flagged(got, pairs(c.lack...)); slices.Contains(got, true) {
					t.Errorf("after clean rows that are stranger, flags %v", got)
				}
			}
		})
	}
	if _, err := detect.NewJudge(detect.Options{}, info, nil); err == nil {
		t.Error("no error without a score")
	}
}

// TestJudgeFuses: several scores become one, and with too few clean rows the first stands
// for all. Heads on hidden layers are read as the detector reads them.
func TestJudgeFuses(t *testing.T) {
	info := sdk.Info{NumClasses: 2, Output: sdk.Logits}
	var clean []float32
	for i := range 200 {
		clean = append(clean, float32(i)/200)
	}
	o := detect.Options{Scores: []detect.NamedScore{namedScore(t, "margin"), namedScore(t, "reverse_kl")}, Fusion: detect.Cauchy}
	for _, rows := range []int{200, 8} {
		j, err := detect.NewJudge(o, info, nil)
		if err != nil {
			t.Fatal(err)
		}
		j.Clean(pairs(clean[:rows]...))
		got := make([]bool, 3)
		j.Flagged(got, pairs(0, clean[rows/2], 2))
		if want := []bool{false, false, true}; !slices.Equal(got, want) {
			t.Errorf("%d clean rows: flags %v, want %v", rows, got, want)
		}
	}
	o = detect.Options{Scores: []detect.NamedScore{namedScore(t, "hidden_kl")}, Hidden: []oracle.Head{{Name: "h", Weight: 2, Kernel: tensor.New(3, 2)}}}
	j, err := detect.NewJudge(o, info, nil)
	if err != nil {
		t.Fatal(err)
	}
	heads := func(lack ...float32) *train.Step {
		s := pairs(lack...)
		s.HiddenP, s.HiddenQ = []*tensor.Tensor{s.P}, []*tensor.Tensor{s.Q}
		s.P, s.Q = tensor.New(len(lack), 2), tensor.New(len(lack), 2)
		return s
	}
	j.Clean(heads(clean...))
	got := make([]bool, 2)
	if j.Flagged(got, heads(.5, 3)); !slices.Equal(got, []bool{false, true}) {
		t.Errorf("heads: flags %v", got)
	}
}
