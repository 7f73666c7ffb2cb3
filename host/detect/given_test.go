package detect

import (
	"context"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// counted is a classifier that counts the rows that it is asked about.
type counted struct {
	*sdktest.Fake
	rows atomic.Int64
}

func (c *counted) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	c.rows.Add(int64(x.N()))
	return c.Fake.Predict(ctx, x)
}

func (c *counted) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	c.rows.Add(int64(x.N()))
	return c.Fake.Forward(ctx, x, outputs...)
}

func newCounted() *counted {
	return &counted{Fake: &sdktest.Fake{Shape: testShape, Classes: testClasses, Seed: 1}}
}

// head is one on the fake's hidden layer.
func head(t *testing.T) []oracle.Head {
	t.Helper()
	info, err := newCounted().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return []oracle.Head{{Name: sdktest.FakeHidden, Weight: 0.5, Kernel: oracle.DrawHead(3, sdktest.FakeHidden, info.Hidden[0].Shape.Size(), 4)}}
}

// A known answer, and another classifier for x', give the bits of Detect, and
// nobody is asked for more than Asked says.
func TestGiven(t *testing.T) {
	const n = 70 // more than a chunk
	all := Include{Probabilities: true, ProbabilitiesReconstructed: true, Reconstruction: true, Latent: true, Scores: true}
	for _, c := range []struct {
		name   string
		change func(*Options)
		rows   [3]int64 // for a row: asked plainly; with the answer given; with both, of the guarded classifier
		other  int64    // of the other
	}{
		{"vae", func(*Options) {}, [3]int64{1 + testSamples, testSamples, 0}, testSamples},
		{"heads", func(o *Options) { o.Hidden = head(t) }, [3]int64{1 + testSamples, 1 + testSamples, 1}, testSamples},
		{"no noise", func(o *Options) { o.Opinion, o.Noise = fakeVersions{}, nil }, [3]int64{3, 2, 0}, 2},
		{"student", func(o *Options) { o.Opinion, o.Noise = newFakeStudent(testShape, testClasses), nil }, [3]int64{1, 0, 0}, 0},
		{"none", func(o *Options) { o.Opinion, o.Noise, o.Scores = None{}, nil, []NamedScore{{"top", testTop{}}} }, [3]int64{1, 0, 0}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options()
			asked := newCounted()
			o.Classifier = asked
			c.change(&o)
			plain := build(t, o)
			if _, err := plain.Calibrate(t.Context(), inputs(1, 40), Rule{FPR: ptr(0.2)}); err != nil {
				t.Fatal(err)
			}
			x := inputs(2, n)
			p, err := newCounted().Predict(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			count := func(d *Detector, given *tensor.Tensor) (*Result, int64) {
				t.Helper()
				before := asked.rows.Load()
				r, err := d.DetectGiven(t.Context(), x, given, GivenOptions{Include: all})
				if err != nil {
					t.Fatal(err)
				}
				return r, (asked.rows.Load() - before) / n
			}
			want, rows := count(plain, nil)
			if int(rows) != plain.Asked(0, false) || rows != c.rows[0] {
				t.Errorf("asked for %d rows a row, want %d, says %d", rows, c.rows[0], plain.Asked(0, false))
			}
			got, rows := count(plain, p)
			if !reflect.DeepEqual(got, want) {
				t.Error("the answer given, other bits")
			}
			if int(rows) != plain.Asked(0, true) || rows != c.rows[1] {
				t.Errorf("given, asked for %d rows a row, want %d, says %d", rows, c.rows[1], plain.Asked(0, true))
			}
			replica := newCounted()
			o.Rebuilt, o.State = replica, plain.State()
			apart := build(t, o)
			for _, given := range []*tensor.Tensor{nil, p} {
				replica.rows.Store(0)
				got, rows = count(apart, given)
				if !reflect.DeepEqual(got, want) {
					t.Error("another classifier for x', other bits")
				}
				if int(rows) != apart.Asked(0, given != nil) || given != nil && rows != c.rows[2] || replica.rows.Load() != n*c.other {
					t.Errorf("apart, given %t: asked for %d rows a row, says %d; the other for %d in all, want %d", given != nil, rows, apart.Asked(0, given != nil), replica.rows.Load(), n*c.other)
				}
			}
		})
	}
}

// Fewer samples are the first ones: the scores of a detector that has no others.
func TestFewerSamples(t *testing.T) {
	o := options()
	d := build(t, o)
	if _, err := d.Calibrate(t.Context(), inputs(1, 40), Rule{FPR: ptr(0.2)}); err != nil {
		t.Fatal(err)
	}
	o.Opinion, o.Noise, o.State = Sampling(newFakeVAE(testShape, testLatent, false), 2), o.Noise.Rows(0, 2), d.State()
	x := inputs(2, 9)
	want, err := build(t, o).Detect(t.Context(), x, Include{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.DetectGiven(t.Context(), x, nil, GivenOptions{Samples: 2})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("2 of %d samples: %+v, %v, want %+v", testSamples, got, err, want)
	}
	for _, samples := range []int{-1, testSamples + 1} {
		if _, err := d.DetectGiven(t.Context(), x, nil, GivenOptions{Samples: samples}); err == nil || !strings.Contains(err.Error(), "want 1 to 3") {
			t.Errorf("%d samples: %v", samples, err)
		}
	}
	if _, err := d.DetectGiven(t.Context(), x, tensor.New(9, testClasses+1), GivenOptions{}); err == nil || !strings.Contains(err.Error(), "the given answer") {
		t.Errorf("an answer of another shape: %v", err)
	}
}

// Another classifier for x' must be of the same inputs and classes.
func TestOtherClassifierForRebuilt(t *testing.T) {
	o := options()
	o.Rebuilt = &sdktest.Fake{Shape: testShape, Classes: testClasses + 1, Seed: 1}
	if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the classifier for reconstructions") {
		t.Errorf("%v", err)
	}
}
