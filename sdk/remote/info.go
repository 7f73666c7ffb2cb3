package remote

import (
	"fmt"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// info decodes a description. The numbers of the enums are the same on both
// sides.
func info(m *proto.DescribeResponse) (sdk.Info, error) {
	if err := bounded(m); err != nil {
		return sdk.Info{}, sdk.Errorf(sdk.Internal, "describe: %v", err)
	}
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

// bounded refuses a description that claims more than anybody has: what follows
// from it is allocated. Names are for lines that people read.
func bounded(m *proto.DescribeResponse) error {
	switch {
	case m.NumClasses < 0 || m.NumClasses > wire.MaxClasses:
		return fmt.Errorf("num_classes is %d, want at most %d", m.NumClasses, wire.MaxClasses)
	case len(m.Classes) > wire.MaxClasses:
		return fmt.Errorf("%d names of classes, want at most %d", len(m.Classes), wire.MaxClasses)
	case m.MaxBatch < 0 || m.MaxBatch > wire.MaxElements:
		return fmt.Errorf("max_batch is %d, want 0 to %d", m.MaxBatch, wire.MaxElements)
	case values(m.ConfigSchema) > maxValues:
		return fmt.Errorf("config_schema has more than %d values", maxValues)
	case len(m.Hidden) > wire.MaxHidden:
		return fmt.Errorf("%d hidden layers, want at most %d", len(m.Hidden), wire.MaxHidden)
	}
	name := func(what, s string) error {
		if len(s) > wire.MaxName {
			return fmt.Errorf("%s has %d bytes, want at most %d", what, len(s), wire.MaxName)
		}
		if !wire.Plain(s) {
			return fmt.Errorf("%s is %s, which has characters that are not printed", what, strconv.QuoteToASCII(s))
		}
		return nil
	}
	shape := func(what string, dims []int64) error {
		if s, n, err := wire.Shape(dims); err == nil && n > wire.MaxExample { // what is no shape is told below
			return fmt.Errorf("%s %v has %d elements, want at most %d", what, s, n, wire.MaxExample)
		}
		return nil
	}
	if err := shape("input shape", m.InputShape); err != nil {
		return err
	}
	for _, n := range []struct{ what, s string }{{"the name", m.Name}, {"the version", m.Version}, {"the digest", m.Digest}} {
		if err := name(n.what, n.s); err != nil {
			return err
		}
	}
	for i, c := range m.Classes {
		if err := name(fmt.Sprintf("the name of class %d", i), c); err != nil {
			return err
		}
	}
	for i, h := range m.Hidden {
		if err := name(fmt.Sprintf("the name of hidden layer %d", i), h.GetName()); err != nil {
			return err
		}
		if err := shape("hidden layer "+h.GetName(), h.GetShape()); err != nil {
			return err
		}
	}
	return nil
}
