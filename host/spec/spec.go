// Package spec reads the YAML file that declares an experiment: strictly, with
// file, line and column in every error and all errors at once. It is the only
// importer of a YAML library.
package spec

import "github.com/vaeguard/vaeguard/host/registry"

// Spec is one declared experiment, defaults filled in. Pointers are nil where
// a section is absent. Field tags are those of package registry, and
// default:"…", the value in YAML that an absent key stands for.
type Spec struct {
	APIVersion  string               `yaml:"api_version" enum:"vaeguard/v1" required:"true" doc:"format of this file"`
	Kind        string               `yaml:"kind" enum:"Experiment" required:"true" doc:"what the file declares"`
	Name        string               `yaml:"name" required:"true" doc:"names the run"`
	Seed        uint64               `yaml:"seed" doc:"of every random choice; same seed, same bits"`
	Compat      string               `yaml:"compat" enum:"|alibi_detect_0_2_0" doc:"short for the options that reproduce a reference implementation"`
	Data        Data                 `yaml:"data" doc:"rows by role"`
	Classifier  Classifier           `yaml:"classifier" doc:"the model to guard"`
	VAE         *VAE                 `yaml:"vae" doc:"the auto-encoder"`
	Detector    Detector             `yaml:"detector" doc:"how an input is scored"`
	Train       *Train               `yaml:"train" doc:"how the auto-encoder is trained; absent: used as it is"`
	Threshold   *Threshold           `yaml:"threshold" doc:"when an input is flagged"`
	Attacks     []registry.Component `yaml:"attacks" kind:"attack" doc:"attacks that run and evaluate use"`
	Corruptions []registry.Component `yaml:"corruptions" kind:"corruption" doc:"natural corruptions that evaluate measures false alarms on"`
	Evaluate    Evaluate             `yaml:"evaluate" doc:"how much evaluate does"`

	source *Source
}

// Evaluate bounds the cost of an evaluation.
type Evaluate struct {
	Limit     int    `yaml:"limit" check:">= 0" doc:"class-balanced number of test rows to attack; 0: all"`
	Adaptive  int    `yaml:"adaptive_limit" check:">= 0" doc:"the same for attacks on the guard; 0: 200"`
	CurveRows int    `yaml:"curve_rows" check:">= -1" doc:"rows of the security curves; 0: 200, -1: no curves"`
	Bootstrap int    `yaml:"bootstrap" check:">= 0" doc:"resamples for confidence intervals; 0: 1000"`
	Transfer  string `yaml:"transfer_from" format:"path" doc:"detector from whose guard adaptive attacks are transferred"`
}

// Data names the rows of each role.
type Data struct {
	Train        *DataSource `yaml:"train" doc:"trains the auto-encoder (and a trainable classifier)"`
	Validation   *DataSource `yaml:"validation" doc:"validation metrics and early stopping"`
	Calibration  *DataSource `yaml:"calibration" doc:"sets the threshold: clean, held out, drawn like the data to come"`
	Test         *DataSource `yaml:"test" doc:"judges the detector"`
	AllowOverlap bool        `yaml:"allow_overlap" doc:"rows may serve two roles"`
}

