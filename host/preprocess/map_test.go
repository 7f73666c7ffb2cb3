package preprocess

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// caffe is how Caffe's models were trained: bytes, blue first, minus a mean.
var caffe = Section{Scale: Numbers{255}, Mean: Numbers{104, 117, 123}, Channels: BGR}

func mapOf(t *testing.T, s Section, example ...int) *Map {
	t.Helper()
	m, err := s.For(example)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		name    string
		s       Section
		example tensor.Shape
		x, want []float32
	}{
		{"nothing", Section{}, tensor.Shape{1, 1, 3}, []float32{.1, .2, .3}, []float32{.1, .2, .3}},
		{"bytes", Section{Scale: Numbers{255}}, tensor.Shape{1, 1, 3}, []float32{0, .2, 1}, []float32{0, 51, 255}},
		{"caffe", caffe, tensor.Shape{1, 2, 3}, []float32{0, .2, 1, 1, 0, 0}, []float32{255 - 104, 51 - 117, 0 - 123, -104, -117, 255 - 123}},
		{"one of each per channel", Section{Scale: Numbers{1, 2, 4}, Mean: Numbers{0, 1, 2}, Std: Numbers{1, -2, 4}, Channels: BGR},
			tensor.Shape{1, 1, 3}, []float32{5, 7, 9}, []float32{9, (14 - 1) / -2., (20 - 2) / 4.}},
		{"a table", Section{Mean: Numbers{1, 10}, Std: Numbers{2, 5}}, tensor.Shape{2}, []float32{3, 20, 1, 10}, []float32{1, 2, 0, 0}},
		{"a sequence", Section{Mean: Numbers{1, 10}}, tensor.Shape{2, 2}, []float32{3, 20, 1, 10}, []float32{2, 10, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tensor.From(slices.Clone(c.x), append(tensor.Shape{len(c.x) / c.example.Size()}, c.example...)...)
			got := mapOf(t, c.s, c.example...).Apply(x)
			if !slices.Equal(got.Data, c.want) || !got.Shape.Equal(x.Shape) || !slices.Equal(x.Data, c.x) {
				t.Errorf("%v of %v is %v, want %v", got.Shape, x, got.Data, c.want)
			}
		})
	}
}

// TestBytes: a byte that was divided by 255 comes back whole, so that a model of
// bytes has what it was trained on, minus its mean.
func TestBytes(t *testing.T) {
	m := mapOf(t, Section{Scale: Numbers{255}, Mean: Numbers{104}}, 1)
	x := tensor.New(256, 1)
	for i := range x.Data {
		x.Data[i] = float32(i) / 255
	}
	for i, y := range m.Apply(x).Data {
		if y != float32(i-104) {
			t.Errorf("byte %d became %v, want %d", i, y, i-104)
		}
	}
}

// TestPull: the map is affine, so that its gradient is exact: for any v and w,
// ⟨Apply(x+v) − Apply(x), w⟩ = ⟨v, Pull(w)⟩.
func TestPull(t *testing.T) {
	for name, s := range map[string]Section{
		"scale": {Scale: Numbers{255}}, "mean": {Mean: Numbers{1, 2, 3}}, "std": {Std: Numbers{.2, -.5, 4}}, "bgr": {Channels: BGR},
		"caffe": caffe, "all": {Scale: Numbers{1, 2, 3}, Mean: Numbers{1}, Std: Numbers{.2, .3, .4}, Channels: BGR},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := mapOf(t, s, 4, 5, 3), rand.New(rand.NewPCG(1, 2))
			draw := func() *tensor.Tensor {
				x := tensor.New(7, 4, 5, 3)
				for i := range x.Data {
					x.Data[i] = r.Float32()
				}
				return x
			}
			x, v, w := draw(), draw(), draw()
			moved := tensor.New(x.Shape...)
			for i := range moved.Data {
				moved.Data[i] = x.Data[i] + v.Data[i]
			}
			before, after, pulled := m.Apply(x), m.Apply(moved), m.Pull(w)
			var forward, back, size float64
			for i := range w.Data {
				forward += float64(after.Data[i]-before.Data[i]) * float64(w.Data[i])
				back += float64(moved.Data[i]-x.Data[i]) * float64(pulled.Data[i])
				size += math.Abs(float64(v.Data[i]) * float64(pulled.Data[i]))
			}
			if math.Abs(forward-back) > 1e-5*size { // sums of 420 numbers in float32
				t.Errorf("forward %v, back %v", forward, back)
			}
			for i := range x.N() { // rows are apart from their batch
				if one := m.Apply(x.Rows(i, i+1)); !slices.Equal(one.Data, before.Row(i)) {
					t.Errorf("row %d alone differs", i)
				}
				if one := m.Pull(w.Rows(i, i+1)); !slices.Equal(one.Data, pulled.Row(i)) {
					t.Errorf("gradient of row %d alone differs", i)
				}
			}
		})
	}
}

