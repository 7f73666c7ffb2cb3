// Package cnn is the classifier of the plugin cnn: convolutions that
// vaeguard trains.
package cnn

import (
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/builtin/classifiers/network"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Name and Version are the plugin's.
const (
	Name    = "cnn"
	Version = "1.0.0"
)

// Config are the settings: layers one by one, or the short form, which is for
// each number of filters a convolution and a max-pooling, then dense layers. A
// dense layer of one unit per class, without activation, comes after them.
type Config struct {
	Layers          []nn.Maker    `yaml:"layers" doc:"the layers before the last"`
	Filters         []int         `yaml:"filters" check:">= 1" doc:"short form: filters of each convolution; default [32, 64]"`
	KernelSize      nn.Pair       `yaml:"kernel_size" doc:"kernel size of the short form's convolutions"`
	PoolSize        nn.Pair       `yaml:"pool_size" doc:"window of the short form's pooling layers"`
	Hidden          *[]int        `yaml:"hidden" doc:"short form: widths of the dense layers; default [128]"`
	Activation      nn.Activation `yaml:"activation" doc:"activation of the short form's layers"`
	Dropout         float64       `yaml:"dropout" check:">= 0, < 1" doc:"dropout rate after each pooling and dense layer of the short form"`
	network.Options `yaml:",inline"`
}

// New is an unconfigured classifier.
func New() *network.Classifier {
	return network.New(Name, Version, func() network.Architecture {
		return &Config{
			KernelSize: nn.Pair{3, 3}, PoolSize: nn.Pair{2, 2},
			Activation: nn.Activation{Name: "relu"}, Options: network.Options{Scale: "none"},
		}
	})
}

// Shared implements network.Architecture.
func (c *Config) Shared() network.Options { return c.Options }

// Validate implements registry.Validator.
func (c *Config) Validate() error {
	if c.Layers != nil && (c.Hidden != nil || c.Filters != nil) {
		return errors.New("layers excludes filters and hidden")
	}
	if c.Hidden != nil {
		for _, units := range *c.Hidden {
			if units < 1 {
				return errors.New("hidden: want widths of at least 1")
			}
		}
	}
	return nil
}

// Makers implements network.Architecture.
func (c *Config) Makers(in tensor.Shape) ([]nn.Maker, error) {
	if len(in) != 3 {
		return nil, fmt.Errorf("inputs are %v, want height×width×channels; plugin mlp takes flat ones", in)
	}
	if c.Layers != nil {
		return c.Layers, nil
	}
	filters, hidden := []int{32, 64}, []int{128}
	if c.Filters != nil {
		filters = c.Filters
	}
	if c.Hidden != nil {
		hidden = *c.Hidden
	}
	var makers []nn.Maker
	then := func(m nn.Maker) {
		makers = append(makers, m)
		if c.Dropout > 0 {
			makers = append(makers, layers.Dropout{Rate: c.Dropout})
		}
	}
	for _, f := range filters {
		conv := layers.NewConv2D(f, 1)
		conv.KernelSize, conv.Padding, conv.Activation = c.KernelSize, "same", c.Activation
		makers = append(makers, conv)
		then(layers.MaxPooling2D{Pooling: layers.Pooling{PoolSize: c.PoolSize, Padding: "valid"}})
	}
	makers = append(makers, layers.Flatten{})
	for _, units := range hidden {
		d := layers.NewDense(units)
		d.Activation = c.Activation
		then(d)
	}
	return makers, nil
}
