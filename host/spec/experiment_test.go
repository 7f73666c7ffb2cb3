package spec_test

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

// load reads a file as an experiment.
func load(file string, o spec.Options) (*experiment, error) {
	e := &experiment{}
	var err error
	o.Checks = append(o.Checks, e.compat())
	e.Document, err = spec.Load(file, e, o)
	return e, err
}

// parse reads a text as an experiment.
func parse(name, text string, o spec.Options) (*experiment, error) {
	e := &experiment{}
	var err error
	o.Checks = append(o.Checks, e.compat())
	e.Document, err = spec.Parse(name, []byte(text), e, o)
	return e, err
}

// resolved writes an experiment.
func (e *experiment) resolved() []byte { return e.Resolved(e) }

// compat is a check that fills in.
func (e *experiment) compat() spec.Check {
	return spec.Check{Find: func(d *spec.Document, _ spec.Errors) spec.Errors {
		if e.Compat == "" {
			return nil
		}
		if e.VAE != nil && !d.Given("vae.log_var") {
			e.VAE.LogVar = "softplus"
		}
		if !d.Given("detector.probability_clip") {
			e.Detector.ProbabilityClip = 1e-7
		}
		return nil
	}}
}

// experiment is a declaration with most of what a file can hold: sections,
// pointers to them, components, lists, mappings, variables and decoders.
type experiment struct {
	APIVersion  string               `yaml:"api_version" enum:"vaeguard/v1" required:"true" doc:"format of this file"`
	Kind        string               `yaml:"kind" enum:"Experiment" required:"true" doc:"what the file declares"`
	Name        string               `yaml:"name" required:"true" doc:"names the run"`
	Seed        uint64               `yaml:"seed" doc:"seed of every random choice; same seed, same bits"`
	Compat      string               `yaml:"compat" enum:"|alibi_detect_0_2_0" doc:"short for the options that reproduce a reference implementation"`
	Data        data                 `yaml:"data" doc:"rows by role"`
	Classifier  classifier           `yaml:"classifier" doc:"the model to guard"`
	VAE         *autoencoder         `yaml:"vae" doc:"the auto-encoder"`
	Detector    detector             `yaml:"detector" doc:"how an input is scored"`
	Train       *training            `yaml:"train" doc:"how the auto-encoder is trained; absent: used as it is"`
	Threshold   *threshold           `yaml:"threshold" doc:"when an input is flagged"`
	Attacks     []registry.Component `yaml:"attacks" kind:"attack" doc:"attacks that run and evaluate use"`
	Corruptions []registry.Component `yaml:"corruptions" kind:"corruption" doc:"natural corruptions that evaluate measures false alarms on"`
	Evaluate    evaluate             `yaml:"evaluate" doc:"how much evaluate does"`

	*spec.Document `yaml:"-"`
}

// evaluate bounds the cost of an evaluation.
type evaluate struct {
	Limit     int    `yaml:"limit" check:">= 0" doc:"class-balanced number of test rows to attack; 0: all"`
	Adaptive  int    `yaml:"adaptive_limit" check:">= 0" doc:"the same for attacks on the guard; 0: 200"`
	CurveRows int    `yaml:"curve_rows" check:">= -1" doc:"rows of the security curves; 0: 200, -1: no curves"`
	Bootstrap int    `yaml:"bootstrap" check:">= 0" doc:"resamples for confidence intervals; 0: 1000"`
	Transfer  string `yaml:"transfer_from" format:"path" doc:"detector from whose guard adaptive attacks are transferred"`
}

// data names the rows of each role.
type data struct {
	Train        *rowSource `yaml:"train" doc:"trains the auto-encoder (and a trainable classifier)"`
	Validation   *rowSource `yaml:"validation" doc:"validation metrics and early stopping"`
	Calibration  *rowSource `yaml:"calibration" doc:"sets the threshold: clean, held out, drawn like the data to come"`
	Test         *rowSource `yaml:"test" doc:"judges the detector"`
	AllowOverlap bool       `yaml:"allow_overlap" doc:"rows may serve two roles"`
}

