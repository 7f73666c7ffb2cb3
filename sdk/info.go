package sdk

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Validate reports what a classifier that is Ready has left out or got wrong.
func (i Info) Validate() error {
	switch {
	case len(i.InputShape) == 0 || i.InputShape.Valid(1, wire.MaxElements) != nil:
		return fmt.Errorf("input shape %v: want at least one dimension, all positive", i.InputShape)
	case i.Layout < Flat || i.Layout > NCHW:
		return fmt.Errorf("layout %d: want Flat, NHWC or NCHW", i.Layout)
	case i.Layout != Flat && len(i.InputShape) != 3:
		return fmt.Errorf("layout %v wants three dimensions, the input shape is %v", i.Layout, i.InputShape)
	case i.NumClasses == 1:
		return errors.New("one class: want two or more; a model whose one output is a probability p answers [1 - p, p], one whose output is a logit z answers [0, z]")
	case i.NumClasses < 1:
		return fmt.Errorf("%d classes: want two or more", i.NumClasses)
	case len(i.Classes) > 0 && len(i.Classes) != i.NumClasses:
		return fmt.Errorf("%d class names for %d classes", len(i.Classes), i.NumClasses)
	case i.Output != Logits && i.Output != Probabilities:
		return fmt.Errorf("output kind %d: want Logits or Probabilities", i.Output)
	case i.MaxBatch < 0:
		return fmt.Errorf("max batch %d: want 0 (no limit) or more", i.MaxBatch)
	case i.Gradient < NoGradient || i.Gradient > EstimatedGradient:
		return fmt.Errorf("gradient kind %d: want NoGradient, ExactGradient or EstimatedGradient", i.Gradient)
	}
	n := i.InputShape.Size()
	if (len(i.Lo) > 1 && len(i.Lo) != n) || (len(i.Hi) > 1 && len(i.Hi) != n) || (len(i.Lo) == 0) != (len(i.Hi) == 0) {
		return fmt.Errorf("legal range of %d and %d numbers: want one each, or %d (one per feature)", len(i.Lo), len(i.Hi), n)
	}
	for k := range max(len(i.Lo), len(i.Hi)) {
		if lo, hi := i.Lo[min(k, len(i.Lo)-1)], i.Hi[min(k, len(i.Hi)-1)]; !(lo < hi) {
			return fmt.Errorf("legal range [%v, %v] is empty", lo, hi)
		}
	}
	for k, h := range i.Hidden {
		if h.Name == "" || h.Shape.Valid(1, wire.MaxElements) != nil {
			return fmt.Errorf("hidden layer %d: name %q, shape %v", k, h.Name, h.Shape)
		}
	}
	return nil
}

// OutputShape is the shape, per example, of a named output: NumClasses for
// Output, the hidden layer's for HiddenPrefix + its name.
func (i Info) OutputShape(name string) (tensor.Shape, error) {
	if name == Output {
		return tensor.Shape{i.NumClasses}, nil
	}
	known := Output
	for _, h := range i.Hidden {
		if name == HiddenPrefix+h.Name {
			return h.Shape, nil
		}
		known += ", " + HiddenPrefix + h.Name
	}
	return nil, Errorf(InvalidArgument, "unknown output %q: this classifier has %s", name, known)
}

// String is the layout's name in YAML and on the wire.
func (l Layout) String() string {
	switch l {
	case Flat:
		return "flat"
	case NHWC:
		return "nhwc"
	case NCHW:
		return "nchw"
	}
	return "unknown"
}

// String is the kind's name in YAML.
func (k OutputKind) String() string {
	switch k {
	case Logits:
		return "logits"
	case Probabilities:
		return "probabilities"
	}
	return "unknown"
}

// String is the kind's name in YAML.
func (k GradientKind) String() string {
	switch k {
	case NoGradient:
		return "none"
	case ExactGradient:
		return "exact"
	case EstimatedGradient:
		return "estimated"
	}
	return "unknown"
}

// describe asks c and fills in what follows from the interfaces that it
// implements.
func describe(i Info, c Classifier) Info {
	_, forwards := c.(Forwarder)
	_, gradients := c.(Differentiable)
	_, trainable := c.(Trainable)
	if conf, ok := c.(Configurable); ok && len(i.Schema) == 0 {
		i.Schema = conf.Schema()
	}
	if i.Layout == 0 && len(i.InputShape) > 0 {
		i.Layout = Flat
		if len(i.InputShape) == 3 {
			i.Layout = NHWC
		}
	}
	switch {
	case !forwards && !gradients:
		i.Gradient = NoGradient
	case i.Gradient == 0:
		i.Gradient = ExactGradient
	}
	i.Differentiate = forwards && i.Gradient != NoGradient
	if !forwards {
		i.Hidden = nil
	}
	i.Trainable = trainable
	i.Ready = i.Ready || !trainable && i.NumClasses > 0 && len(i.InputShape) > 0
	i.Hidden = slices.Clone(i.Hidden)
	return i
}

// encode is the description as it goes on the wire. The numbers of the enums
// are the same on both sides.
func (i Info) encode() *proto.DescribeResponse {
	m := &proto.DescribeResponse{
		Name: i.Name, Version: i.Version,
		InputShape: wire.Dims(i.InputShape), Layout: proto.Layout(i.Layout), Lo: i.Lo, Hi: i.Hi,
		NumClasses: int64(i.NumClasses), Classes: i.Classes, Output: proto.OutputKind(i.Output), MaxBatch: int64(i.MaxBatch),
		Gradient: proto.GradientKind(i.Gradient), Differentiate: i.Differentiate,
		Trainable: i.Trainable, Ready: i.Ready, BatchInvariant: i.BatchInvariant,
		Digest: i.Digest, ConfigSchema: i.Schema,
	}
	for _, h := range i.Hidden {
		m.Hidden = append(m.Hidden, &proto.HiddenLayer{Name: h.Name, Shape: wire.Dims(h.Shape)})
	}
	return m
}
