package detect

import (
	"context"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Method is a detection method: where the second opinion on an input comes
// from. It is a component, as a layer is: its exported fields are options, which
// it lends to the section detector, and shapes come in Make.
//
// A method declares its further properties by implementing Coded,
// Hardenable, Checker, Trimmer, Weighted or Titled.
type Method interface {
	// Make builds the opinion for inputs of a shape, with initial params drawn
	// from the seed. An error that is a *vae.PartError has a place in the spec.
	Make(p Parts) (Opinion, error)
	// Scores are the names of the scores, and their fusion, where the spec names
	// none.
	Scores() ([]string, FusionRule)
}

// Parts is what a Method makes its Opinion of.
type Parts struct {
	Input   tensor.Shape // of one example, NHWC
	Classes int          // 0: not known yet, as when a spec is checked
	// Info is the classifier's; nil where none is running, as when a spec is
	// checked or summed up. What needs more than shapes waits until it is there.
	Info *sdk.Info
	// VAE is the spec's section vae, nil if there is none, and Normalizer what
	// its normalize stands for, nil for none.
	VAE        *vae.Section
	Normalizer *vae.Normalizer
	Seed       uint64
}

// Opinion is a Method with its shapes and its params. It never changes in a
// pass, so passes may run at once.
type Opinion interface {
	Form() Form
	// Params are trained, saved and loaded by name; nil: there are none. Names
	// must not begin with noise, hidden., normalize., scale. or gradient., which
	// a detector's file holds besides them.
	Params() []*nn.Param
	// NewPass plans a pass on an engine that the caller closes.
	NewPass(e *kernel.Engine) Pass
}

// Form says what a pass makes of each input. The zero Form is that of no
// opinion.
//
// An opinion that predicts by itself reconstructs nothing. One with a code has one
// reconstruction, or one for each draw of noise if it is Noisy.
type Form struct {
	// Rebuilt is the number of other versions of an input that the classifier
	// is asked about, ≥ 0.
	Rebuilt int
	// Logits says that the pass predicts by itself: logits of the input.
	Logits bool
	// Code is the width of the code of the versions, which results may
	// include; 0: none.
	Code int
}

// Second is a second opinion on n inputs with s versions each, as a pass fills
// it in. What the Form does not have is nil, and so is what is not asked for.
type Second struct {
	Rebuilt *tensor.Tensor // (n·s, example…), version j of input i at row i·s + j
	Logits  *tensor.Tensor // (n, classes)
	Code    *tensor.Tensor // (n, code)

	ctx context.Context // whose steps are told; nil: none are
}

// Pass is an Opinion at work, for one goroutine. It keeps nothing between
// calls, and rows do not depend on their batch: the same input has the same
// bits in any.
type Pass interface {
	// Forward writes the opinion on x, (n, example…), to s. noise is that of a
	// Noisy opinion, (s, code), or nil, which stands for no noise and one
	// version; others ignore it.
	Forward(s *Second, x, noise *tensor.Tensor)
	// Backward adds to dx what comes back to x from d, gradients at what Forward
	// writes for the same x and noise; d.Code is nil. It may overwrite d.
	Backward(dx *tensor.Tensor, d *Second, x, noise *tensor.Tensor)
}

// Noisy is an Opinion whose versions depend on noise ε_1 … ε_s of the code's
// width, N(0, 1), which a detector draws once and keeps.
type Noisy interface {
	Opinion
	DrawNoise(seed uint64) *tensor.Tensor // (s, code), s ≥ 1
}

// Fitter is an Opinion that is trained. Others are ready as they are made.
type Fitter interface {
	Opinion
	// Fit trains the params. s is the spec's section train, nil if there is
	// none; o has it, and all that a training works on but for what is the
	// opinion's own, such as its network.
	Fit(ctx context.Context, s *train.Section, o train.Options) (*train.Result, error)
}

// Approximate is an Opinion, or a Score, whose way back is not a gradient: where its versions
// have no useful one, it stands in for it (BPDA: Athalye, Carlini and Wagner
// 2018, arXiv:1802.00420).
type Approximate interface{ Approximate() bool }

// Described is an Opinion with layers to list.
type Described interface{ Describe() []nn.LayerInfo }

// Coded is a Method whose opinion is that of the auto-encoder in the spec's
// section vae, which it requires.
type Coded interface{ Coding() vae.Coding }

// Hardenable is a Method whose training knows the option harden.
type Hardenable interface{ Hardenable() bool }

// Checker is a Method that depends on other sections of the spec than its own
// options. Check finds faults before anything is read or started; keys are
// those of the whole spec: train.harden. Sections may be nil.
type Checker interface {
	Check(code *vae.Section, training *train.Section) registry.FieldErrors
}

// Trimmer is a Method with options that its training does not depend on:
// Trimmed is the method without them, to find out whether a training
// can be reused.
type Trimmer interface{ Trimmed() Method }

// Weighted is a Method whose params begin as those of a safetensors file, where its
// options name one: key is the option's place in the spec, such as
// detector.student.weights, and file its value; "" for none.
type Weighted interface{ Weights() (key, file string) }

// Titled is a Method with a name of its own in results, that of other
// libraries: AdversarialVAE.
type Titled interface{ Title() string }

// None is the opinion of a method without one: its scores read only what the
// classifier says of the input.
type None struct{}

// Form implements Opinion.
func (None) Form() Form { return Form{} }

// Params implements Opinion.
func (None) Params() []*nn.Param { return nil }

// NewPass implements Opinion.
func (None) NewPass(*kernel.Engine) Pass { return nonePass{} }

type nonePass struct{}

func (nonePass) Forward(*Second, *tensor.Tensor, *tensor.Tensor)                  {}
func (nonePass) Backward(*tensor.Tensor, *Second, *tensor.Tensor, *tensor.Tensor) {}
