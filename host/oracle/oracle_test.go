package oracle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	features = 5
	classes  = 3
	units    = 8 // of the fake's hidden layer
)

// heard notes which methods are called.
type heard struct {
	f     *sdktest.Fake
	calls []string
	bend  func(map[string]*tensor.Tensor) // changes an answer
	err   error
	dx    *tensor.Tensor // in place of the gradient
}

func newHeard() *heard {
	return &heard{f: &sdktest.Fake{Shape: tensor.Shape{features}, Classes: classes}}
}

func (h *heard) Info(ctx context.Context) (sdk.Info, error) { return h.f.Info(ctx) }

func (h *heard) named(ctx context.Context, call string, x *tensor.Tensor, names []string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	h.calls = append(h.calls, call)
	outs, pull, err := h.f.Forward(ctx, x, names...)
	if h.bend != nil {
		h.bend(outs)
	}
	if h.err != nil {
		err = h.err
	}
	return outs, pull, err
}

func (h *heard) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	outs, _, err := h.named(ctx, "predict", x, nil)
	return outs[sdk.Output], err
}

// The faces of a classifier, one method each beside those of heard.
type (
	answers   struct{ *heard }   // Outputs
	slopes    struct{ *heard }   // Gradient
	forwards  struct{ *heard }   // Forward
	blind     struct{ forwards } // Forward with a nil Pullback
	backwards struct {           // Forward with a nil Pullback, and Gradient
		blind
	}
	everything struct { // Forward and Outputs
		forwards
	}
)

func (a answers) Outputs(ctx context.Context, x *tensor.Tensor, names ...string) (map[string]*tensor.Tensor, error) {
	outs, _, err := a.named(ctx, "outputs", x, names)
	return outs, err
}

func (s slopes) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	s.calls = append(s.calls, "gradient")
	return s.f.Gradient(ctx, x, dy)
}

func (f forwards) Forward(ctx context.Context, x *tensor.Tensor, names ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	outs, pull, err := f.named(ctx, "forward", x, names)
	return outs, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		f.calls = append(f.calls, fmt.Sprintf("pull %d", len(cots)))
		if f.dx != nil {
			return f.dx, nil
		}
		return pull(ctx, cots)
	}, err
}

func (b blind) Forward(ctx context.Context, x *tensor.Tensor, names ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	outs, _, err := b.forwards.Forward(ctx, x, names...)
	return outs, nil, err
}

func (b backwards) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	return slopes{b.heard}.Gradient(ctx, x, dy)
}

func (e everything) Outputs(ctx context.Context, x *tensor.Tensor, names ...string) (map[string]*tensor.Tensor, error) {
	return answers{e.heard}.Outputs(ctx, x, names...)
}

func head() []Head {
	return []Head{{Name: sdktest.FakeHidden, Weight: 1, Kernel: DrawHead(1, "h", units, 2)}}
}

