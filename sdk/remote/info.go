package remote

import (
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// info decodes a description. The numbers of the enums are the same on both
// sides.
func info(m *proto.DescribeResponse) (sdk.Info, error) {
	shape, size, err := wire.Shape(m.InputShape)
	if err != nil {
		return sdk.Info{}, sdk.Errorf(sdk.Internal, "describe: input shape: %v", err)
	}
	i := sdk.Info{
		Name: m.Name, Version: m.Version,
		Layout: sdk.Layout(m.Layout), Lo: m.Lo, Hi: m.Hi,
		NumClasses: int(m.NumClasses), Classes: m.Classes, Output: sdk.OutputKind(m.Output), MaxBatch: int(m.MaxBatch),
		Gradient: sdk.GradientKind(m.Gradient), Differentiate: m.Differentiate,
		Trainable: m.Trainable, Ready: m.Ready, BatchInvariant: m.BatchInvariant,
		Digest: m.Digest, Schema: m.ConfigSchema,
	}
	if len(shape) > 0 {
		i.InputShape = shape
	}
	if m.NumClasses < 0 || m.NumClasses > wire.MaxElements || m.MaxBatch < 0 {
		return sdk.Info{}, sdk.Errorf(sdk.Internal, "describe: num_classes %d or max_batch %d is out of range", m.NumClasses, m.MaxBatch)
	}
	for _, r := range []struct {
		name string
		v    []float32
	}{{"lo", i.Lo}, {"hi", i.Hi}} {
		if n := len(r.v); n > 1 && len(shape) > 0 && n != size {
			return sdk.Info{}, sdk.Errorf(sdk.Internal, "describe: %s has %d numbers, want one or one per feature (%d)", r.name, n, size)
		}
	}
	for _, h := range m.Hidden {
		s, _, err := wire.Shape(h.Shape)
		if err != nil {
			return sdk.Info{}, sdk.Errorf(sdk.Internal, "describe: hidden layer %q: %v", h.Name, err)
		}
		i.Hidden = append(i.Hidden, sdk.HiddenLayer{Name: h.Name, Shape: s})
	}
	return i, nil
}
