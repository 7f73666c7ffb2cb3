// Package methodtest checks what holds for every detection method.
package methodtest

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Case is what a method is tested with.
type Case struct {
	Input tensor.Shape   // of one example
	VAE   *vae.Section   // for methods that code by it; nil: none
	Train *train.Section // for a detect.Fitter; nil: the spec has none
	// Scores are the table that the method's own scores come from.
	Scores registry.Table[detect.Score]
}

const (
	classes = 4
	rows    = 7
)

// Run checks that
//
//   - the method can be made without a classifier, with the same Form, and with
//     one, and the same seed gives the same params;
//   - params have names of their own, none that a detector's file uses otherwise;
//   - rows do not depend on their batch, passes may run at once, and neither x nor
//     what dx holds already is lost;
//   - the way back is the gradient, by central differences, unless the opinion is
//     detect.Approximate;
//   - a Fitter trains to the same bits again, and ends when its context does;
//   - params loaded into a fresh opinion give the same answers;
//   - a detector with the method's own scores calibrates, detects and can be
//     attacked.
func Run(t *testing.T, m detect.Method, c Case) {
	t.Helper()
	s := &subject{t: t, m: m, c: c, model: &sdktest.Fake{Shape: c.Input, Classes: classes, Seed: 3}}
	var err error
	if s.info, err = s.model.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("made", s.made)
	t.Run("rows", s.rows)
	t.Run("way back", s.wayBack)
	t.Run("trained", s.trained)
	t.Run("loaded", s.loaded)
	t.Run("detector", s.detector)
}

type subject struct {
	t     *testing.T
	m     detect.Method
	c     Case
	model *sdktest.Fake
	info  sdk.Info
}

func (s *subject) parts(seed uint64) detect.Parts {
	return detect.Parts{Input: s.c.Input, Classes: classes, Info: &s.info, VAE: s.c.VAE, Seed: seed}
}