// rowSource is where rows come from: one of dataset, file, folder, idx, cifar10.
type rowSource struct {
	Dataset   string   `yaml:"dataset" kind:"dataset" doc:"a named set: see list dataset"`
	File      string   `yaml:"file" format:"path" doc:".npy, .npz, .csv or .parquet"`
	Folder    string   `yaml:"folder" format:"path" doc:"folder of images, one subfolder per class"`
	IDX       string   `yaml:"idx" format:"path" doc:"IDX images, .gz or plain"`
	CIFAR10   string   `yaml:"cifar10" format:"path" doc:"folder of CIFAR-10's binary batches"`
	X         string   `yaml:"x" doc:"key of the inputs in a .npz (x, or the only array)"`
	Labels    string   `yaml:"labels" doc:"labels: a file, or a key of the same .npz"`
	Y         string   `yaml:"y" doc:"key of the labels in the same .npz"`
	Label     string   `yaml:"label" doc:"column of the labels in a table"`
	Split     string   `yaml:"split" enum:"|train|validation|calibration|test" doc:"official split, or part of a stratified 60/10/15/15 partition; absent: all rows in file order"`
	SplitSeed uint64   `yaml:"split_seed" doc:"seed of the partition's permutation"`
	Range     []int    `yaml:"range" doc:"[a, b]: rows a ≤ i < b of those that split selects"`
	Limit     int      `yaml:"limit" check:">= 0" doc:"a class-balanced number of rows; 0: all"`
	Layout    string   `yaml:"layout" enum:"|nhwc|nchw" doc:"layout of images in the file"`
	Rescale   *rescale `yaml:"rescale" doc:"x·scale + offset"`
	Reshape   []int    `yaml:"reshape" doc:"shape of one example"`
	Scale     string   `yaml:"scale" enum:"|standard" doc:"standardise features with data.train's mean and deviation"`
}

// rescale is x·Scale + Offset.
type rescale struct {
	Scale  float64 `yaml:"scale" default:"1" doc:"factor"`
	Offset float64 `yaml:"offset" doc:"added after the factor"`
}

// classifier is the model to guard and how it is reached.
type classifier struct {
	Plugin    string         `yaml:"plugin" doc:"shipped or discovered name"`
	Path      string         `yaml:"path" format:"path" doc:"an executable"`
	Command   []string       `yaml:"command" doc:"a program and its arguments"`
	SHA256    string         `yaml:"sha256" doc:"pin: refuse anything else before it runs"`
	Config    map[string]any `yaml:"config" doc:"checked against the plugin's own schema"`
	Train     map[string]any `yaml:"train" doc:"options of the plugin's Fit; absent: config names weights"`
	Gradient  string         `yaml:"gradient" default:"auto" enum:"auto|exact|surrogate|finite_difference|nes" doc:"where gradients come from"`
	Surrogate *surrogate     `yaml:"surrogate" doc:"the stand-in for a model without gradients"`
	// Differences are the options of finite_difference and nes.
	Differences *differences `yaml:"differences" doc:"gradients from queries: finite_difference and nes"`
	Checks      string       `yaml:"checks" default:"strict" enum:"strict|warn|off" doc:"conformance checks at load"`
	Replicas    int          `yaml:"replicas" default:"1" check:">= 1, <= 256" doc:"processes that share the calls"`
	Timeout     float64      `yaml:"timeout" default:"300" check:"> 0" doc:"seconds for one call"`
	Restarts    int          `yaml:"restarts" default:"3" check:">= 0" doc:"crashes tolerated in a run"`
	MemoryMB    int          `yaml:"memory_limit_mb" check:">= 0" doc:"limit of the process's memory (Linux); 0: none"`
	OpenFiles   int          `yaml:"open_files_limit" check:">= 0" doc:"limit of the process's open files (Linux); 0: none"`
	NoNewPriv   bool         `yaml:"no_new_privileges" doc:"the process cannot gain privileges, as by sudo (Linux)"`
}

// surrogate is a small network distilled from a classifier without gradients.
type surrogate struct {
	Layers       []registry.Component `yaml:"layers" kind:"layer" doc:"without the final dense layer"`
	Noise        float64              `yaml:"noise" default:"0.1" check:">= 0" doc:"standard deviation of the noise on half of its queries, as a fraction of a feature's range"`
	RefitEvery   int                  `yaml:"refit_every" default:"1" check:">= 0" doc:"epochs between refits on reconstructions; 0: never"`
	MinAgreement float64              `yaml:"min_agreement" default:"0.9" check:">= 0, <= 1" doc:"top-1 agreement on held-out rows below which it is refused"`
	MaxQueries   int                  `yaml:"max_queries" check:">= 0" doc:"rows sent to the classifier in training, whatever the gradient; 0: no limit"`
	Epochs       int                  `yaml:"epochs" default:"20" check:">= 1" doc:"epochs of distillation"`
}

// differences are gradients from queries.
type differences struct {
	Step  float64 `yaml:"step" check:">= 0, <= 1" doc:"step of central differences and deviation of nes, as a fraction of a feature's range; 0: the smallest that changes the output"`
	Pairs int     `yaml:"pairs" default:"64" check:">= 1" doc:"antithetic pairs of nes"`
}

