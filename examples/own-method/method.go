package main

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// PCA asks the classifier about an input's projection on the principal
// components of the training rows: what adversarial perturbations add lies
// mostly beside them (Bhagoji et al. 2017, arXiv:1704.02654). The exported
// fields are the method's keys in the section detector.
type PCA struct {
	Components int `yaml:"components" check:">= 1, <= 4096" doc:"directions of largest variance that are kept"`
}

// Make implements detect.Method: the options meet a shape.
func (m PCA) Make(p detect.Parts) (detect.Opinion, error) {
	d := p.Input.Size()
	if m.Components > d {
		return nil, fmt.Errorf("components is %d, an example has %d features", m.Components, d)
	}
	return &projection{
		mean: &nn.Param{Name: "pca.mean", Value: tensor.New(d)},
		axes: &nn.Param{Name: "pca.axes", Value: tensor.New(m.Components, d)},
	}, nil
}

// Scores implements detect.Method: any shipped score works, these by default.
func (PCA) Scores() ([]string, detect.FusionRule) {
	return []string{"kl", "reconstruction_error"}, detect.Fisher
}

// projection never changes once it is fitted.
type projection struct {
	mean *nn.Param // (features)
	axes *nn.Param // (components, features), orthonormal rows
}

var _ detect.Fitter = (*projection)(nil)

// Form implements detect.Opinion: one other version of each input, with a code.
func (o *projection) Form() detect.Form {
	return detect.Form{Rebuilt: 1, Code: o.axes.Value.Shape[0]}
}

// Params implements detect.Opinion: they are saved with the detector.
func (o *projection) Params() []*nn.Param { return []*nn.Param{o.mean, o.axes} }

// Fit implements detect.Fitter. It needs no section train.
func (o *projection) Fit(ctx context.Context, _ *train.Section, t train.Options) (*train.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n, d := t.Train.N(), t.Train.Example().Size()
	x := mat.NewDense(n, d, nil)
	i := 0
	for row, err := range dataset.Each(t.Train) { // from memory, or from a file
		if err != nil {
			return nil, err
		}
		for j, v := range row {
			x.Set(i, j, float64(v))
			o.mean.Value.Data[j] += v / float32(n)
		}
		i++
	}
	var pc stat.PC
	if !pc.PrincipalComponents(x, nil) {
		return nil, fmt.Errorf("the principal components of %d rows cannot be computed", n)
	}
	var axes mat.Dense
	pc.VectorsTo(&axes)
	k := o.axes.Value.Shape[0]
	if _, have := axes.Dims(); have < k {
		return nil, fmt.Errorf("%d rows have %d principal components, detector.components is %d", n, have, k)
	}
	for c := range k {
		for j := range d {
			o.axes.Value.Row(c)[j] = float32(axes.At(j, c))
		}
	}
	return &train.Result{}, nil
}

// NewPass implements detect.Opinion: nothing is kept between calls, so there is
// nothing to plan.
func (o *projection) NewPass(*kernel.Engine) detect.Pass { return o }

// Forward implements detect.Pass: x' = mean + Aᵀ·A·(x − mean), row by row.
func (o *projection) Forward(s *detect.Second, x, _ *tensor.Tensor) {
	mean, centred := o.mean.Value.Data, make([]float32, x.Stride())
	for i := range x.N() {
		for j, v := range x.Row(i) {
			centred[j] = v - mean[j]
		}
		code := make([]float32, o.axes.Value.Shape[0])
		if s.Code != nil {
			code = s.Code.Row(i)
		}
		copy(s.Rebuilt.Row(i), mean)
		o.project(s.Rebuilt.Row(i), code, centred)
	}
}

// Backward implements detect.Pass: the projection is its own transpose.
func (o *projection) Backward(dx *tensor.Tensor, d *detect.Second, x, _ *tensor.Tensor) {
	code := make([]float32, o.axes.Value.Shape[0])
	for i := range x.N() {
		o.project(dx.Row(i), code, d.Rebuilt.Row(i))
	}
}

// project adds Aᵀ·A·v to dst and writes A·v.
func (o *projection) project(dst, code, v []float32) {
	for c := range code {
		axis, sum := o.axes.Value.Row(c), float32(0)
		for j, w := range axis {
			sum += w * v[j]
		}
		code[c] = sum
		for j, w := range axis {
			dst[j] += w * sum
		}
	}
}
