// Package mlp is the classifier of the plugin mlp: dense layers that
// vaeguard trains.
package mlp

import (
	"errors"

	"github.com/vaeguard/vaeguard/builtin/classifiers/network"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Name and Version are the plugin's.
const (
	Name    = "mlp"
	Version = "1.0.0"
)

// Config are the settings: layers one by one, or the short form. A dense layer
// of one unit per class, without activation, comes after them.
type Config struct {
	Layers          []nn.Maker    `yaml:"layers" doc:"the layers before the last"`
	Hidden          *[]int        `yaml:"hidden" doc:"short form: widths of dense layers; []: softmax regression; default [128]"`
	Activation      nn.Activation `yaml:"activation" doc:"activation of the short form's layers"`
	Dropout         float64       `yaml:"dropout" check:">= 0, < 1" doc:"dropout rate after each of the short form's layers"`
	KernelL2        float64       `yaml:"kernel_l2" check:">= 0" doc:"L2 penalty on the kernels of the short form's layers"`
	network.Options `yaml:",inline"`
}

// New is an unconfigured classifier.
func New() *network.Classifier {
	return network.New(Name, Version, func() network.Architecture {
		return &Config{Activation: nn.Activation{Name: "relu"}, Options: network.Options{Scale: "none"}}
	})
}

// Shared implements network.Architecture.
func (c *Config) Shared() network.Options { return c.Options }

// Validate implements registry.Validator.
func (c *Config) Validate() error {
	if c.Layers != nil && c.Hidden != nil {
		return errors.New("layers and hidden exclude each other")
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
	if c.Layers != nil {
		return c.Layers, nil
	}
	var makers []nn.Maker
	if len(in) > 1 {
		makers = append(makers, layers.Flatten{})
	}
	hidden := []int{128}
	if c.Hidden != nil {
		hidden = *c.Hidden
	}
	for _, units := range hidden {
		d := layers.NewDense(units)
		d.Activation, d.KernelL2 = c.Activation, c.KernelL2
		makers = append(makers, d)
		if c.Dropout > 0 {
			makers = append(makers, layers.Dropout{Rate: c.Dropout})
		}
	}
	return makers, nil
}
