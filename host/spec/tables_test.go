package spec_test

import (
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/registry"
)

// maker stands for nn.Maker: the interface of a table.
type maker interface{ layer() }

type dense struct {
	Units      int     `yaml:"units" check:">= 1" required:"true" doc:"number of outputs"`
	Activation string  `yaml:"activation" enum:"linear|relu|sigmoid" doc:"after the product"`
	UseBias    bool    `yaml:"use_bias" doc:"adds a vector"`
	KernelL2   float64 `yaml:"kernel_l2" check:">= 0" doc:"regulariser"`
}

type conv struct {
	Filters    int    `yaml:"filters" check:">= 1" required:"true" doc:"number of output channels"`
	KernelSize pair   `yaml:"kernel_size" doc:"height and width"`
	Strides    pair   `yaml:"strides" doc:"height and width"`
	Padding    string `yaml:"padding" enum:"valid|same" doc:"at the borders"`
	Activation string `yaml:"activation" enum:"linear|relu|sigmoid" doc:"after the product"`
}

type reshape struct {
	TargetShape []int `yaml:"target_shape" check:">= 1" required:"true" doc:"shape of one example"`
}

type dropout struct {
	Rate float64 `yaml:"rate" check:">= 0, < 1" doc:"share of inputs set to 0"`
}

type flatten struct{}

type residual struct {
	Layers   []maker `yaml:"layers" required:"true" doc:"the path beside the shortcut"`
	Shortcut maker   `yaml:"shortcut" doc:"absent: identity"`
}

// Validate implements registry.Validator.
func (r residual) Validate() error {
	if len(r.Layers) == 0 {
		return errors.New("a residual block has at least one layer")
	}
	return nil
}

func (dense) layer()    {}
func (conv) layer()     {}
func (reshape) layer()  {}
func (dropout) layer()  {}
func (flatten) layer()  {}
func (residual) layer() {}

// pair is a number or two.
type pair [2]int

// DecodeValue implements registry.Decoder.
func (p *pair) DecodeValue(v any) error {
	if i, ok := v.(int); ok {
		*p = pair{i, i}
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return fmt.Errorf("want an integer or two, got %v", v)
	}
	for i, e := range list {
		n, ok := e.(int)
		if !ok {
			return fmt.Errorf("want an integer or two, got %v", v)
		}
		p[i] = n
	}
	return nil
}

// EncodeValue implements registry.Encoder.
func (p pair) EncodeValue() any {
	if p[0] == p[1] {
		return p[0]
	}
	return []int{p[0], p[1]}
}

type budget struct {
	Norm string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps  float64 `yaml:"eps" check:">= 0" doc:"radius"`
}

type pgd struct {
	budget
	Steps int    `yaml:"steps" check:">= 0" doc:"0: by norm"`
	Key   string `yaml:"key" secret:"true" doc:"of a service"`
}

type adversarial struct {
	WModel  float64   `yaml:"w_model" check:">= 0" doc:"weight of the KL term"`
	WRecon  float64   `yaml:"w_recon" check:">= 0" doc:"weight of the reconstruction"`
	CovELBO covariate `yaml:"cov_elbo" doc:"covariance"`
}

// covariate keeps whatever it is given.
type covariate struct{ v any }

// DecodeValue implements registry.Decoder.
func (c *covariate) DecodeValue(v any) error { c.v = v; return nil }

// EncodeValue implements registry.Encoder.
func (c covariate) EncodeValue() any { return c.v }

type (
	plain struct{}
	adam  struct {
		LearningRate float64 `yaml:"learning_rate" check:"> 0" doc:"step size"`
	}
)

var (
	layers = registry.NewTable("layer",
		registry.Entry[maker]{Name: "dense", Default: dense{Activation: "linear", UseBias: true}, Doc: "A fully connected layer.\n\nIts kernel is (in, out)."},
		registry.Entry[maker]{Name: "conv2d", Default: &conv{KernelSize: pair{3, 3}, Strides: pair{1, 1}, Padding: "valid", Activation: "linear"}, Doc: "A convolution."},
		registry.Entry[maker]{Name: "conv2d_transpose", Default: &conv{KernelSize: pair{3, 3}, Strides: pair{1, 1}, Padding: "valid", Activation: "linear"}, Doc: "Its transpose."},
		registry.Entry[maker]{Name: "max_pooling2d", Default: flatten{}, Doc: "Pools."},
		registry.Entry[maker]{Name: "dropout", Default: dropout{Rate: 0.5}, Doc: "Drops."},
		registry.Entry[maker]{Name: "flatten", Default: flatten{}, Doc: "One axis."},
		registry.Entry[maker]{Name: "reshape", Default: reshape{}, Doc: "New axes."},
		registry.Entry[maker]{Name: "residual", Default: residual{}, Doc: "A block."},
	)
	attacks = registry.NewTable("attack", registry.Entry[any]{Name: "pgd", Default: pgd{budget: budget{Norm: "linf", Eps: 0.1}}, Doc: "PGD."},
		registry.Entry[any]{Name: "fgsm", Default: budget{Norm: "linf", Eps: 0.1}, Doc: "FGSM."})
	scores     = registry.NewTable("score", registry.Entry[any]{Name: "kl", Default: plain{}, Doc: "KL."}, registry.Entry[any]{Name: "ce_top", Default: plain{}, Doc: "CE."})
	losses     = registry.NewTable("loss", registry.Entry[any]{Name: "adversarial", Default: adversarial{WModel: 1}, Doc: "The loss."})
	optimizers = registry.NewTable("optimizer", registry.Entry[any]{Name: "adam", Default: adam{0.001}, Doc: "Adam."})
	schedules  = registry.NewTable("schedule", registry.Entry[any]{Name: "constant", Default: plain{}, Doc: "Nothing."})
	metrics    = registry.NewTable("metric", registry.Entry[any]{Name: "mse", Default: plain{}, Doc: "MSE."})
	tables     = []registry.Any{layers, attacks, scores, losses, optimizers, schedules, metrics}
)
