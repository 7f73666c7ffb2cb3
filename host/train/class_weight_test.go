package train_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// predictedBy are the classes that the classifier predicts.
func predictedBy(t *testing.T, c sdk.Classifier, x *tensor.Tensor) []int {
	t.Helper()
	z, err := c.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]int, z.N())
	for i := range out {
		out[i] = oracle.Argmax(z.Row(i))
	}
	return out
}

// lopsided are rows of clouds of which the classifier predicts one class for all
// but a few, and those few are of another: rows·share of them.
func lopsided(t *testing.T, seed uint64, n, few int) (x *tensor.Tensor, often, rare int) {
	t.Helper()
	all := clouds(seed, 6000)
	predicted := predictedBy(t, fake(sdk.Logits), all)
	counts := make([]int, classes)
	for _, c := range predicted {
		counts[c]++
	}
	order := []int{0, 1, 2}
	slices.SortFunc(order, func(a, b int) int { return counts[b] - counts[a] })
	often, rare = order[0], order[1]
	if counts[rare] < few {
		t.Fatalf("the clouds have %v rows of each class, want %d of two", counts, few)
	}
	x = tensor.New(n, features)
	at, some := 0, 0
	for i, c := range predicted {
		if at == n || c != often && c != rare || c == rare && some == few || c == often && at-some == n-few {
			continue
		}
		if c == rare {
			some++
		}
		copy(x.Row(at), all.Row(i))
		at++
	}
	if at < n {
		t.Fatalf("only %d rows", at)
	}
	return x, often, rare
}

// everyKind are the ways to train that class_weight goes through.
var everyKind = map[string]func(*train.Options){
	"plain":    func(*train.Options) {},
	"hardened": func(o *train.Options) { o.Harden = hardening() },
	"beta":     func(o *train.Options) { o.Beta = .5 },
}

// A factor of 2 on every class is twice the loss: with half the learning rate it
// gives the same bits.
func TestClassWeightScalesTheLoss(t *testing.T) {
	for name, change := range everyKind {
		t.Run(name, func(t *testing.T) {
			trained := func(factor, rate float64) []float32 {
				o := options(t, 1)
				change(&o)
				sgd := optimizers.SGD{LearningRate: rate}
				o.Optimizer = &sgd
				if factor != 1 {
					o.ClassWeight = train.ClassWeight{Of: map[string]float64{"0": factor, "1": factor, "2": factor}}
				}
				run(t, o)
				return weights(o.Model.Params())
			}
			if !slices.Equal(trained(2, .05), trained(1, .1)) {
				t.Error("factors of 2 at half the rate give other weights")
			}
			if slices.Equal(trained(2, .1), trained(1, .1)) {
				t.Error("factors of 2 change nothing")
			}
		})
	}
}