// DataSource is where rows come from: one of dataset, file, folder, idx, cifar10.
type DataSource struct {
	Dataset   string   `yaml:"dataset" kind:"dataset" doc:"a named set: see list dataset"`
	File      string   `yaml:"file" format:"path" doc:".npy, .npz, .csv or .parquet"`
	Folder    string   `yaml:"folder" format:"path" doc:"of images, a subfolder a class"`
	IDX       string   `yaml:"idx" format:"path" doc:"IDX images, .gz or plain"`
	CIFAR10   string   `yaml:"cifar10" format:"path" doc:"folder of CIFAR-10's binary batches"`
	X         string   `yaml:"x" doc:"key of the inputs in a .npz (x, or the only array)"`
	Labels    string   `yaml:"labels" doc:"labels: a file, or a key of the same .npz"`
	Y         string   `yaml:"y" doc:"key of the labels in the same .npz"`
	Label     string   `yaml:"label" doc:"column of the labels in a table"`
	Split     string   `yaml:"split" enum:"|train|validation|calibration|test" doc:"official split, or part of a stratified 60/10/15/15 partition; absent: all rows in file order"`
	SplitSeed uint64   `yaml:"split_seed" doc:"of the partition's permutation"`
	Range     []int    `yaml:"range" doc:"[a, b]: rows a ≤ i < b of what split gave"`
	Limit     int      `yaml:"limit" check:">= 0" doc:"a class-balanced number of rows; 0: all"`
	Layout    string   `yaml:"layout" enum:"|nhwc|nchw" doc:"of images in the file"`
	Rescale   *Rescale `yaml:"rescale" doc:"x·scale + offset"`
	Reshape   []int    `yaml:"reshape" doc:"shape of one example"`
	Scale     string   `yaml:"scale" enum:"|standard" doc:"standardise features with data.train's mean and deviation"`
}

// Rescale is x·Scale + Offset.
type Rescale struct {
	Scale  float64 `yaml:"scale" default:"1" doc:"factor"`
	Offset float64 `yaml:"offset" doc:"added after the factor"`
}

// Classifier is the model to guard and how it is reached.
type Classifier struct {
	Plugin    string         `yaml:"plugin" doc:"shipped or discovered name"`
	Path      string         `yaml:"path" format:"path" doc:"an executable"`
	Command   []string       `yaml:"command" doc:"a program and its arguments"`
	SHA256    string         `yaml:"sha256" doc:"pin: refuse anything else before it runs"`
	Config    map[string]any `yaml:"config" doc:"checked against the plugin's own schema"`
	Train     map[string]any `yaml:"train" doc:"options of the plugin's Fit; absent: config names weights"`
	Gradient  string         `yaml:"gradient" default:"auto" enum:"auto|exact|surrogate|finite_difference|nes" doc:"where gradients come from"`
	Surrogate *Surrogate     `yaml:"surrogate" doc:"the stand-in for a model without gradients"`
	// Differences are the options of finite_difference and nes.
	Differences *Differences `yaml:"differences" doc:"gradients from queries: finite_difference and nes"`
	Checks      string       `yaml:"checks" default:"strict" enum:"strict|warn|off" doc:"conformance checks at load"`
	Replicas    int          `yaml:"replicas" default:"1" check:">= 1, <= 256" doc:"processes that share the calls"`
	Timeout     float64      `yaml:"timeout" default:"300" check:"> 0" doc:"seconds for one call"`
	Restarts    int          `yaml:"restarts" default:"3" check:">= 0" doc:"crashes that a run survives"`
	MemoryMB    int          `yaml:"memory_limit_mb" check:">= 0" doc:"limit of the process's memory (Linux); 0: none"`
	OpenFiles   int          `yaml:"open_files_limit" check:">= 0" doc:"limit of the process's open files (Linux); 0: none"`
	NoNewPriv   bool         `yaml:"no_new_privileges" doc:"the process cannot gain privileges, as by sudo (Linux)"`
}

// Surrogate is a small network distilled from a classifier without gradients.
type Surrogate struct {
	Layers       []registry.Component `yaml:"layers" kind:"layer" doc:"without the final dense layer"`
	Noise        float64              `yaml:"noise" default:"0.1" check:">= 0" doc:"standard deviation of the noise on half of its queries, in shares of a feature's range"`
	RefitEvery   int                  `yaml:"refit_every" default:"1" check:">= 0" doc:"epochs between refits on reconstructions; 0: never"`
	MinAgreement float64              `yaml:"min_agreement" default:"0.9" check:">= 0, <= 1" doc:"top-1 agreement on held-out rows below which it is refused"`
	MaxQueries   int                  `yaml:"max_queries" check:">= 0" doc:"rows sent to the classifier in training, whatever the gradient; 0: no limit"`
	Epochs       int                  `yaml:"epochs" default:"20" check:">= 1" doc:"of distillation"`
}