// TestAsk: each face of a classifier is asked by the cheapest method that
// answers, and each answer is the fake's.
func TestAsk(t *testing.T) {
	x, dy, dh := normal(1, 4, features), normal(2, 4, classes), normal(3, 4, units)
	for name, c := range map[string]struct {
		wrap              func(*heard) sdk.Classifier
		heads             []Head
		declared          sdk.GradientKind
		predicts, forward string // the calls, those of a gradient included
	}{
		"predictions":       {func(h *heard) sdk.Classifier { return h }, nil, sdk.NoGradient, "predict", "predict"},
		"gradient":          {func(h *heard) sdk.Classifier { return slopes{h} }, nil, sdk.ExactGradient, "predict", "predict gradient"},
		"denied gradient":   {func(h *heard) sdk.Classifier { return slopes{h} }, nil, sdk.NoGradient, "predict", "predict"},
		"tape":              {func(h *heard) sdk.Classifier { return forwards{h} }, nil, sdk.ExactGradient, "predict", "forward pull 1"},
		"no tape":           {func(h *heard) sdk.Classifier { return blind{forwards{h}} }, nil, sdk.ExactGradient, "predict", "forward"},
		"gradient for tape": {func(h *heard) sdk.Classifier { return backwards{blind{forwards{h}}} }, nil, sdk.ExactGradient, "predict", "forward gradient"},
		"hidden tape":       {func(h *heard) sdk.Classifier { return forwards{h} }, head(), sdk.ExactGradient, "forward", "forward pull 2"},
		"hidden outputs":    {func(h *heard) sdk.Classifier { return answers{h} }, head(), sdk.ExactGradient, "outputs", "outputs"},
		"hidden both":       {func(h *heard) sdk.Classifier { return everything{forwards{h}} }, head(), sdk.ExactGradient, "outputs", "forward pull 2"},
		// The gradient of the output alone is not that of a hidden layer.
		"hidden no tape": {func(h *heard) sdk.Classifier { return backwards{blind{forwards{h}}} }, head(), sdk.ExactGradient, "forward", "forward"},
	} {
		for _, room := range []*Room{nil, {}} {
			h := newHeard()
			info, _ := h.Info(t.Context())
			info.Gradient = c.declared
			o, err := New(c.wrap(h), info, c.heads)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			outs, pull, _ := h.f.Forward(t.Context(), x, sdk.Output, sdk.HiddenPrefix+sdktest.FakeHidden)
			right := func(a Answer) {
				t.Helper()
				if !slices.Equal(a.Output.Data, outs[sdk.Output].Data) || len(a.Hidden) != len(c.heads) {
					t.Errorf("%s: another output, or %d hidden layers, want %d", name, len(a.Hidden), len(c.heads))
				}
				for _, got := range a.Hidden {
					if !slices.Equal(got.Data, outs[sdk.HiddenPrefix+sdktest.FakeHidden].Data) {
						t.Errorf("%s: another hidden layer", name)
					}
				}
			}
			a, err := o.Predict(t.Context(), x, room)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			right(a)
			if a.HasGradient() {
				t.Errorf("%s: a prediction has a gradient", name)
			}
			if got := strings.Join(h.calls, " "); got != c.predicts {
				t.Errorf("%s: a prediction calls %q, want %q", name, got, c.predicts)
			}
			h.calls = nil
			if a, err = o.Forward(t.Context(), x, room); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			right(a)
			if a.HasGradient() {
				cots := map[string]*tensor.Tensor{sdk.Output: dy}
				var dHidden []*tensor.Tensor
				if len(c.heads) > 0 {
					cots[sdk.HiddenPrefix+sdktest.FakeHidden] = dh
					dHidden = []*tensor.Tensor{dh.Reshape(4, 2, units/2)} // is put into the layer's shape
				}
				want, _ := pull(t.Context(), cots)
				dx, err := a.Gradient(t.Context(), dy, dHidden)
				if err != nil || !slices.Equal(dx.Data, want.Data) {
					t.Errorf("%s: another gradient, error %v", name, err)
				}
			}
			if got := strings.Join(h.calls, " "); got != c.forward {
				t.Errorf("%s: with gradients it calls %q, want %q", name, got, c.forward)
			}
			// Later cotangents are not mixed with earlier ones.
			if len(c.heads) > 0 && a.HasGradient() {
				want, _ := pull(t.Context(), map[string]*tensor.Tensor{sdk.Output: dy})
				if dx, err := a.Gradient(t.Context(), dy, nil); err != nil || !slices.Equal(dx.Data, want.Data) {
					t.Errorf("%s: the gradient of the output alone is another, error %v", name, err)
				}
			}
		}
	}
}