// So it does for a student.
func TestClassWeightOfAStudent(t *testing.T) {
	trained := func(factor, rate float64) []float32 {
		o := options(t, 1)
		s, err := vae.BuildStudent(tensor.Shape{features}, []nn.Maker{dense(16, "relu")}, classes, 3)
		if err != nil {
			t.Fatal(err)
		}
		sgd := optimizers.SGD{LearningRate: rate}
		o.Model, o.Loss, o.Student, o.Optimizer = nil, nil, s, &sgd
		if factor != 1 {
			o.ClassWeight = train.ClassWeight{Of: map[string]float64{"0": factor, "1": factor, "2": factor}}
		}
		if _, err := train.Distill(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return weights(s.Params())
	}
	if !slices.Equal(trained(2, .05), trained(1, .1)) {
		t.Error("factors of 2 at half the rate give other weights")
	}
	if slices.Equal(trained(2, .1), trained(1, .1)) {
		t.Error("factors of 2 change nothing")
	}
}

// Rows with the factor 0 have no say: they may be any rows of their class.
func TestClassWeightOfZero(t *testing.T) {
	for name, change := range everyKind {
		t.Run(name, func(t *testing.T) {
			trained := func(swap bool) []float32 {
				o := options(t, 1)
				change(&o)
				x, _, rare := lopsided(t, 4, 150, 20)
				if swap {
					x = x.Clone()
					others := clouds(9, 400)
					next := 0
					for i, c := range predictedBy(t, o.Classifier, x) {
						if c != rare {
							continue
						}
						for predictedBy(t, o.Classifier, others.Rows(next, next+1))[0] != rare {
							next++
						}
						copy(x.Row(i), others.Row(next))
						next++
					}
				}
				o.Train = dataset.InMemory(x)
				o.ClassWeight = train.ClassWeight{Of: map[string]float64{string(rune('0' + rare)): 0}}
				if o.Harden != nil { // the range is that of the rows
					o.Harden.Lo, o.Harden.Hi = []float32{0}, []float32{1}
				}
				run(t, o)
				return weights(o.Model.Params())
			}
			if !slices.Equal(trained(true), trained(false)) {
				t.Error("rows with the factor 0 matter")
			}
		})
	}
}

// balanced gives the rare class of an imbalanced set its reconstructions back,
// which without it have the class of the many.
func TestBalanced(t *testing.T) {
	const rows, few = 600, 15
	kept := func(w train.ClassWeight) (rareKept float64) {
		o := options(t, 1)
		x, _, rare := lopsided(t, 4, rows, few)
		o.Train, o.Validation, o.ClassWeight, o.Epochs = dataset.InMemory(x), nil, w, 80
		run(t, o)
		test, _, _ := lopsided(t, 11, 300, 100)
		k := engine(t, 1)
		p := o.Model.NewPass(k, test.N(), 1, nn.Inference)
		rebuilt, _, _ := p.Forward(test, nil)
		before, after := predictedBy(t, o.Classifier, test), predictedBy(t, o.Classifier, rebuilt)
		n := 0
		for i, c := range before {
			if c == rare {
				n++
				if after[i] == c {
					rareKept++
				}
			}
		}
		return rareKept / float64(n)
	}
	without, with := kept(train.ClassWeight{}), kept(train.ClassWeight{Balanced: true})
	t.Logf("reconstructions of the rare class that keep it: %.2f without, %.2f balanced", without, with)
	if with < without+.2 || with < .8 {
		t.Errorf("balanced keeps %.2f of the rare class, without it is %.2f", with, without)
	}
}

// The bits are those of any number of threads and of a training that was cut short.
func TestClassWeightBits(t *testing.T) {
	for name, change := range everyKind {
		t.Run(name, func(t *testing.T) {
			setup := func(threads int) train.Options {
				o := options(t, threads)
				change(&o)
				x, _, _ := lopsided(t, 4, 150, 20)
				o.Train, o.ClassWeight = dataset.InMemory(x), train.ClassWeight{Balanced: true}
				return o
			}
			o := setup(1)
			var states []*train.State
			o.Checkpoint.Every = 2
			o.Save = func(s *train.State) error { states = append(states, s); return nil }
			run(t, o)
			want := weights(o.Model.Params())
			for threads := 2; threads <= 3; threads++ {
				o := setup(threads)
				run(t, o)
				if !slices.Equal(weights(o.Model.Params()), want) {
					t.Errorf("%d threads: other weights", threads)
				}
			}
			for i, s := range states {
				o := setup(1)
				o.Model, o.Resume = model(t, 99, nil), s
				run(t, o)
				if !slices.Equal(weights(o.Model.Params()), want) {
					t.Errorf("resumed from checkpoint %d: other weights", i)
				}
			}
		})
	}
}

// A plain reconstruction loss with class_weight asks the classifier once a row.
func TestClassWeightWithoutTheClassifierInTheLoss(t *testing.T) {
	o := options(t, 1)
	count := &counter{Fake: fake(sdk.Logits)}
	o.Classifier, o.Loss, o.ClassWeight = count, loss(t, "mse"), train.ClassWeight{Balanced: true}
	run(t, o)
	if f, p := count.forward.Load(), count.predict.Load(); f != 0 || p != 150+40 {
		t.Errorf("%d rows with gradient and %d without, want none and each once", f, p)
	}
	o = options(t, 1)
	o.Loss, o.Classifier, o.ClassWeight = loss(t, "mse"), nil, train.ClassWeight{Balanced: true}
	if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "class_weight") {
		t.Errorf("without a classifier: %v", err)
	}
}

func TestClassWeightValues(t *testing.T) {
	for _, c := range []struct {
		value any
		want  any // written again; an error's text
		fault bool
	}{
		{"balanced", "balanced", false},
		{map[string]any{"0": 1, "rare": 2.5}, map[string]any{"0": 1.0, "rare": 2.5}, false},
		{"even", "want balanced", true},
		{nil, "want balanced", true},
		{map[string]any{}, "want balanced", true},
		{map[string]any{"0": "much"}, "class 0: want a number", true},
		{map[string]any{"0": -1}, "at least 0", true},
	} {
		var w train.ClassWeight
		err := w.DecodeValue(c.value)
		if c.fault {
			if err == nil || !strings.Contains(err.Error(), c.want.(string)) {
				t.Errorf("%v: error %v, want %q", c.value, err, c.want)
			}
			continue
		}
		if got := w.EncodeValue(); err != nil || !equal(got, c.want) {
			t.Errorf("%v: %v (%v)", c.value, got, err)
		}
	}
	if (train.ClassWeight{}).EncodeValue() != nil {
		t.Error("none is written")
	}
	for class, want := range map[string]string{"3": "there is no class 3; known: 0 to 2, or a, b, c", "-1": "no class -1", "z": "no class z"} {
		o := options(t, 1)
		o.ClassNames, o.ClassWeight = []string{"a", "b", "c"}, train.ClassWeight{Of: map[string]float64{class: 2}}
		if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("class %s: %v, want %q", class, err, want)
		}
	}
	o := options(t, 1)
	o.ClassNames, o.ClassWeight = []string{"a", "b", "c"}, train.ClassWeight{Of: map[string]float64{"a": 2, "0": 3}}
	if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("a class by name and number: %v", err)
	}
}

func equal(a, b any) bool {
	x, ok := a.(map[string]any)
	y, also := b.(map[string]any)
	if !ok || !also {
		return a == b
	}
	if len(x) != len(y) {
		return false
	}
	for k, v := range x {
		if y[k] != v {
			return false
		}
	}
	return true
}
