package gradient

import (
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk"
)

// Section are the keys of the spec's section classifier that say where
// gradients come from.
type Section struct {
	Kind        Kind              `yaml:"gradient" default:"auto" enum:"auto|exact|surrogate|finite_difference|nes" doc:"where gradients come from"`
	Surrogate   *SurrogateSection `yaml:"surrogate" doc:"the stand-in for a model without gradients"`
	Differences *Differences      `yaml:"differences" doc:"gradients from queries: finite_difference and nes"`
}

// SurrogateSection is a small network distilled from a classifier without
// gradients.
type SurrogateSection struct {
	Layers       []nn.Maker `yaml:"layers" kind:"layer" doc:"without the final dense layer"`
	Noise        float64    `yaml:"noise" default:"0.1" check:">= 0" doc:"standard deviation of the noise on half of its queries, as a fraction of a feature's range"`
	RefitEvery   int        `yaml:"refit_every" default:"1" check:">= 0" doc:"epochs between refits on reconstructions; 0: never"`
	MinAgreement float64    `yaml:"min_agreement" default:"0.9" check:">= 0, <= 1" doc:"top-1 agreement on held-out rows below which it is refused"`
	MaxQueries   int        `yaml:"max_queries" check:">= 0" doc:"rows sent to the classifier in training, whatever the gradient; 0: no limit"`
	Epochs       int        `yaml:"epochs" default:"20" check:">= 1" doc:"epochs of distillation"`
}

// Differences are gradients from queries.
type Differences struct {
	Step  float64 `yaml:"step" check:">= 0, <= 1" doc:"step of central differences and deviation of nes, as a fraction of a feature's range; 0: the smallest that changes the output"`
	Pairs int     `yaml:"pairs" default:"64" check:">= 1" doc:"antithetic pairs of nes"`
}

// complete fills in what the section leaves out.
func (o *Options) complete(info sdk.Info) {
	if o.Kind == "" {
		o.Kind = Auto
	}
	if o.Surrogate == nil {
		o.Surrogate = &SurrogateSection{Noise: 0.1, RefitEvery: 1, MinAgreement: 0.9, Epochs: 20}
	}
	if len(o.Surrogate.Layers) == 0 && o.Layers != nil {
		own := *o.Surrogate
		own.Layers = o.Layers(info.InputShape, info.NumClasses)
		o.Surrogate = &own
	}
	if o.Differences == nil {
		o.Differences = &Differences{}
	}
	if o.Differences.Pairs == 0 {
		own := *o.Differences
		own.Pairs = defaultPairs
		o.Differences = &own
	}
}