// TestFaults: an answer of another shape is refused by name, whoever asks.
func TestFaults(t *testing.T) {
	x := normal(1, 4, features)
	hidden := sdk.HiddenPrefix + sdktest.FakeHidden
	broken := errors.New("the wire broke")
	for want, change := range map[string]func(*heard){
		"no output for 4 rows and 3 classes":                        func(h *heard) { h.bend = func(o map[string]*tensor.Tensor) { delete(o, sdk.Output) } },
		"it answered 4×2 for 4 rows and 3 classes":                  func(h *heard) { h.bend = func(o map[string]*tensor.Tensor) { o[sdk.Output] = tensor.New(4, 2) } },
		"it answered 3×3 for 4 rows and 3 classes":                  func(h *heard) { h.bend = func(o map[string]*tensor.Tensor) { o[sdk.Output] = tensor.New(3, 3) } },
		"it answered 4×3×1 for 4 rows and 3 classes":                func(h *heard) { h.bend = func(o map[string]*tensor.Tensor) { o[sdk.Output] = tensor.New(4, 3, 1) } },
		"classifier: hidden layer features: want 4×8":               func(h *heard) { h.bend = func(o map[string]*tensor.Tensor) { delete(o, hidden) } },
		"hidden layer features: want 4×8":                           func(h *heard) { h.bend = func(o map[string]*tensor.Tensor) { o[hidden] = tensor.New(4, 7) } },
		"classifier: the wire broke":                                func(h *heard) { h.err = broken },
		"classifier: the gradient has another shape than its input": func(h *heard) { h.dx = tensor.New(4, 4) },
	} {
		h := newHeard()
		change(h)
		info, _ := h.Info(t.Context())
		o, err := New(forwards{h}, info, head())
		if err != nil {
			t.Fatal(err)
		}
		a, err := o.Forward(t.Context(), x, nil)
		if h.dx == nil {
			if _, other := o.Predict(t.Context(), x, nil); other == nil || other.Error() != err.Error() {
				t.Errorf("a prediction says %v, a forward pass %v", other, err)
			}
		} else if err == nil {
			_, err = a.Gradient(t.Context(), tensor.New(4, classes), nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
		if h.err != nil && !errors.Is(err, broken) {
			t.Errorf("%v does not wrap its cause", err)
		}
	}
	h := newHeard()
	h.bend = func(o map[string]*tensor.Tensor) { o[sdk.Output] = tensor.New(4, 2) }
	info, _ := h.Info(t.Context())
	o, _ := New(h, info, nil)
	if _, err := o.Predict(t.Context(), x, nil); err == nil || !strings.Contains(err.Error(), "classifier: it answered 4×2") {
		t.Errorf("a prediction of another shape gives %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	h := newHeard()
	info, _ := h.Info(t.Context())
	none := info
	none.Hidden = nil
	for want, c := range map[string]struct {
		c    sdk.Classifier
		info sdk.Info
		head Head
	}{
		"fake offers no hidden layers":                 {slopes{h}, info, head()[0]},
		`no hidden layer "conv9"; it has ["features"]`: {forwards{h}, info, Head{Name: "conv9"}},
		`no hidden layer "features": it offers none`:   {forwards{h}, none, head()[0]},
		"hidden layer features: want a head of 8 rows": {forwards{h}, info, Head{Name: sdktest.FakeHidden}},
		"want a head of 8 rows":                        {forwards{h}, info, Head{Name: sdktest.FakeHidden, Kernel: tensor.New(7, 2)}},
		"features: want a head of 8 rows":              {answers{h}, info, Head{Name: sdktest.FakeHidden, Kernel: tensor.New(8)}},
	} {
		if _, err := New(c.c, c.info, []Head{c.head}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
}

// TestRoom: with room for it, an answer and its way back allocate nothing of
// their own.
func TestRoom(t *testing.T) {
	h := newHeard()
	info, _ := h.Info(t.Context())
	x, dy, dh := normal(1, 4, features), normal(2, 4, classes), normal(3, 4, units)
	outs, _, _ := h.f.Forward(t.Context(), x, sdk.Output, sdk.HiddenPrefix+sdktest.FakeHidden)
	pull := func(context.Context, map[string]*tensor.Tensor) (*tensor.Tensor, error) { return x, nil }
	o, err := New(still{h.f, outs, pull}, info, head())
	if err != nil {
		t.Fatal(err)
	}
	var room Room
	dHidden := []*tensor.Tensor{dh}
	ask := func() {
		a, err := o.Forward(context.Background(), x, &room)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Gradient(context.Background(), dy, dHidden); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	if n := testing.AllocsPerRun(20, ask); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// still gives one answer and one gradient.
type still struct {
	*sdktest.Fake
	outs map[string]*tensor.Tensor
	pull sdk.Pullback
}

func (s still) Forward(context.Context, *tensor.Tensor, ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	return s.outs, s.pull, nil
}

// TestAsForwarder: the rebuilt Pullback takes the output's cotangent alone.
func TestAsForwarder(t *testing.T) {
	x, dy := normal(1, 4, features), normal(2, 4, classes)
	h := newHeard()
	if f := AsForwarder(forwards{h}); f != (forwards{h}) {
		t.Error("a Forwarder is wrapped")
	}
	f := AsForwarder(slopes{h})
	outs, pull, err := f.Forward(t.Context(), x)
	if err != nil || len(outs) != 1 || pull == nil {
		t.Fatalf("%d outputs, error %v, want the output and a Pullback", len(outs), err)
	}
	want, _ := h.f.Gradient(t.Context(), x, dy)
	if dx, err := pull(t.Context(), map[string]*tensor.Tensor{sdk.Output: dy}); err != nil || !slices.Equal(dx.Data, want.Data) {
		t.Errorf("another gradient, error %v", err)
	}
	if _, err := pull(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no cotangent") {
		t.Errorf("no cotangent gives %v", err)
	}
	if _, _, err := f.Forward(t.Context(), x, "hidden/none"); err == nil || !strings.Contains(err.Error(), "hidden/none") {
		t.Errorf("an unknown output gives %v", err)
	}
	if _, pull, err := AsForwarder(h).Forward(t.Context(), x, sdk.Output); pull != nil || err != nil {
		t.Errorf("predictions alone have a Pullback, or error %v", err)
	}
	h.err = errors.New("no")
	if _, _, err := f.Forward(t.Context(), x); !errors.Is(err, h.err) {
		t.Errorf("error is %v, want the classifier's", err)
	}
}