// DefaultSurrogate is what an empty section classifier.surrogate means.
func DefaultSurrogate() Surrogate {
	return Surrogate{Noise: 0.1, RefitEvery: 1, MinAgreement: 0.9, Epochs: 20}
}

// Differences are gradients from queries.
type Differences struct {
	Step  float64 `yaml:"step" check:">= 0, <= 1" doc:"of central differences, and deviation of nes, in shares of a feature's range; 0: the least that reaches the answer"`
	Pairs int     `yaml:"pairs" default:"64" check:">= 1" doc:"antithetic pairs of nes"`
}

// VAE is the auto-encoder.
type VAE struct {
	LatentDim int                  `yaml:"latent_dim" check:">= 1, <= 1048576" doc:"width of the code"`
	Normalize Normalize            `yaml:"normalize" default:"none" doc:"none, standard, minmax, or {mean: […], std: […]}"`
	LogVar    string               `yaml:"log_var" default:"linear" enum:"linear|softplus" doc:"activation of the log-variance head"`
	Encoder   []registry.Component `yaml:"encoder" kind:"layer" doc:"layers before the two heads"`
	Decoder   []registry.Component `yaml:"decoder" kind:"layer" doc:"layers from the code to the input's shape"`
	Weights   string               `yaml:"weights" format:"path" doc:"a safetensors file for these layers"`
	From      string               `yaml:"from" format:"path" doc:"a detector whose layers and weights are taken"`
}

// Detector says how an input is scored.
type Detector struct {
	Method          string               `yaml:"method" default:"vae" enum:"vae|ae|distillation|max_softmax|feature_squeezing|magnet" doc:"kind of detector"`
	Samples         int                  `yaml:"samples" default:"10" check:">= 0, <= 10000" doc:"stored noise draws per instance; 0: one with zero noise"`
	Beta            float64              `yaml:"beta" check:">= 0" doc:"weight of the latent KL term"`
	Score           []registry.Component `yaml:"score" default:"kl" kind:"score" doc:"one score, or a list with fusion"`
	Fusion          string               `yaml:"fusion" enum:"|fisher|cauchy|tippett" doc:"how several scores become one"`
	Temperature     float64              `yaml:"temperature" default:"1" check:"> 0" doc:"sharpens the classifier's prediction on the input: P^(1/T)"`
	DataType        string               `yaml:"data_type" doc:"written to the results' meta: image, tabular"`
	ProbabilityClip float64              `yaml:"probability_clip" check:">= 0, < 1" doc:"floor of probabilities in scores and losses; 0: exact; the references use 1e-7"`
	HiddenLayers    []Hidden             `yaml:"hidden_layers" doc:"layers of the classifier that enter loss and score"`
	Student         *Student             `yaml:"student" doc:"the network of method distillation"`
}

// Hidden is one hidden layer of the classifier that the loss compares.
type Hidden struct {
	Name   string  `yaml:"name" required:"true" doc:"as the plugin's Describe gives it"`
	Weight float64 `yaml:"weight" default:"1" check:">= 0" doc:"factor of its KL term"`
	Units  int     `yaml:"units" default:"20" check:">= 2" doc:"outputs of the softmax head"`
	Head   string  `yaml:"head" default:"random" enum:"random|trained" doc:"a fixed random projection, or one trained to predict the class"`
}

// Student is a network distilled from the classifier.
type Student struct {
	Layers []registry.Component `yaml:"layers" kind:"layer" required:"true" doc:"without the final dense layer"`
}