func (s *subject) opinion(t *testing.T, seed uint64) detect.Opinion {
	t.Helper()
	o, err := s.m.Make(s.parts(seed))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// inputs are n rows in the classifier's range.
func (s *subject) inputs(n int, seed uint64) *tensor.Tensor {
	x, r := tensor.Batch(n, s.c.Input), rand.New(rand.NewPCG(seed, 1))
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	return x
}

// reserved begin the names of what else a detector's file holds.
var reserved = []string{"noise", "hidden.", "normalize.", "scale.", "gradient."}

func (s *subject) made(t *testing.T) {
	blind := s.parts(1)
	blind.Info = nil
	o, err := s.m.Make(blind)
	if err != nil {
		t.Fatalf("without a classifier: %v", err)
	}
	a, b := s.opinion(t, 1), s.opinion(t, 1)
	if o.Form() != a.Form() {
		t.Errorf("without a classifier its form is %+v, with one %+v", o.Form(), a.Form())
	}
	names := map[string]bool{}
	for i, p := range a.Params() {
		if names[p.Name] || p.Name == "" || slices.ContainsFunc(reserved, func(r string) bool { return strings.HasPrefix(p.Name, r) }) {
			t.Errorf("param %d has the name %q: it is empty, taken or reserved", i, p.Name)
		}
		names[p.Name] = true
		if q := b.Params()[i]; q.Name != p.Name || !slices.Equal(q.Value.Data, p.Value.Data) {
			t.Errorf("param %s: the same seed gives other numbers", p.Name)
		}
	}
	scores, _ := s.m.Scores()
	if len(scores) == 0 {
		t.Error("it has no scores of its own")
	}
}

// ready is an opinion after training, if it is trained.
func (s *subject) ready(t *testing.T) detect.Opinion {
	t.Helper()
	o := s.opinion(t, 1)
	if err := s.fit(t.Context(), t, o); err != nil {
		t.Fatal(err)
	}
	return o
}

func (s *subject) rows(t *testing.T) {
	o := s.ready(t)
	f, eps := o.Form(), noise(o)
	x := s.inputs(rows, 1)
	before := slices.Clone(x.Data)
	whole := numbers(second(f, o.NewPass(engine(t, 2)), x, eps), rows)
	if !slices.Equal(x.Data, before) {
		t.Error("Forward changes x")
	}
	var wait sync.WaitGroup
	for worker := range 2 {
		e := engine(t, 1)
		wait.Go(func() {
			p := o.NewPass(e)
			for i := worker; i < rows; i += 2 {
				one := numbers(second(f, p, x.Rows(i, i+1), eps), 1)
				if !slices.Equal(one[0], whole[i]) {
					t.Errorf("row %d alone has other bits than in its batch", i)
				}
			}
		})
	}
	wait.Wait()
}

func (s *subject) wayBack(t *testing.T) {
	o := s.ready(t)
	f := o.Form()
	if f == (detect.Form{}) {
		return
	}
	const n = 2
	x, p, r := s.inputs(n, 2), o.NewPass(engine(t, 1)), rand.New(rand.NewPCG(9, 9))
	noises := []*tensor.Tensor{noise(o)}
	if noises[0] != nil {
		noises = append(noises, nil) // at the code's mean
	}
	for _, eps := range noises {
		form := f
		if _, noisy := o.(detect.Noisy); noisy && eps == nil {
			form.Rebuilt = 1
		}
		d := empty(form, x, eps)
		d.Code = nil
		for _, c := range []*tensor.Tensor{d.Rebuilt, d.Logits} {
			if c != nil {
				for i := range c.Data {
					c.Data[i] = r.Float32() - 0.5
				}
			}
		}
		weights := numbers(d, n)
		value := func() (sum float64) {
			got := second(form, p, x, eps)
			got.Code = nil
			for i, row := range numbers(got, n) {
				for j, v := range row {
					sum += float64(v) * float64(weights[i][j])
				}
			}
			return sum
		}
		dx := tensor.Batch(n, s.c.Input)
		for i := range dx.Data {
			dx.Data[i] = 1 // to be added to
		}
		keep := slices.Clone(x.Data)
		p.Backward(dx, d, x, eps)
		if !slices.Equal(x.Data, keep) {
			t.Error("Backward changes x")
		}
		if a, ok := o.(detect.Approximate); ok && a.Approximate() {
			continue
		}
		varies := false
		for _, i := range r.Perm(len(x.Data))[:min(12, len(x.Data))] {
			const h = 2e-3
			v := x.Data[i]
			x.Data[i] = v + h
			up := value()
			x.Data[i] = v - h
			want := (up - value()) / (2 * h)
			x.Data[i] = v
			varies = varies || want != 0
			if got := float64(dx.Data[i]) - 1; math.Abs(got-want) > 2e-2*(1+math.Abs(want)) {
				t.Errorf("gradient at %d is %.4f, by differences %.4f", i, got, want)
			}
		}
		if !varies {
			t.Error("the opinion is the same whatever x is")
		}
	}
}

// fit trains an opinion.
func (s *subject) fit(ctx context.Context, t *testing.T, o detect.Opinion) error {
	t.Helper()
	f, ok := o.(detect.Fitter)
	if !ok {
		return nil
	}
	op := train.Options{Engine: engine(t, 2), Classifier: s.model, Train: dataset.InMemory(s.inputs(48, 4)), Seed: 6}
	if s.c.Train != nil {
		op.Section = *s.c.Train
	}
	_, err := f.Fit(ctx, s.c.Train, op)
	return err
}

func (s *subject) trained(t *testing.T) {
	a, b := s.opinion(t, 1), s.opinion(t, 1)
	if _, ok := a.(detect.Fitter); !ok {
		return
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.fit(over, t, s.opinion(t, 1)); err == nil {
		t.Error("Fit continues when its context has ended")
	}
	for _, o := range []detect.Opinion{a, b} {
		if err := s.fit(t.Context(), t, o); err != nil {
			t.Fatal(err)
		}
	}
	changed := false
	for i, p := range a.Params() {
		if !slices.Equal(p.Value.Data, b.Params()[i].Value.Data) {
			t.Errorf("param %s: trained again it has other bits", p.Name)
		}
		changed = changed || !slices.Equal(p.Value.Data, s.opinion(t, 1).Params()[i].Value.Data)
	}
	if !changed {
		t.Error("training changes no param")
	}
}

func (s *subject) loaded(t *testing.T) {
	a := s.ready(t)
	seed := uint64(2)
	if _, ok := a.(detect.Smoothing); ok {
		seed = 1 // whose noise is made from it
	}
	b := s.opinion(t, seed)
	values := map[string]*tensor.Tensor{}
	for _, p := range a.Params() {
		values[p.Name] = p.Value.Clone()
	}
	if err := nn.Load(b.Params(), values); err != nil {
		t.Fatal(err)
	}
	x, e, eps := s.inputs(3, 8), engine(t, 1), noise(a)
	got, want := numbers(second(b.Form(), b.NewPass(e), x, eps), 3), numbers(second(a.Form(), a.NewPass(e), x, eps), 3)
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("row %d: a fresh opinion with the same params has other bits", i)
		}
	}
}

func (s *subject) detector(t *testing.T) {
	o := s.opinion(t, 1)
	if err := s.fit(t.Context(), t, o); err != nil {
		t.Fatal(err)
	}
	names, fusion := s.m.Scores()
	op := detect.Options{Method: "tested", Opinion: o, Classifier: s.model, Noise: noise(o), Fusion: fusion, Threads: 1}
	for _, n := range names {
		score, err := s.c.Scores.Lookup(n)
		if err != nil {
			t.Fatal(err)
		}
		op.Scores = append(op.Scores, detect.NamedScore{Name: n, Score: score})
	}
	d, err := detect.New(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	fpr := 0.1
	if _, err := d.Calibrate(t.Context(), s.inputs(60, 10), detect.Rule{FPR: &fpr}); err != nil {
		t.Fatal(err)
	}
	x := s.inputs(rows, 11)
	r, err := d.Detect(t.Context(), x, detect.Include{Probabilities: true, ProbabilitiesReconstructed: true, Reconstruction: true, Latent: true})
	if err != nil {
		t.Fatal(err)
	}
	if (r.Latent != nil) != (o.Form().Code > 0) {
		t.Errorf("latent %v with a code of %d", r.Latent != nil, o.Form().Code)
	}
	_, pull, err := d.Guard(detect.GuardOptions{}).Forward(t.Context(), x, detect.OutputScore)
	if err != nil {
		t.Fatal(err)
	}
	dy := tensor.New(rows, 1)
	for i := range dy.Data {
		dy.Data[i] = 1
	}
	dx, err := pull(t.Context(), map[string]*tensor.Tensor{detect.OutputScore: dy})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range dx.Data {
		if v-v != 0 {
			t.Fatalf("the score's gradient at %d is %v", i, v)
		}
	}
}
