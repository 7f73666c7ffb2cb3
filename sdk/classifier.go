// Package sdk is all that the author of a classifier plugin reads: implement
// [Classifier], and gradients if the model has them, and call [Serve] in main.
// The SDK speaks the protocol, cuts batches to Info.MaxBatch, validates shapes
// and finiteness, recovers panics and ends the process with its host.
package sdk

import (
	"context"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Classifier is all that a plugin must implement. Methods may be called
// concurrently.
type Classifier interface {
	// Info describes the model. Before Configure only Name, Version and the
	// capabilities need to be known.
	Info(ctx context.Context) (Info, error)
	// Predict maps (N, input…) to (N, classes), of the kind that Info
	// declares. It must not keep or change x, and hands over the answer: its
	// memory is not used again. Each row of the answer depends on the same row
	// of x alone.
	Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error)
}

// Differentiable is a Classifier with exact gradients.
type Differentiable interface {
	Classifier
	// Gradient pulls dy, (N, classes), back to the input:
	// dx[n] = Σ_c dy[n, c]·∂output[n, c]/∂x[n], (N, input…). There is no mean
	// over the batch.
	Gradient(ctx context.Context, x, dy *tensor.Tensor) (dx *tensor.Tensor, err error)
}

// Names of a Forwarder's outputs. A hidden layer is HiddenPrefix + its name.
const (
	Output       = "output"
	HiddenPrefix = "hidden/"
)

// Forwarder is the fast path: Forward keeps what the backward pass needs, so
// that a prediction and its gradients cost one forward pass. It may offer
// hidden layers. Gradient and Differentiate are derived from it.
type Forwarder interface {
	Classifier
	// Forward computes the named outputs, each (N, …); no name means Output.
	// The Pullback may be called any number of times until the next Forward
	// of the same goroutine, and then no more. Pullback is nil if the model
	// has no gradient.
	Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, Pullback, error)
}

// Pullback maps cotangents of named outputs, of the outputs' shapes, to their
// summed gradient at x. Outputs that it does not name count as zero.
type Pullback func(ctx context.Context, cotangents map[string]*tensor.Tensor) (dx *tensor.Tensor, err error)

// Configurable is a Classifier that takes settings before its first Predict.
type Configurable interface {
	// Schema is the JSON Schema (draft-07) of Config.JSON. Strings with
	// "format": "path" are relative to Config.BaseDir; "secret": true marks
	// values that must not be written anywhere, "private": true paths of files
	// that belong to the machine, such as keys: they are not packed. "peer": true marks
	// what decides with whom it speaks, such as an address: a detector's user is asked
	// first; "allowance": true what it may take beyond its own limits, such as memory:
	// a detector's is left out.
	Schema() []byte
	// Configure is called once, before Info is asked in full. An error that
	// wraps or is a Diagnostics names the fields at fault.
	Configure(ctx context.Context, c Config) error
}

// Config is what the host knows before the model runs.
type Config struct {
	JSON    []byte // the settings; checked against Schema by the SDK
	BaseDir string // folder for relative paths
	// InputShape is of one example, NHWC for images, as the data has it; nil if
	// unknown. It is channels first if a spec says so of a model that has not
	// declared it: classifier.preprocess.layout.
	InputShape tensor.Shape
	Classes    int // number of classes of the data; 0 if unknown
	Seed       uint64
}

// Trainable is a Classifier that the host may train.
type Trainable interface {
	// Fit trains and writes what a later Configure needs into
	// FitOptions.OutputDir, and nowhere else. Same seed, same bytes. After a
	// nil error the classifier answers with the new weights.
	Fit(ctx context.Context, data TrainingData, o FitOptions) (FitDone, error)
}

// TrainingData are the labelled rows of a Fit, gathered by the SDK.
type TrainingData struct {
	X      *tensor.Tensor // (N, input…), in Info.Layout as Predict's x; NHWC for images if none is declared yet
	Labels []int          // class indices, 0 ≤ label < classes
	// Validation rows may be absent: ValX nil.
	ValX      *tensor.Tensor
	ValLabels []int
}

// FitOptions are what the host asks of one Fit.
type FitOptions struct {
	JSON      []byte // {"epochs": 5, "batch_size": 128, …}: the spec's classifier.train
	Seed      uint64
	OutputDir string
	Progress  func(FitProgress) // never nil
}

// FitProgress is one report from a running Fit.
type FitProgress struct {
	Epoch   int // from 1
	Step    int // from 1, within the epoch
	Steps   int // per epoch
	Metrics map[string]float64
}

// FitDone is the result of a Fit.
type FitDone struct {
	ConfigJSON []byte    // what to Configure with to have the trained model again
	Files      []FitFile // what was written, relative to OutputDir
	Digest     string    // of the model, as Info.Digest
}

// FitFile is one file that a Fit wrote.
type FitFile struct {
	Name   string // slash-separated, relative to OutputDir
	SHA256 string // lower-case hex
}

// OutputKind says what the numbers of Predict are.
type OutputKind int

// The kinds of output. Declare Logits whenever the model has them: gradients
// through saturated probabilities vanish.
const (
	Logits OutputKind = iota + 1
	Probabilities
)

// Layout is the order of an image's dimensions on the wire.
type Layout int

// The layouts.
const (
	Flat Layout = iota + 1 // no image: features
	NHWC
	NCHW
)

// GradientKind says what Gradient answers.
type GradientKind int

// The kinds of gradient.
const (
	NoGradient GradientKind = iota + 1
	ExactGradient
	EstimatedGradient
)

// HiddenLayer is an inner layer that a Forwarder offers as output
// HiddenPrefix + Name.
type HiddenLayer struct {
	Name  string
	Shape tensor.Shape // per example
}

// Info describes a classifier.
type Info struct {
	Name    string
	Version string

	InputShape tensor.Shape // per example, in the order of Layout
	Layout     Layout
	// Lo and Hi are the legal range of an input: one number, one per feature
	// (in the order of Layout), or nothing if unknown.
	Lo, Hi     []float32
	NumClasses int      // 2 or more
	Classes    []string // names, or nothing
	Output     OutputKind
	MaxBatch   int // rows per call; 0: no limit
	Gradient   GradientKind
	Hidden     []HiddenLayer
	Trainable  bool
	// Ready reports whether Predict can be answered: false for a trainable
	// model before its Fit.
	Ready bool
	// BatchInvariant promises that a row's answer has the same bits in any
	// batch.
	BatchInvariant bool
	// Differentiate reports that the Differentiate stream is served.
	Differentiate bool
	Digest        string // "sha256:…" of the weights, or ""
	Schema        []byte // JSON Schema of the config, or nothing
}