// Train says how the auto-encoder is trained.
type Train struct {
	Loss            registry.Component  `yaml:"loss" default:"adversarial" kind:"loss" doc:"what is minimised"`
	Optimizer       registry.Component  `yaml:"optimizer" default:"adam" kind:"optimizer" doc:"how"`
	Schedule        *registry.Component `yaml:"learning_rate_schedule" kind:"schedule" doc:"the learning rate over steps"`
	Epochs          int                 `yaml:"epochs" default:"20" check:">= 1" doc:"passes over data.train"`
	BatchSize       int                 `yaml:"batch_size" default:"64" check:">= 1, <= 1048576" doc:"rows per step"`
	ClipNorm        float64             `yaml:"clip_norm" check:">= 0" doc:"limit of the gradient's global norm; 0: none"`
	ClipValue       float64             `yaml:"clip_value" check:">= 0" doc:"limit of each gradient element; 0: none"`
	EarlyStopping   *EarlyStopping      `yaml:"early_stopping" doc:"stop when a metric no longer improves; best weights are restored"`
	LogMetrics      []string            `yaml:"log_metrics" kind:"metric" doc:"further metrics to report: see list metric"`
	Recon           string              `yaml:"recon" default:"elbo" enum:"elbo|mse" doc:"form of the reconstruction term"`
	ELBOReduction   string              `yaml:"elbo_reduction" default:"mean" enum:"mean|sum" doc:"over the batch"`
	LatentReduction string              `yaml:"latent_reduction" default:"mean" enum:"mean|sum" doc:"over the code's dimensions"`
	Harden          *Harden             `yaml:"harden" doc:"train against attacks on the guard itself"`
	InputNoise      float64             `yaml:"input_noise" check:">= 0" doc:"standard deviation of Gaussian noise on the encoder's input"`
	Checkpoint      Checkpoint          `yaml:"checkpoint" doc:"how often the run is saved"`
}

// Checkpoint says how often a run is saved.
type Checkpoint struct {
	Every int `yaml:"every" check:">= 0" doc:"steps between checkpoints; 0: each epoch only"`
}

// EarlyStopping watches a metric.
type EarlyStopping struct {
	Monitor  string  `yaml:"monitor" default:"val_loss" doc:"val_loss, val_kl, loss, …"`
	Patience int     `yaml:"patience" check:">= 0" doc:"epochs without improvement"`
	MinDelta float64 `yaml:"min_delta" check:">= 0" doc:"smallest change that counts"`
	Mode     string  `yaml:"mode" enum:"|min|max" doc:"which way is better"`
}

// Harden is adversarial training of the guard.
type Harden struct {
	Norm    string  `yaml:"norm" default:"linf" enum:"linf|l2" doc:"of the ball"`
	Eps     float64 `yaml:"eps" required:"true" check:"> 0" doc:"radius, in the input's units"`
	Steps   int     `yaml:"steps" default:"2" check:">= 1" doc:"of the inner attack"`
	Through string  `yaml:"through" default:"guard" enum:"guard|classifier" doc:"what the inner attack differentiates"`
	Weight  float64 `yaml:"weight" default:"0.5" check:">= 0, <= 1" doc:"share of the adversarial half of the loss"`
	Also    []Ball  `yaml:"also" doc:"further balls: the rows of a batch take norm and these in turn"`
}

// Ball is a set of perturbations.
type Ball struct {
	Norm string  `yaml:"norm" default:"linf" enum:"linf|l2" doc:"of the ball"`
	Eps  float64 `yaml:"eps" required:"true" check:"> 0" doc:"radius, in the input's units"`
}

// Threshold says when an input is flagged: exactly one of FPR, Percentile and
// Value is set.
type Threshold struct {
	FPR        *float64 `yaml:"fpr" check:"> 0, < 1" doc:"expected false-alarm rate (split conformal)"`
	Confidence *float64 `yaml:"confidence" check:"> 0, < 1" doc:"with fpr: the rate holds with this probability over calibration sets"`
	Percentile *float64 `yaml:"percentile" check:">= 0, <= 100" doc:"of the calibration scores, numpy's linear interpolation"`
	Value      *float64 `yaml:"value" doc:"the threshold itself"`
}

// Normalize is vae.normalize. Mode is none, standard, minmax or given; Mean
// and Std are set for given alone.
type Normalize struct {
	Mode      string
	Mean, Std []float64
}
