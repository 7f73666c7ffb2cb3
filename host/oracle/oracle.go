package oracle

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Oracle is a classifier that is asked for its output and for the hidden
// layers under heads. It is immutable; its methods may be called concurrently
// if the classifier's may.
type Oracle struct {
	c     sdk.Classifier
	f     sdk.Forwarder
	info  sdk.Info
	heads []Head
	names []string // of what is asked for: output, hidden/…
}

// New checks heads, of which there may be none, against what info says of the
// classifier. The slice of heads is kept.
func New(c sdk.Classifier, info sdk.Info, heads []Head) (*Oracle, error) {
	o := &Oracle{c: c, f: AsForwarder(c), info: info, heads: heads, names: []string{sdk.Output}}
	_, forwards := c.(sdk.Forwarder)
	_, answers := c.(outputter)
	if len(heads) > 0 && !forwards && !answers {
		return nil, fmt.Errorf("the classifier %s offers no hidden layers", info.Name)
	}
	for _, h := range heads {
		if err := h.check(info); err != nil {
			return nil, err
		}
		o.names = append(o.names, sdk.HiddenPrefix+h.Name)
	}
	return o, nil
}

// Info is what the oracle was made with.
func (o *Oracle) Info() sdk.Info { return o.info }

// Heads are the heads, which must not be changed.
func (o *Oracle) Heads() []Head { return o.heads }

// Answer is what the classifier says of n rows.
type Answer struct {
	Output *tensor.Tensor   // (n, classes), of the kind that Info declares
	Hidden []*tensor.Tensor // per head, the layer under it, (n, layer…)

	o    *Oracle
	pull sdk.Pullback
	size int // numbers in the rows asked about
	room *Room
}

// Room is memory for the answers of one goroutine, of which the last alone is
// valid. Its zero value is ready.
type Room struct {
	hidden     []*tensor.Tensor
	cotangents map[string]*tensor.Tensor
}

// Predict asks without gradients, and so without a tape where the classifier
// can do without. x is not kept.
func (o *Oracle) Predict(ctx context.Context, x *tensor.Tensor, room *Room) (Answer, error) {
	if len(o.heads) == 0 {
		y, err := o.c.Predict(ctx, x)
		if err != nil {
			return Answer{}, wrap(err)
		}
		a := Answer{Output: y, o: o}
		return a, o.checkOutput(y, x.N())
	}
	if c, ok := o.c.(outputter); ok {
		outs, err := c.Outputs(ctx, x, o.names...)
		return o.answer(x, outs, nil, err, room)
	}
	outs, _, err := o.f.Forward(ctx, x, o.names...)
	return o.answer(x, outs, nil, err, room)
}

// Forward asks with gradients to come, if Info declares any. x must not
// change before Gradient. The answer's Gradient may be called until the
// goroutine's next Forward. room may be nil: then the answer has memory of its
// own, and Gradient may be called concurrently.
func (o *Oracle) Forward(ctx context.Context, x *tensor.Tensor, room *Room) (Answer, error) {
	outs, pull, err := o.f.Forward(ctx, x, o.names...)
	if o.info.Gradient == sdk.NoGradient {
		pull = nil
	} else if d, ok := o.c.(sdk.Differentiable); ok && pull == nil && len(o.heads) == 0 {
		pull = pullOf(d, x)
	}
	return o.answer(x, outs, pull, err, room)
}

// answer checks what came.
func (o *Oracle) answer(x *tensor.Tensor, outs map[string]*tensor.Tensor, pull sdk.Pullback, err error, room *Room) (Answer, error) {
	if err != nil {
		return Answer{}, wrap(err)
	}
	a := Answer{Output: outs[sdk.Output], o: o, pull: pull, size: len(x.Data), room: room}
	if err := o.checkOutput(a.Output, x.N()); err != nil {
		return Answer{}, err
	}
	if room != nil {
		a.Hidden = room.hidden[:0]
	}
	for i, h := range o.heads {
		t := outs[o.names[i+1]]
		if t == nil || t.N() != x.N() || t.Stride() != h.Kernel.N() {
			return Answer{}, fmt.Errorf("classifier: hidden layer %s: want %d×%d", h.Name, x.N(), h.Kernel.N())
		}
		a.Hidden = append(a.Hidden, t)
	}
	if room != nil {
		room.hidden = a.Hidden
	}
	return a, nil
}

func (o *Oracle) checkOutput(y *tensor.Tensor, n int) error {
	return wrap(Check(y, n, o.info.NumClasses))
}

// Check reports an output that is not (n, classes).
func Check(y *tensor.Tensor, n, classes int) error {
	switch {
	case y == nil:
		return fmt.Errorf("no output for %d rows and %d classes", n, classes)
	case len(y.Shape) != 2 || y.N() != n || y.Stride() != classes:
		return fmt.Errorf("it answered %v for %d rows and %d classes", y.Shape, n, classes)
	}
	return nil
}

// HasGradient reports whether Gradient can be called.
func (a Answer) HasGradient() bool { return a.pull != nil }

// Gradient maps cotangents at the output and at the hidden layers, one per head
// or none at all, to their summed gradient at the rows asked about.
func (a Answer) Gradient(ctx context.Context, dOutput *tensor.Tensor, dHidden []*tensor.Tensor) (*tensor.Tensor, error) {
	cots := a.cotangents()
	cots[sdk.Output] = dOutput
	for i, d := range dHidden {
		if shape := a.Hidden[i].Shape; !d.Shape.Equal(shape) {
			d = d.Reshape(shape...)
		}
		cots[a.o.names[i+1]] = d
	}
	dx, err := a.pull(ctx, cots)
	if err != nil {
		return nil, wrap(err)
	}
	if dx == nil || len(dx.Data) != a.size {
		return nil, fmt.Errorf("classifier: the gradient has another shape than its input")
	}
	return dx, nil
}

func (a Answer) cotangents() map[string]*tensor.Tensor {
	if a.room == nil {
		return make(map[string]*tensor.Tensor, len(a.o.names))
	}
	if a.room.cotangents == nil {
		a.room.cotangents = make(map[string]*tensor.Tensor, len(a.o.names))
	}
	clear(a.room.cotangents)
	return a.room.cotangents
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("classifier: %w", err)
}
