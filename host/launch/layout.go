package launch

import (
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

// describe takes over what the plugin says about itself.
func (c *Classifier) describe(wire sdk.Info) {
	info := hostInfo(wire)
	c.mu.Lock()
	c.wire, c.info = wire, info
	c.mu.Unlock()
}
