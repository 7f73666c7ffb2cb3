package train

import (
	"context"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// due reports whether the classifier is asked for the rows of data.train when each is
// first due, and not for all of them before the first step: so it is of rows that were
// glanced at, which it costs a pass to decode, unless something goes by all answers.
func due(o *Options) bool {
	rows, stored := o.Train.(*dataset.Stored)
	_, companion := o.Classifier.(Companion)
	return stored && rows.Glanced() && !companion && !o.ClassWeight.given()
}

// unasked are the training rows that the classifier has not been asked for.
type unasked struct {
	g     *guard
	asked []bool
}

// newUnasked makes room for the answers of all rows.
func newUnasked(g *guard, heads []oracle.Head) *unasked {
	n := g.o.Train.N()
	g.p = tensor.Batch(n, tensor.Shape{g.classifier.Info().NumClasses})
	for _, h := range heads {
		g.hidden = append(g.hidden, tensor.Batch(n, tensor.Shape{h.Kernel.Stride()}))
	}
	return &unasked{g: g, asked: make([]bool, n)}
}

// ask asks for those rows of a batch that are not known yet.
func (u *unasked) ask(ctx context.Context, b *batch) error {
	if u == nil {
		return nil
	}
	var at []int
	for i, r := range b.rows {
		if !u.asked[r] {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return nil
	}
	x := b.x
	if len(at) < len(b.rows) {
		x = b.x.Gather(at)
	}
	a, err := u.g.classifier.predict(ctx, x)
	if err != nil {
		return err
	}
	for k, i := range at {
		r := b.rows[i]
		u.asked[r] = true
		copy(u.g.p.Row(r), a.Output.Row(k))
		for h, l := range a.logits {
			copy(u.g.hidden[h].Row(r), l.Row(k))
		}
	}
	return nil
}
