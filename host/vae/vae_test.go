package vae

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// full is a dense layer with tanh, made of a Head: enough of a network to test
// what stands around one.
type full struct{ units int }

type fullLayer struct {
	*dense
	shape tensor.Shape
	y     map[*nn.Workspace]*tensor.Tensor
}

func (f full) Make(in tensor.Shape, r *rand.Rand) (nn.Layer, error) {
	if f.units == 0 {
		return nil, errors.New("units is 0")
	}
	body, err := nn.Build(nil, in, r)
	if err != nil {
		return nil, err
	}
	d := &dense{body: body, head: newHead("x", in.Size(), f.units, kernel.Act{Kind: kernel.Tanh}, r)}
	d.head.Kernel.Name, d.head.Bias.Name = "kernel", "bias"
	return fullLayer{d, nil, nil}, nil
}

func (f fullLayer) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	n := dy.N()
	h, y := w.Kept(f.dense, bufInput), w.Tensor(f.dense, bufY, n)
	dx := w.Tensor(f.dense, bufDX, n)
	f.head.backward(w.K, dx.Data, dy.Data, h.Data, y.Data, w.Vector(f.dense, bufScratch), n, false, g)
	return dx
}

// shaped gives the result of a full layer the shape of an image.
type shaped struct{ to tensor.Shape }

type shapedLayer struct{ shaped }

func (s shaped) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) { return shapedLayer{s}, nil }
func (s shapedLayer) Out() tensor.Shape                               { return s.to }
func (s shapedLayer) Params() []*nn.Param                             { return nil }
func (s shapedLayer) Plan(*nn.Plan)                                   {}
func (s shapedLayer) Forward(_ *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	return tensor.From(x.Data, append(tensor.Shape{x.N()}, s.to...)...)
}
func (s shapedLayer) Backward(_ *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	return tensor.From(dy.Data, dy.N(), s.to.Size())
}

