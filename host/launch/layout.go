package launch

import (
	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// toPlugin is x in the plugin's order; it is x itself unless that is NCHW.
func toPlugin(layout sdk.Layout, x *tensor.Tensor) *tensor.Tensor {
	if layout != sdk.NCHW || x == nil || len(x.Shape) != 4 {
		return x
	}
	h, w, c := x.Shape[1], x.Shape[2], x.Shape[3]
	out := tensor.New(x.Shape[0], c, h, w)
	for i := range x.N() {
		transpose(out.Row(i), x.Row(i), h*w, c)
	}
	return out
}

// toHost is the inverse of toPlugin.
func toHost(layout sdk.Layout, x *tensor.Tensor) *tensor.Tensor {
	if layout != sdk.NCHW || x == nil || len(x.Shape) != 4 {
		return x
	}
	c, h, w := x.Shape[1], x.Shape[2], x.Shape[3]
	out := tensor.New(x.Shape[0], h, w, c)
	for i := range x.N() {
		transpose(out.Row(i), x.Row(i), c, h*w)
	}
	return out
}

// transpose writes the transpose of the rows×cols matrix src to dst.
func transpose(dst, src []float32, rows, cols int) {
	for i := range rows {
		for j := range cols {
			dst[j*rows+i] = src[i*cols+j]
		}
	}
}

// hostInfo is what the host calls a classifier that describes itself as wire.
func hostInfo(wire sdk.Info) sdk.Info {
	info := wire
	if wire.Layout == sdk.NCHW && len(wire.InputShape) == 3 {
		ch, h, w := wire.InputShape[0], wire.InputShape[1], wire.InputShape[2]
		info.InputShape, info.Layout = tensor.Shape{h, w, ch}, sdk.NHWC
		for _, r := range []*[]float32{&info.Lo, &info.Hi} {
			if len(*r) > 1 {
				*r = toHost(sdk.NCHW, tensor.From(*r, 1, ch, h, w)).Data
			}
		}
	}
	return info
}

// face is a plugin as the wire knows it, and what turns the host's rows into its
// own. Layout is that of its rows, whatever it declares.
type face struct {
	sdk.Info
	pre *preprocess.Map // nil: none
}

// toPlugin is x, NHWC in guard space, as the plugin takes it.
func (f face) toPlugin(x *tensor.Tensor) *tensor.Tensor { return toPlugin(f.Layout, f.pre.Apply(x)) }

// toHost is a gradient of the plugin as one of guard space.
func (f face) toHost(dx *tensor.Tensor) *tensor.Tensor { return f.pre.Pull(toHost(f.Layout, dx)) }

// faceOf is the plugin that describes itself as wire, and what the host calls
// it. A shape that is not known yet is for later.
func faceOf(s *preprocess.Section, wire sdk.Info) (face, sdk.Info, error) {
	declared := wire.Layout
	wire.Layout = s.Order(declared, wire.InputShape)
	f, info := face{Info: wire}, hostInfo(wire)
	if len(wire.InputShape) == 0 {
		return f, info, nil
	}
	var err error
	if f.pre, err = s.For(info.InputShape); err != nil {
		return f, info, err
	}
	if wire.Layout != declared {
		return f, f.pre.Turned(info), nil
	}
	return f, f.pre.Info(info), nil
}

// describe takes over what the plugin says about itself, whose config has the given schema.
func (c *Classifier) describe(schema []byte, wire sdk.Info) error {
	f, info, err := faceOf(c.o.Preprocess, wire)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.wire, c.info, c.identity = f, info, identity{known: true, schema: schema, info: wire}
	c.mu.Unlock()
	return nil
}

// learner is the face of a plugin that is trained with examples of a shape,
// which it may not know yet.
func (c *Classifier) learner(example tensor.Shape) (face, error) {
	f := c.face()
	if len(f.InputShape) > 0 {
		return f, nil
	}
	var err error
	f.Layout = c.o.Preprocess.Order(f.Layout, example)
	f.pre, err = c.o.Preprocess.For(example)
	return f, err
}