// autoencoder is the auto-encoder.
type autoencoder struct {
	LatentDim int                  `yaml:"latent_dim" check:">= 1, <= 1048576" doc:"width of the code"`
	Normalize normalize            `yaml:"normalize" default:"none" doc:"none, standard, minmax, or {mean: […], std: […]}"`
	LogVar    string               `yaml:"log_var" default:"linear" enum:"linear|softplus" doc:"activation of the log-variance head"`
	Encoder   []registry.Component `yaml:"encoder" kind:"layer" doc:"layers before the two heads"`
	Decoder   []registry.Component `yaml:"decoder" kind:"layer" doc:"layers from the code to the input's shape"`
	Weights   string               `yaml:"weights" format:"path" doc:"a safetensors file for these layers"`
	From      string               `yaml:"from" format:"path" doc:"a detector whose layers and weights are taken"`
}

// detector says how an input is scored.
type detector struct {
	Method          string               `yaml:"method" default:"vae" enum:"vae|ae|distillation|max_softmax|feature_squeezing|magnet" doc:"kind of detector"`
	Samples         int                  `yaml:"samples" default:"10" check:">= 0, <= 10000" doc:"stored noise draws per instance; 0: one with zero noise"`
	Beta            float64              `yaml:"beta" check:">= 0" doc:"weight of the latent KL term"`
	Score           []registry.Component `yaml:"score" default:"kl" kind:"score" doc:"one score, or a list with fusion"`
	Fusion          string               `yaml:"fusion" enum:"|fisher|cauchy|tippett" doc:"how several scores become one"`
	Temperature     float64              `yaml:"temperature" default:"1" check:"> 0" doc:"sharpens the classifier's prediction on the input: P^(1/T)"`
	DataType        string               `yaml:"data_type" doc:"written to the results' meta: image, tabular"`
	ProbabilityClip float64              `yaml:"probability_clip" check:">= 0, < 1" doc:"floor of probabilities in scores and losses; 0: exact; the references use 1e-7"`
	HiddenLayers    []hidden             `yaml:"hidden_layers" doc:"layers of the classifier that enter loss and score"`
	Student         *student             `yaml:"student" doc:"the network of method distillation"`
}

// hidden is one hidden layer of the classifier that the loss compares.
type hidden struct {
	Name   string  `yaml:"name" required:"true" doc:"name of the layer, as the plugin's Describe gives it"`
	Weight float64 `yaml:"weight" default:"1" check:">= 0" doc:"factor of its KL term"`
	Units  int     `yaml:"units" default:"20" check:">= 2" doc:"outputs of the softmax head"`
	Head   string  `yaml:"head" default:"random" enum:"random|trained" doc:"a fixed random projection, or one trained to predict the class"`
}

// student is a network distilled from the classifier.
type student struct {
	Layers []registry.Component `yaml:"layers" kind:"layer" required:"true" doc:"without the final dense layer"`
}

// training says how the auto-encoder is trained.
type training struct {
	Loss            registry.Component  `yaml:"loss" default:"adversarial" kind:"loss" doc:"what is minimised"`
	Optimizer       registry.Component  `yaml:"optimizer" default:"adam" kind:"optimizer" doc:"update rule"`
	Schedule        *registry.Component `yaml:"learning_rate_schedule" kind:"schedule" doc:"the learning rate over steps"`
	Epochs          int                 `yaml:"epochs" default:"20" check:">= 1" doc:"passes over data.train"`
	BatchSize       int                 `yaml:"batch_size" default:"64" check:">= 1, <= 1048576" doc:"rows per step"`
	ClipNorm        float64             `yaml:"clip_norm" check:">= 0" doc:"limit of the gradient's global norm; 0: none"`
	ClipValue       float64             `yaml:"clip_value" check:">= 0" doc:"limit of each gradient element; 0: none"`
	EarlyStopping   *earlyStopping      `yaml:"early_stopping" doc:"stop when a metric no longer improves; best weights are restored"`
	LogMetrics      []string            `yaml:"log_metrics" kind:"metric" doc:"further metrics to report: see list metric"`
	Recon           string              `yaml:"recon" default:"elbo" enum:"elbo|mse" doc:"form of the reconstruction term"`
	ELBOReduction   string              `yaml:"elbo_reduction" default:"mean" enum:"mean|sum" doc:"reduction over the batch"`
	LatentReduction string              `yaml:"latent_reduction" default:"mean" enum:"mean|sum" doc:"reduction over the code's dimensions"`
	Harden          *harden             `yaml:"harden" doc:"train against attacks on the guarded classifier"`
	InputNoise      float64             `yaml:"input_noise" check:">= 0" doc:"standard deviation of Gaussian noise on the encoder's input"`
	Checkpoint      checkpoint          `yaml:"checkpoint" doc:"how often the run is saved"`
}

