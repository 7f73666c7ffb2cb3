package train

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Section is the spec's section train: how the detector's network is trained.
type Section struct {
	Loss            Loss                 `yaml:"loss" default:"adversarial" kind:"loss" doc:"what is minimised"`
	Optimizer       nn.Optimizer         `yaml:"optimizer" default:"adam" kind:"optimizer" doc:"update rule"`
	Schedule        nn.Schedule          `yaml:"learning_rate_schedule" kind:"learning-rate schedule" doc:"the learning rate over steps"`
	Epochs          int                  `yaml:"epochs" default:"20" check:">= 1" doc:"passes over data.train"`
	BatchSize       int                  `yaml:"batch_size" default:"64" check:">= 1, <= 1048576" doc:"rows per step"`
	Precision       kernel.Precision     `yaml:"precision" default:"float32" enum:"float32|bf16" doc:"operands of the network's products in training: float32, or bf16, which is faster with AVX512_BF16 and has other bits, the same on every machine with AVX2; weights, sums and the optimizer stay in float32, and scoring has a key of its own, detector.precision"`
	ClipNorm        float64              `yaml:"clip_norm" check:">= 0" doc:"limit of the gradient's global norm; 0: none"`
	ClipValue       float64              `yaml:"clip_value" check:">= 0" doc:"limit of each gradient element; 0: none"`
	ClassWeight     ClassWeight          `yaml:"class_weight" doc:"factors of rows in the loss by predicted class, for rare ones: balanced, or {class: factor}; classes by number or name"`
	EarlyStopping   *EarlyStopping       `yaml:"early_stopping" doc:"stop when a metric no longer improves; best weights are restored"`
	LogMetrics      []registry.Component `yaml:"log_metrics" kind:"metric" doc:"further metrics to report: see list metric"`
	Recon           string               `yaml:"recon" default:"elbo" enum:"elbo|mse" doc:"form of the reconstruction term"`
	ELBOReduction   string               `yaml:"elbo_reduction" default:"mean" enum:"mean|sum" doc:"reduction over the batch"`
	LatentReduction string               `yaml:"latent_reduction" default:"mean" enum:"mean|sum" doc:"reduction over the code's dimensions"`
	Harden          *Harden              `yaml:"harden" doc:"train against attacks on the guarded classifier"`
	InputNoise      float64              `yaml:"input_noise" check:">= 0" doc:"standard deviation of Gaussian noise on the encoder's input"`
	Checkpoint      Checkpoint           `yaml:"checkpoint" doc:"how often the run is saved"`
}

// Checkpoint says how often a run is saved.
type Checkpoint struct {
	Every int `yaml:"every" check:">= 0" doc:"steps between checkpoints; 0: each epoch only"`
}

// EarlyStopping watches a metric. With it the weights of the best epoch are
// restored at the end.
type EarlyStopping struct {
	Monitor  string  `yaml:"monitor" doc:"val_loss, val_kl, loss, …; absent: val_robust where hardened training measures it, else val_loss"`
	Patience int     `yaml:"patience" check:">= 0" doc:"epochs without improvement, after which training ends at the next one that has the metric"`
	MinDelta float64 `yaml:"min_delta" check:">= 0" doc:"smallest change that counts"`
	Mode     string  `yaml:"mode" enum:"|min|max" doc:"which way is better"` // "": max for a Gain, else min
}

// Harden is adversarial training of the auto-encoder: each step, an inner attack
// finds x + δ that maximises CE(M(G(x + δ)), argmax M(x)), and the loss is
// shared between x and x + δ.
type Harden struct {
	Norm string `yaml:"norm" default:"linf" enum:"linf|l2" doc:"norm of the ball"`
	// Eps ramps up over the first third of the training.
	Eps     float64 `yaml:"eps" required:"true" check:"> 0" doc:"radius, in the input's units"`
	EpsUnit string  `yaml:"eps_unit" enum:"|std" doc:"std: this radius and those of also are in standard deviations of each feature (of data.train)"`
	// Steps are ¾ eps each; a single one is 1¼ eps.
	Steps   int     `yaml:"steps" default:"2" check:">= 1" doc:"steps of the inner attack"`
	Through string  `yaml:"through" default:"guard" enum:"guard|classifier" doc:"what the inner attack differentiates"` // M∘G or M
	Weight  float64 `yaml:"weight" default:"0.5" check:">= 0, <= 1" doc:"weight of the adversarial half of the loss"`
	// Also are further balls. Row i of a batch is attacked in ball i modulo
	// their number, the first being that of Norm and Eps, so that it
	// withstands each of them (Tramèr and Boneh 2019, arXiv:1904.13000, train
	// on a mean over balls).
	Also []Ball `yaml:"also" doc:"further balls: the rows of a batch take norm and these in turn"`
	// Robust is measured where there are validation rows, and Keep goes by it where
	// there is no early stopping; "" is the last epoch.
	Robust Robust `yaml:"robust" doc:"how robust the guard is, measured on rows of data.validation after epochs: val_robust"`
	Keep   string `yaml:"keep" default:"robust" enum:"|robust|last" doc:"the epoch whose weights are kept, without early_stopping: of those measured the last one whose val_robust is not behind the best by more than its standard error, or the last"`
	// Unit are the deviations of the features that eps_unit: std counts in, of which
	// 0 counts as 1; nil: those of the training rows.
	Unit []float64 `yaml:"-"`
	// Lo and Hi are the box, one number or one per feature; nil: the
	// classifier's legal range, else that of the training rows.
	Lo, Hi []float32 `yaml:"-"`
}

// Ball is a set of perturbations around an input.
type Ball struct {
	Norm string  `yaml:"norm" default:"linf" enum:"linf|l2" doc:"norm of the ball"`
	Eps  float64 `yaml:"eps" required:"true" check:"> 0" doc:"radius, in the input's units"`
}

// balls are all balls of h, at least one.
func (h *Harden) balls() []Ball { return append([]Ball{{h.Norm, h.Eps}}, h.Also...) }

// metrics are those of log_metrics and the others, in order.
func (o *Options) metrics() []NamedMetric {
	var out []NamedMetric
	for _, c := range o.LogMetrics {
		out = append(out, NamedMetric{c.Name, registry.As[Metric](c)})
	}
	return append(out, o.Metrics...)
}
