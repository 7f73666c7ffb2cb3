package check

import (
	"context"
	"fmt"
	"sync"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// order asks for the rows backwards, with one of them in several places: an answer goes
// by the row, not by where it stands or what stood there before.
func (p *probe) order(ctx context.Context) error {
	rows := make([]int, p.x.N())
	for i := range rows {
		rows[i] = len(rows) - 1 - i
		if i%5 == 3 {
			rows[i] = 1
		}
	}
	y, err := p.c.Predict(ctx, p.x.Gather(rows))
	if err != nil {
		return err
	}
	p.compare("order", "rows in another order", p.y.Gather(rows), y, sameWarn)
	if f := &p.findings[len(p.findings)-1]; f.Severity == Fail {
		f.Suggests = "answers that go by a row's place in the batch, or by the batch before"
	}
	return nil
}

// differentiate compares the fast path with the plain calls, and looks at the
// hidden layers.
func (p *probe) differentiate(ctx context.Context) error {
	f, ok := p.c.(sdk.Forwarder)
	if !ok || p.bad {
		return nil
	}
	names := []string{sdk.Output}
	for _, h := range p.info.Hidden {
		names = append(names, sdk.HiddenPrefix+h.Name)
	}
	outs, pull, err := f.Forward(ctx, p.x, names...)
	if err != nil {
		return err
	}
	for i, h := range p.info.Hidden {
		t := outs[names[i+1]]
		switch {
		case t == nil || t.N() != p.x.N() || !t.Example().Equal(h.Shape):
			p.add("hidden", Fail, fmt.Sprintf("layer %s did not come with its shape %v", h.Name, h.Shape), "")
		case difference(t, t) != 0:
			p.add("hidden", Fail, fmt.Sprintf("layer %s is not finite", h.Name), "")
		default:
			p.add("hidden", Pass, fmt.Sprintf("layer %s has shape %v", h.Name, h.Shape), "")
		}
	}
	if outs[sdk.Output] == nil {
		p.add("differentiate", Fail, "Forward gave no output", "")
		return nil
	}
	p.compare("differentiate", "the outputs of Forward and Predict", p.y, outs[sdk.Output], sameWarn)
	d, ok := p.c.(sdk.Differentiable)
	if !ok || pull == nil || p.info.Gradient != sdk.ExactGradient {
		return nil
	}
	dy := p.cotangent()
	want, err := d.Gradient(ctx, p.x, dy)
	if err != nil {
		return err
	}
	for range 2 { // the tape serves any number of cotangents
		got, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy})
		if err != nil {
			return err
		}
		p.compare("differentiate", "the gradients of Pullback and Gradient", want, got, sameWarn)
	}
	return nil
}

// concurrent asks from several goroutines at once.
func (p *probe) concurrent(ctx context.Context) error {
	const callers = 4
	answers, errs := make([]*tensor.Tensor, callers), make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { answers[i], errs[i] = p.c.Predict(ctx, p.x) })
	}
	wg.Wait()
	worst := 0
	for i := range callers {
		if errs[i] != nil {
			return errs[i]
		}
		if d := difference(p.y, answers[i]); !(d <= difference(p.y, answers[worst])) {
			worst = i
		}
	}
	p.compare("concurrent", "a call alone and among others", p.y, answers[worst], 0)
	return nil
}
