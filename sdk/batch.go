package sdk

import (
	"context"
	"maps"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// chunk is how many of n rows go into one call.
func chunk(info *Info, n int) int {
	if info.MaxBatch > 0 {
		return min(n, info.MaxBatch)
	}
	return n
}

// outputs computes named outputs, a chunk at a time. The names are known ones.
func (s *server) outputs(ctx context.Context, info *Info, x *tensor.Tensor, names []string) (map[string]*tensor.Tensor, error) {
	n := x.N()
	step := chunk(info, n)
	if n > 0 && step == n {
		return s.some(ctx, info, x, names)
	}
	all := make(map[string]*tensor.Tensor, len(names))
	for _, name := range names {
		shape, err := info.OutputShape(name)
		if err != nil {
			return nil, err
		}
		all[name] = tensor.Batch(n, shape)
	}
	for lo := 0; lo < n; lo += step {
		hi := min(lo+step, n)
		part, err := s.some(ctx, info, x.Rows(lo, hi), names)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			copy(all[name].Rows(lo, hi).Data, part[name].Data)
		}
	}
	return all, nil
}

// some computes named outputs of at most MaxBatch rows.
func (s *server) some(ctx context.Context, info *Info, x *tensor.Tensor, names []string) (map[string]*tensor.Tensor, error) {
	if len(names) == 1 && names[0] == Output {
		y, err := s.c.Predict(ctx, x)
		if err != nil {
			return nil, err
		}
		if err := checkOutput(Output, y, x.N(), tensor.Shape{info.NumClasses}); err != nil {
			return nil, err
		}
		return map[string]*tensor.Tensor{Output: y}, nil
	}
	outs, _, err := s.forward(ctx, info, x, names)
	return outs, err
}

// forward runs the Forwarder on at most MaxBatch rows and keeps the named
// outputs alone.
func (s *server) forward(ctx context.Context, info *Info, x *tensor.Tensor, names []string) (map[string]*tensor.Tensor, Pullback, error) {
	f, ok := s.c.(Forwarder)
	if !ok {
		return nil, nil, Errorf(Unimplemented, "this classifier has no hidden layers")
	}
	got, pull, err := f.Forward(ctx, x, names...)
	if err != nil {
		return nil, nil, err
	}
	outs := make(map[string]*tensor.Tensor, len(names))
	for _, name := range names {
		shape, err := info.OutputShape(name)
		if err != nil {
			return nil, nil, err
		}
		if err := checkOutput(name, got[name], x.N(), shape); err != nil {
			return nil, nil, err
		}
		outs[name] = got[name]
	}
	return outs, pull, nil
}

// gradient pulls the cotangents back, a chunk at a time. It also gives the
// outputs if they came for nothing.
func (s *server) gradient(ctx context.Context, info *Info, x *tensor.Tensor, cots map[string]*tensor.Tensor) (*tensor.Tensor, map[string]*tensor.Tensor, error) {
	n := x.N()
	names := slices.Sorted(maps.Keys(cots))
	dx := tensor.Batch(n, x.Example())
	step := chunk(info, n)
	var outs map[string]*tensor.Tensor
	for lo := 0; lo < n; lo += step {
		hi := min(lo+step, n)
		cut := make(map[string]*tensor.Tensor, len(names))
		for _, name := range names {
			cut[name] = cots[name].Rows(lo, hi)
		}
		d, o, err := s.gradientOf(ctx, info, x.Rows(lo, hi), names, cut)
		if err != nil {
			return nil, nil, err
		}
		if err := checkOutput("dx", d, hi-lo, x.Example()); err != nil {
			return nil, nil, err
		}
		if step == n {
			return d, o, nil
		}
		copy(dx.Rows(lo, hi).Data, d.Data)
		for name, t := range o {
			if outs == nil {
				outs = map[string]*tensor.Tensor{}
			}
			if outs[name] == nil {
				outs[name] = tensor.Batch(n, t.Example())
			}
			copy(outs[name].Rows(lo, hi).Data, t.Data)
		}
	}
	return dx, outs, nil
}

// gradientOf is gradient of at most MaxBatch rows.
func (s *server) gradientOf(ctx context.Context, info *Info, x *tensor.Tensor, names []string, cots map[string]*tensor.Tensor) (*tensor.Tensor, map[string]*tensor.Tensor, error) {
	if d, ok := s.c.(Differentiable); ok && len(names) == 1 && names[0] == Output {
		dx, err := d.Gradient(ctx, x, cots[Output])
		return dx, nil, err
	}
	outs, pull, err := s.forward(ctx, info, x, names)
	if err != nil {
		return nil, nil, err
	}
	if pull == nil {
		return nil, nil, Errorf(Unimplemented, "this classifier has no gradient")
	}
	dx, err := pull(ctx, cots)
	return dx, outs, err
}

// input decodes and checks a batch.
func input(info *Info, m *proto.Tensor) (*tensor.Tensor, error) {
	x, err := decode("x", m)
	if err != nil {
		return nil, err
	}
	if len(x.Shape) == 0 || !x.Example().Equal(info.InputShape) {
		return nil, Errorf(InvalidArgument, "x has shape %v, want N×%v (%v)", x.Shape, info.InputShape, info.Layout)
	}
	if i := wire.NotFinite(x.Data); i >= 0 {
		return nil, Errorf(InvalidArgument, "x: row %d, feature %d is %v", i/x.Stride(), i%x.Stride(), x.Data[i])
	}
	return x, nil
}

// cotangents decodes and checks the named cotangents of n rows.
func cotangents(info *Info, m map[string]*proto.Tensor, n int) (map[string]*tensor.Tensor, error) {
	if len(m) == 0 {
		return nil, Errorf(InvalidArgument, "no cotangents")
	}
	out := make(map[string]*tensor.Tensor, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		shape, err := info.OutputShape(name)
		if err != nil {
			return nil, err
		}
		t, err := decode("cotangent of "+name, m[name])
		if err != nil {
			return nil, err
		}
		if t.N() != n || !t.Example().Equal(shape) {
			return nil, Errorf(InvalidArgument, "cotangent of %s has shape %v, want %d×%v", name, t.Shape, n, shape)
		}
		if i := wire.NotFinite(t.Data); i >= 0 {
			return nil, Errorf(InvalidArgument, "cotangent of %s: element %d is %v", name, i, t.Data[i])
		}
		out[name] = t
	}
	return out, nil
}

// checkOutput checks what the author's code computed.
func checkOutput(name string, t *tensor.Tensor, n int, shape tensor.Shape) error {
	switch {
	case t == nil:
		return Errorf(Internal, "the classifier gave no %s", name)
	case t.N() != n || !t.Example().Equal(shape) || len(t.Data) != t.Shape.Size():
		return Errorf(Internal, "the classifier gave %s of shape %v, want %d×%v", name, t.Shape, n, shape)
	}
	if i := wire.NotFinite(t.Data); i >= 0 {
		return Errorf(Internal, "the classifier gave a %s with %v in row %d, element %d", name, t.Data[i], i/t.Stride(), i%t.Stride())
	}
	return nil
}

// decode decodes what the host sent.
func decode(name string, m *proto.Tensor) (*tensor.Tensor, error) {
	t, err := wire.Decode(name, m)
	if err != nil {
		return nil, Errorf(InvalidArgument, "%v", err)
	}
	return t, nil
}
