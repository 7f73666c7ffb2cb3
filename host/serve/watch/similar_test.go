package watch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/serve/watch"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func pictures(t *testing.T, split string) *dataset.Data {
	t.Helper()
	c := builtin.Components()
	d, err := dataset.Open(dataset.Source{Dataset: "fashion-mnist-3k", Split: split}, ".", c.Datasets, c.Formats)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCleanTraffic: a client who asks about 1,000 different pictures has few
// near-duplicates, and one who sends each twice has no more.
func TestCleanTraffic(t *testing.T) {
	x := pictures(t, "train").X
	s := watch.NewSimilar(watch.SimilarOptions{})
	n := min(1000, x.N())
	for i := range n {
		s.See("once", x.Row(i))
	}
	once := s.Of("once")
	if once.Rows != n || float64(once.Similar) > 0.01*float64(n) || once.Equal != 0 {
		t.Errorf("once: %+v", once)
	}
	for i := range n {
		s.See("twice", x.Row(i))
		if similar, _ := s.See("twice", x.Row(i)); similar {
			t.Fatalf("row %d again is a near-duplicate, not a repetition", i)
		}
	}
	if twice := s.Of("twice"); twice.Equal != n {
		t.Errorf("twice: %+v, want %d repetitions", twice, n)
	}
	t.Logf("%d of %d pictures are near-duplicates of earlier ones", once.Similar, n)
}

// TestSmallChange: a picture changed by less than a level, or in one window, is a
// near-duplicate; one of another thing is not.
func TestSmallChange(t *testing.T) {
	x := pictures(t, "test").X
	r := rand.New(rand.NewPCG(1, 1))
	s := watch.NewSimilar(watch.SimilarOptions{})
	found := 0
	const n = 100
	for i := range n {
		name := fmt.Sprint(i)
		row := slices.Clone(x.Row(i))
		s.See(name, row)
		at := r.IntN(len(row) - 20)
		for j := range 20 {
			row[at+j] = 1 - row[at+j]
		}
		if similar, _ := s.See(name, row); similar {
			found++
		}
		if similar, _ := s.See(name, x.Row((i+n)%x.N())); similar {
			t.Errorf("row %d and row %d are near-duplicates", i, (i+n)%x.N())
		}
	}
	if found < 95 {
		t.Errorf("%d of %d small changes found", found, n)
	}
}

// recorder keeps the queries that an attack asks about one row.
type recorder struct {
	sdk.Classifier
	mu   sync.Mutex
	seen func(row []float32)
}

func (c *recorder) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	c.mu.Lock()
	for i := range x.N() {
		c.seen(x.Row(i))
	}
	c.mu.Unlock()
	return c.Classifier.Predict(ctx, x)
}

// TestSessions: an attack that sees answers alone is noticed within few of its
// queries, in the median of ten rows.
func TestSessions(t *testing.T) {
	x := pictures(t, "test").X
	c := builtin.Components()
	fake := &sdktest.Fake{Shape: tensor.Shape{28, 28, 1}, Classes: 10, Seed: 3}
	for name, within := range map[string]int{"square": 10, "hop_skip_jump": 40, "boundary": 20} {
		var first []int
		for i := range 10 {
			s := watch.NewSimilar(watch.SimilarOptions{})
			queries, at := 0, 0
			rec := &recorder{Classifier: fake, seen: func(row []float32) {
				queries++
				if similar, _ := s.See("them", row); similar && at == 0 {
					at = queries
				}
			}}
			a, err := c.Attacks.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			o := attack.Options{Queries: 200, Box: attack.Box{Lo: []float32{0}, Hi: []float32{1}}}
			if _, err := attack.Run(t.Context(), rec, x.Rows(i, i+1), nil, a, o); err != nil {
				t.Fatal(err)
			}
			if at == 0 {
				at = queries + 1
			}
			first = append(first, at)
		}
		slices.Sort(first)
		if first[5] > within {
			t.Errorf("%s: noticed at query %v, want %d in the median", name, first, within)
		}
		t.Logf("%s: noticed at queries %v", name, first)
	}
}