func engine(t testing.TB, threads int) *kernel.Engine {
	k, err := kernel.New(kernel.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func random(seed uint64, scale float64, shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = float32(scale * r.NormFloat64())
	}
	return x
}

// small is a model of 5 features and a code of 3, in the given form.
func small(t testing.TB, form string) *Model {
	o := Options{Section: Section{Encoder: []nn.Maker{full{7}, full{6}}, Decoder: []nn.Maker{full{8}, full{5}}, LatentDim: 3}, Input: tensor.Shape{5}}
	switch form {
	case "softplus":
		o.LogVar = Softplus
	case "normalized":
		n, err := NewNormalizer([]float64{.1, .2, .3, .4, .5}, []float64{2, 3, .5, 1, .7}, o.Input)
		if err != nil {
			t.Fatal(err)
		}
		o.Normalizer = n
	case "ae":
		o.Coding = Plain
		o.Encoder = []nn.Maker{full{7}, full{3}}
	case "image":
		o.Encoder = []nn.Maker{full{8}, shaped{tensor.Shape{2, 2, 2}}}
	}
	m, err := Build(o, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNames(t *testing.T) {
	var names []string
	for _, p := range small(t, "").Params() {
		names = append(names, p.Name)
	}
	want := []string{"encoder.0.kernel", "encoder.0.bias", "encoder.1.kernel", "encoder.1.bias", "mean.kernel", "mean.bias",
		"log_var.kernel", "log_var.bias", "decoder.0.kernel", "decoder.0.bias", "decoder.1.kernel", "decoder.1.bias"}
	if !slices.Equal(names, want) {
		t.Errorf("params are %v, want %v", names, want)
	}
	s, err := BuildStudent(tensor.Shape{4}, []nn.Maker{full{3}}, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if name := s.Params()[3].Name; name != "student.output.bias" {
		t.Errorf("the student's last param is %s, want student.output.bias", name)
	}
}

func TestBuildErrors(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"latent": {Options{Input: tensor.Shape{4}}, "vae.latent_dim is 0, want at least 1"},
		"layer":  {Options{Section: Section{LatentDim: 2, Encoder: []nn.Maker{full{3}, full{}}}, Input: tensor.Shape{4}}, "vae.encoder layer 1: units is 0"},
		"decoder": {Options{Section: Section{LatentDim: 2, Decoder: []nn.Maker{full{12}, shaped{tensor.Shape{2, 2, 3}}}}, Input: tensor.Shape{2, 2, 1}},
			"vae.decoder layer 1: shaped_layer ends as 2×2×3, the classifier takes 2×2×1: append what leads from 2×2×3 to 2×2×1"},
		"empty": {Options{Section: Section{LatentDim: 4}, Input: tensor.Shape{2, 2, 1}},
			"vae.decoder ends as 4, the classifier takes 2×2×1: append what leads from 4 to 2×2×1"},
		"ae": {Options{Section: Section{LatentDim: 2, Encoder: []nn.Maker{full{3}}, Decoder: []nn.Maker{full{4}}}, Input: tensor.Shape{4}, Coding: Plain},
			"vae.encoder layer 0: full_layer ends as 3, want the code itself, of width 2 (without heads the encoder ends in it): append what leads from 3 to 2"},
	} {
		c.o.Bridge = func(have, want tensor.Shape) string { return fmt.Sprintf("what leads from %v to %v", have, want) }
		_, err := Build(c.o, 1)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q in it", name, err, c.want)
		}
	}
}

// objective is a smooth function of all results: a weighted sum.
func objective(ws [3]*tensor.Tensor, ts ...*tensor.Tensor) float64 {
	sum := 0.0
	for i, t := range ts {
		if t == nil {
			continue
		}
		for j, v := range t.Data {
			sum += float64(v) * float64(ws[i].Data[j])
		}
	}
	return sum
}

// TestGradients compares params' and input gradients with central differences.
func TestGradients(t *testing.T) {
	const n, h, tolerance = 4, 1e-2, 2e-3
	for _, form := range []string{"", "softplus", "normalized", "ae", "image"} {
		for _, samples := range []int{0, 1, 3} {
			if form == "ae" && samples > 0 {
				continue
			}
			t.Run(fmt.Sprint(form, samples), func(t *testing.T) {
				m, k := small(t, form), engine(t, 1)
				p := m.NewPass(k, n+1, max(samples, 1), nn.Inference)
				x := random(2, 1, n, 5)
				var noise *tensor.Tensor
				rows := n * max(samples, 1)
				if samples > 0 {
					noise = random(3, 1, rows, 3)
				}
				w := [3]*tensor.Tensor{random(4, 1, rows, 5), random(5, 1, n, 3), random(6, 1, n, 3)}
				f := func() float64 {
					rebuilt, mu, logvar := p.Forward(x, noise)
					return objective(w, rebuilt, mu, logvar)
				}
				f()
				g := nn.NewGrads(m.Params())
				dx := p.Backward(w[0].Clone(), w[1], w[2], g).Clone()
				check := func(name string, v []float32, i int, got float32) {
					old := v[i]
					v[i] = old + h
					up := f()
					v[i] = old - h
					down := f()
					v[i] = old
					want := (up - down) / (2 * h)
					if math.Abs(float64(got)-want) > tolerance*(1+math.Abs(want)) {
						t.Errorf("%s[%d] = %v, want %v", name, i, got, want)
					}
				}
				for i := range x.Data {
					check("dx", x.Data, i, dx.Data[i])
				}
				for _, q := range m.Params() {
					for i := 0; i < len(q.Value.Data); i += 3 {
						check(q.Name, q.Value.Data, i, g.Of(q).Data[i])
					}
				}
			})
		}
	}
}

// TestRowsAlone: a row has the same bits in any batch and for any number of
// threads, forward and backward.
func TestRowsAlone(t *testing.T) {
	m := small(t, "normalized")
	x, noise, w := random(2, 1, 9, 5), random(3, 1, 27, 3), random(4, 1, 27, 5)
	p := m.NewPass(engine(t, 1), 9, 3, nn.Inference)
	rebuilt, _, _ := p.Forward(x, noise)
	all := rebuilt.Clone()
	dx := p.Backward(w.Clone(), nil, nil, nil).Clone()
	for threads := 1; threads <= 3; threads++ {
		p := m.NewPass(engine(t, threads), 4, 3, nn.Inference)
		for lo := 0; lo < 9; lo += 4 {
			hi := min(lo+4, 9)
			part, _, _ := p.Forward(x.Rows(lo, hi), noise.Rows(3*lo, 3*hi))
			if !slices.Equal(part.Data, all.Rows(3*lo, 3*hi).Data) {
				t.Errorf("%d threads: rows %d to %d are rebuilt otherwise in a smaller batch", threads, lo, hi)
			}
			part = p.Backward(w.Rows(3*lo, 3*hi).Clone(), nil, nil, nil)
			if !slices.Equal(part.Data, dx.Rows(lo, hi).Data) {
				t.Errorf("%d threads: rows %d to %d have another gradient in a smaller batch", threads, lo, hi)
			}
		}
	}
}

// A batch that comes in parts, last rows first, has the bits of the whole.
func TestForwardRows(t *testing.T) {
	const n = 5
	x, noise, d := random(1, 1, n, 5), random(2, 1, n, 3), random(3, 1, n, 5)
	dMu, dLogVar := random(4, 1, n, 3), random(5, 1, n, 3)
	for _, form := range []string{"", "normalized", "ae", "image", "softplus"} {
		for _, eps := range []*tensor.Tensor{noise, nil} {
			for _, threads := range []int{1, 2} {
				m := small(t, form)
				dLogVar := dLogVar
				if m.Coding == Plain {
					dLogVar = nil
				}
				all := func(p *Pass, results ...*tensor.Tensor) (out []float32) {
					g := nn.NewGrads(m.Params())
					for _, r := range append(results, p.Raw()) {
						if r != nil {
							out = append(out, r.Data...)
						}
					}
					out = append(out, p.Backward(d.Clone(), dMu, dLogVar, g).Data...)
					for _, param := range m.Params() {
						out = append(out, g.Of(param).Data...)
					}
					return out
				}
				p := m.NewPass(engine(t, threads), n, 1, nn.Training)
				rebuilt, mu, logvar := p.Forward(x, eps)
				want := all(p, rebuilt, mu, logvar)
				for _, bounds := range [][]int{{n, 3, 0}, {n, 4, 2, 0}, {n, 0}} {
					for i, lo := range bounds[1:] {
						part := p.ForwardRows(x, eps, lo, bounds[i])
						if at := lo * 5; !slices.Equal(part.Data, want[at:at+len(part.Data)]) {
							t.Errorf("form %q: part %v has other bits", form, bounds[i:i+2])
						}
					}
					rebuilt, mu, logvar := p.Join(n)
					if !slices.Equal(all(p, rebuilt, mu, logvar), want) {
						t.Errorf("form %q, %d threads, parts %v: other bits", form, threads, bounds)
					}
				}
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	m := small(t, "normalized")
	p := m.NewPass(engine(t, 1), 4, 2, nn.Training)
	x, noise, dy := random(2, 1, 4, 5), random(3, 1, 8, 3), random(4, 1, 8, 5)
	g := nn.NewGrads(m.Params())
	step := func() {
		p.Forward(x, noise)
		p.Backward(dy, nil, nil, g)
	}
	step()
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("a step allocates %v times, want 0", n)
	}
}

func TestParamsOnly(t *testing.T) {
	m := small(t, "normalized")
	p := m.NewPass(engine(t, 1), 4, 1, nn.Training)
	x, noise, dy := random(2, 1, 4, 5), random(3, 1, 4, 3), random(4, 1, 4, 5)
	g, h := nn.NewGrads(m.Params()), nn.NewGrads(m.Params())
	p.Forward(x, noise)
	p.Backward(dy.Clone(), nil, nil, g)
	p.ParamsOnly(true)
	p.Forward(x, noise)
	if dx := p.Backward(dy.Clone(), nil, nil, h); dx != nil {
		t.Error("a gradient at the input, want none")
	}
	for _, q := range m.Params() {
		if !slices.Equal(g.Of(q).Data, h.Of(q).Data) {
			t.Errorf("%s has another gradient without the input's", q.Name)
		}
	}
}

func TestNormalizer(t *testing.T) {
	x := tensor.From([]float32{1, 5, 3, 5, 8, 5}, 3, 2)
	n, err := FitNormalizer("minmax", dataset.InMemory(x))
	if err != nil || !slices.Equal(n.Mean, []float64{1, 5}) || !slices.Equal(n.Std, []float64{7, 1}) {
		t.Errorf("minmax gives %v %v %v, want [1 5] [7 1]", n.Mean, n.Std, err)
	}
	if n, err = FitNormalizer("standard", dataset.InMemory(x)); err != nil || n.Mean[0] != 4 || math.Abs(n.Std[0]-math.Sqrt(26.0/3)) > 1e-12 || n.Std[1] != 1 {
		t.Errorf("standard gives %v %v %v, want [4 5] [2.94 1]", n.Mean, n.Std, err)
	}
	if n, err = FitNormalizer("standard", dataset.InMemory(random(1, 1, 2, 4, 4, 3))); err != nil || len(n.Mean) != 3 {
		t.Errorf("an image's normaliser has %d means, want one a channel, 3", len(n.Mean))
	}
	if _, err = NewNormalizer([]float64{0}, []float64{0}, tensor.Shape{2}); err == nil || !strings.Contains(err.Error(), "std[0] is 0") {
		t.Errorf("a deviation of 0 gives %v, want an error", err)
	}
	if _, err = NewNormalizer([]float64{0, 1, 2}, []float64{1}, tensor.Shape{2}); err == nil || !strings.Contains(err.Error(), "has 3 numbers") {
		t.Errorf("3 means for 2 features give %v, want an error", err)
	}
}

func TestLoad(t *testing.T) {
	m, o := small(t, ""), small(t, "")
	values := map[string]*tensor.Tensor{}
	for i, p := range o.Params() {
		p.Value = random(uint64(i), 1, p.Value.Shape...)
		values[p.Name] = p.Value
	}
	if err := m.Load(values); err != nil {
		t.Fatal(err)
	}
	if m.Params()[2].Value.Data[1] != o.Params()[2].Value.Data[1] {
		t.Error("loaded values differ")
	}
	values["stray"] = tensor.New(1)
	if err := m.Load(values); err == nil || !strings.Contains(err.Error(), `"stray"`) {
		t.Errorf("a stray tensor gives %v, want an error that names it", err)
	}
	delete(values, "stray")
	values["mean.bias"] = tensor.New(4)
	if err := m.Load(values); err == nil || !strings.Contains(err.Error(), `"mean.bias" as 4, the layers want 3`) {
		t.Errorf("a wrong shape gives %v", err)
	}
	delete(values, "mean.bias")
	if err := m.Load(values); err == nil || !strings.Contains(err.Error(), `lack "mean.bias"`) {
		t.Errorf("a missing tensor gives %v", err)
	}
}

// An encoder that ends in the code gives its width, where nothing else is said; one
// with heads does not.
func TestCodeOfTheEncodersWidth(t *testing.T) {
	o := Options{Section: Section{Encoder: []nn.Maker{full{3}}, Decoder: []nn.Maker{full{4}}}, Input: tensor.Shape{4}, Coding: Plain}
	m, err := Build(o, 1)
	if err != nil || m.LatentDim != 3 || m.CodeWidth() != 3 {
		t.Fatalf("%+v, %v", m, err)
	}
	o.Coding = Sampled
	if _, err := Build(o, 1); err == nil {
		t.Error("heads of no width are no error")
	}
}