func TestNothingToDo(t *testing.T) {
	var none *Section
	for name, s := range map[string]*Section{"no section": none, "empty": {}, "ones": {Scale: Numbers{1, 1, 1}, Mean: Numbers{0}, Std: Numbers{1}, Channels: RGB}} {
		m, err := s.For(tensor.Shape{2, 2, 3})
		x, info := tensor.New(1, 2, 2, 3), sdk.Info{Digest: "sha256:a", Ready: true}
		if m != nil || err != nil || m.Apply(x) != x || m.Pull(x) != x || m.Info(info).Digest != info.Digest {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	if mapOf(t, caffe, 2, 2, 3).Apply(nil) != nil { // no validation rows
		t.Error("rows from nothing")
	}
}

func TestRange(t *testing.T) {
	per := func(v ...float32) []float32 { return v }
	imagenet := Section{Mean: Numbers{.485, .456, .406}, Std: Numbers{.229, .224, .225}}
	var lo, hi []float32 // of [0, 1], as a plugin would declare it
	for range 2 {
		for c := range 3 {
			lo = append(lo, float32(-imagenet.Mean[c]/imagenet.Std[c]))
			hi = append(hi, float32((1-imagenet.Mean[c])/imagenet.Std[c]))
		}
	}
	for _, c := range []struct {
		name                   string
		s                      Section
		example                tensor.Shape
		lo, hi, wantLo, wantHi []float32
	}{
		{"unknown", caffe, tensor.Shape{1, 2, 3}, nil, nil, nil, nil},
		{"bytes", Section{Scale: Numbers{255}}, tensor.Shape{1, 2, 3}, per(0), per(255), per(0), per(1)},
		{"around zero", Section{Mean: Numbers{.5}, Std: Numbers{.5}}, tensor.Shape{1, 2, 3}, per(-1), per(1), per(0), per(1)},
		{"upside down", Section{Scale: Numbers{-1}, Mean: Numbers{-1}}, tensor.Shape{1, 2, 1}, per(0), per(1), per(0), per(1)},
		{"by feature, and so one interval", imagenet, tensor.Shape{1, 2, 3}, lo, hi, per(0), per(1)},
		{"one interval, and so by feature", Section{Scale: Numbers{4}, Mean: Numbers{0, 2, 4}, Channels: BGR}, tensor.Shape{1, 2, 3}, per(0), per(4),
			per(1, .5, 0, 1, .5, 0), per(2, 1.5, 1, 2, 1.5, 1)},
		{"columns", Section{Mean: Numbers{0, 1}, Std: Numbers{1, 2}}, tensor.Shape{2}, per(0, 0), per(1, 1), per(0, 1), per(1, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			was := slices.Clone(c.lo)
			got := mapOf(t, c.s, c.example...).Info(sdk.Info{InputShape: c.example, Lo: c.lo, Hi: c.hi})
			if !slices.Equal(got.Lo, c.wantLo) || !slices.Equal(got.Hi, c.wantHi) || !slices.Equal(was, c.lo) {
				t.Errorf("[%v, %v], want [%v, %v]", got.Lo, got.Hi, c.wantLo, c.wantHi)
			}
		})
	}
}

// TestDigest: what changes a row changes the identity, however it is written.
func TestDigest(t *testing.T) {
	info := sdk.Info{Name: "m", Version: "1", Digest: "sha256:a", Ready: true, InputShape: tensor.Shape{1, 1, 3}}
	of := func(s Section, info sdk.Info) string { return mapOf(t, s, 1, 1, 3).Info(info).Digest }
	long := caffe
	long.Scale, long.Std = Numbers{255, 255, 255}, Numbers{1}
	if a, b := of(caffe, info), of(long, info); a != b {
		t.Errorf("the same map is %s and %s", a, b)
	}
	rgb, mean := caffe, caffe
	rgb.Channels, mean.Mean = RGB, Numbers{104, 117, 124}
	other, nameless, second := info, info, info
	other.Digest, nameless.Digest, second.Digest, second.Version = "sha256:b", "", "", "2"
	all := []string{info.Digest, of(caffe, info), of(rgb, info), of(mean, info), of(caffe, other), of(caffe, nameless), of(caffe, second),
		mapOf(t, caffe, 1, 1, 3).Turned(info).Digest, (*Map)(nil).Turned(info).Digest}
	for i, a := range all {
		if !strings.HasPrefix(a, "sha256:") || slices.Contains(all[:i], a) {
			t.Errorf("digest %d of %v", i, all)
		}
	}
	info.Ready = false
	if got := of(caffe, info); got != info.Digest {
		t.Errorf("one that is not trained yet is %s", got)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		s       Section
		example tensor.Shape
		key     string
		want    string
	}{
		{"std of zero", Section{Std: Numbers{0}}, nil, "std", "must not be 0"},
		{"std of nearly zero", Section{Std: Numbers{1, 1e-60, 1}}, nil, "std[1]", "must not be 0"},
		{"scale of zero", Section{Scale: Numbers{0}}, nil, "scale", "must not be 0"},
		{"too large", Section{Mean: Numbers{1e39}}, nil, "mean", "want a finite number in single precision, got 1e+39"},
		{"no number", Section{Mean: Numbers{math.NaN()}}, nil, "mean", "want a finite number"},
		{"lists that differ", Section{Mean: Numbers{1, 2, 3}, Std: Numbers{1, 2}}, nil, "std", "has 2 numbers, the list before has 3"},
		{"channels", Section{Channels: "grb"}, nil, "channels", `want rgb or bgr, got "grb"`},
		{"layout", Section{Layout: "chw"}, nil, "layout", `want nhwc or nchw, got "chw"`},
		{"three for one", Section{Mean: Numbers{1, 2, 3}}, tensor.Shape{8, 8, 1}, "mean", "has 3 numbers, examples of 8×8×1 have 1 channels: want one number, or one per channel"},
		{"three for two columns", Section{Std: Numbers{1, 2, 3}}, tensor.Shape{2}, "std", "have 2 columns: want one number, or one per column"},
		{"a table that is turned", Section{Layout: "nchw"}, tensor.Shape{4}, "layout", "is for images"},
		{"a table of colours", Section{Channels: BGR}, tensor.Shape{3}, "channels", "bgr is for images"},
		{"grey", Section{Channels: BGR}, tensor.Shape{8, 8, 1}, "channels", "bgr wants 3 channels, examples of 8×8×1 have 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.s.Validate()
			if c.example != nil {
				if err != nil {
					t.Fatalf("by itself: %v", err)
				}
				_, err = c.s.For(c.example)
			}
			var faults registry.FieldErrors
			if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != c.key || !strings.Contains(faults[0].Message, c.want) {
				t.Errorf("%v, want %s: %s", err, c.key, c.want)
			}
			if _, err := c.s.For(tensor.Shape{8, 8, 3}); c.example == nil && err == nil {
				t.Error("For accepts it")
			}
		})
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []any{2, .5, []any{1, .5, 3}} {
		var n Numbers
		if err := n.DecodeValue(v); err != nil {
			t.Fatal(err)
		}
		var again Numbers
		if err := again.DecodeValue(n.EncodeValue()); err != nil || !slices.Equal(n, again) {
			t.Errorf("%v became %v, then %v (%v)", v, n, again, err)
		}
	}
	for _, v := range []any{nil, "1", true, []any{}, []any{1, "2"}, map[string]any{}} {
		var n Numbers
		if err := n.DecodeValue(v); err == nil || !strings.Contains(err.Error(), "want a number or a list of them") {
			t.Errorf("%v: %v", v, err)
		}
	}
}

func TestTold(t *testing.T) {
	nchw := &Section{Layout: "nchw"}
	data, first := tensor.Shape{8, 9, 3}, tensor.Shape{3, 8, 9}
	for _, c := range []struct {
		name     string
		s        *Section
		data     tensor.Shape
		declared sdk.Layout
		want     tensor.Shape
	}{
		{"no section", nil, data, 0, data}, {"no key", &Section{}, data, 0, data}, {"channels last", &Section{Layout: "nhwc"}, data, 0, data},
		{"channels first", nchw, data, 0, first}, {"wrongly declared", nchw, data, sdk.NHWC, first}, {"declared", nchw, data, sdk.NCHW, data},
		{"a table", nchw, tensor.Shape{4}, 0, tensor.Shape{4}}, {"no data", nchw, nil, 0, nil},
	} {
		if got := c.s.Told(c.data, c.declared); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