// checkpoint says how often a run is saved.
type checkpoint struct {
	Every int `yaml:"every" check:">= 0" doc:"steps between checkpoints; 0: each epoch only"`
}

// earlyStopping watches a metric.
type earlyStopping struct {
	Monitor  string  `yaml:"monitor" default:"val_loss" doc:"val_loss, val_kl, loss, …"`
	Patience int     `yaml:"patience" check:">= 0" doc:"epochs without improvement"`
	MinDelta float64 `yaml:"min_delta" check:">= 0" doc:"smallest change that counts"`
	Mode     string  `yaml:"mode" enum:"|min|max" doc:"which way is better"`
}

// harden is adversarial training of the guard.
type harden struct {
	Norm    string  `yaml:"norm" default:"linf" enum:"linf|l2" doc:"norm of the ball"`
	Eps     float64 `yaml:"eps" required:"true" check:"> 0" doc:"radius, in the input's units"`
	Steps   int     `yaml:"steps" default:"2" check:">= 1" doc:"steps of the inner attack"`
	Through string  `yaml:"through" default:"guard" enum:"guard|classifier" doc:"what the inner attack differentiates"`
	Weight  float64 `yaml:"weight" default:"0.5" check:">= 0, <= 1" doc:"weight of the adversarial half of the loss"`
	Also    []ball  `yaml:"also" doc:"further balls: the rows of a batch take norm and these in turn"`
}

// ball is a set of perturbations.
type ball struct {
	Norm string  `yaml:"norm" default:"linf" enum:"linf|l2" doc:"norm of the ball"`
	Eps  float64 `yaml:"eps" required:"true" check:"> 0" doc:"radius, in the input's units"`
}

// threshold says when an input is flagged: exactly one of FPR, Percentile and
// Value is set.
type threshold struct {
	FPR        *float64 `yaml:"fpr" check:"> 0, < 1" doc:"expected false-alarm rate (split conformal)"`
	Confidence *float64 `yaml:"confidence" check:"> 0, < 1" doc:"with fpr: the rate holds with this probability over calibration sets"`
	Percentile *float64 `yaml:"percentile" check:">= 0, <= 100" doc:"percentile of the calibration scores, numpy's linear interpolation"`
	Value      *float64 `yaml:"value" doc:"the threshold itself"`
}

// normalize is vae.normalize. Mode is none, standard, minmax or given; Mean
// and Std are set for given alone.
type normalize struct {
	Mode      string
	Mean, Std []float64
}

// DecodeValue implements registry.Decoder.
func (n *normalize) DecodeValue(v any) error {
	switch v := v.(type) {
	case string:
		switch v {
		case "none", "standard", "minmax":
			*n = normalize{Mode: v}
			return nil
		}
		return fmt.Errorf("unknown normalization %q; want none, standard, minmax or {mean: […], std: […]}", v)
	case map[string]any:
		mean, err := floats(v["mean"])
		if err != nil {
			return fmt.Errorf("mean: %w", err)
		}
		std, err := floats(v["std"])
		if err != nil {
			return fmt.Errorf("std: %w", err)
		}
		if len(v) != 2 || len(mean) == 0 || len(mean) != len(std) {
			return fmt.Errorf("want {mean: […], std: […]} of equal length")
		}
		for _, s := range std {
			if s <= 0 {
				return fmt.Errorf("std: %g is not positive", s)
			}
		}
		*n = normalize{Mode: "given", Mean: mean, Std: std}
		return nil
	}
	return fmt.Errorf("want none, standard, minmax or {mean: […], std: […]}")
}

// EncodeValue implements registry.Encoder.
func (n normalize) EncodeValue() any {
	if n.Mode == "given" {
		return map[string]any{"mean": n.Mean, "std": n.Std}
	}
	return n.Mode
}

func floats(v any) ([]float64, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]float64, len(list))
	for i, e := range list {
		switch e := e.(type) {
		case int:
			out[i] = float64(e)
		case float64:
			out[i] = e
		default:
			return nil, fmt.Errorf("want numbers, got %v", e)
		}
	}
	return out, nil
}

// Absent implements registry.Absenter.
func (c classifier) Absent() bool { return c.Plugin == "" && c.Path == "" && len(c.Command) == 0 }

// Validate implements registry.Validator.
func (c classifier) Validate() error {
	var faults registry.FieldErrors
	faults.OneOf([]string{"plugin", "path", "command"}, c.Plugin != "", c.Path != "", c.Command != nil)
	return faults.Err()
}

// Validate implements registry.Validator.
func (d *detector) Validate() error {
	if len(d.Score) > 1 && d.Fusion == "" {
		return registry.FieldError{Key: "score", Message: `several scores need "fusion": fisher, cauchy or tippett`}
	}
	return nil
}
