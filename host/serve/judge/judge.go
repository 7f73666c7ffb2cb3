// Package judge is what every way into the server shares: a request of rows, the
// model that judges it, those who watch, and the errors that each protocol words
// in its own way. It knows of no protocol.
package judge

import (
	"context"
	"time"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Request is rows of one caller that are judged together. Its answer is the one
// that `vaeguard detect` gives for the same rows, bit for bit, whatever other
// requests they share a batch with.
type Request struct {
	// Rows are as the guard takes them: what Detector.Prepare or Read gives.
	Rows *dataset.Data
	// Given is the classifier's answer on Rows, (n, classes), of the kind that
	// its Info says; nil: the classifier is asked.
	Given *tensor.Tensor
	// Again says that somebody has answered about the rows already, so that what the classifier is asked about them
	// counts as extra.
	Again bool
	// Samples is how many draws of noise are used for a row, at most the
	// detector's; 0: the detector's. Fewer cost less and are another statistic
	// than the one that was calibrated: answers say so.
	Samples int
	Include detect.Include
	// Optional says that nobody waits for the verdict: of such requests a share is
	// judged, within a budget of rows, and the others are a *SkippedError.
	Optional bool
	Way      string // how it came: http, grpc, proxy, events, library
	Client   string // who asks: a name that the caller cannot choose at will; "": unknown
	ID       string // of the request, echoed; "": none
}

// N is the number of rows.
func (r Request) N() int { return r.Rows.X.N() }

// Model is one version of a guard that is ready. It may be used concurrently.
type Model interface {
	Name() string
	Version() string
	// Detector says what rows are (Signature, InputShape), how they are prepared
	// and what classes there are. Callers judge by Judge and not by its Detect,
	// which would go around batching, limits and watchers.
	Detector() *host.Detector
	// Judge answers a request, or fails by one of this package's errors, or by
	// that of ctx. It returns as soon as ctx is done.
	Judge(ctx context.Context, r Request) (*detect.Result, error)
}

// Bounded is a Model that knows before it has a request whether there is room for one: a *Guard. Ways in ask before
// they read a body and before they decode it, so that refusing costs next to nothing when there is much to refuse.
type Bounded interface {
	// Admit fails as Judge would, for want of room or time or for the client's share, whatever the rows of a request
	// are; watchers hear of it. way and client are as in Request. That it does not fail promises nothing.
	Admit(ctx context.Context, way, client string) error
}

// Admit asks a model that is Bounded. Others have room.
func Admit(ctx context.Context, m Model, way, client string) error {
	if b, ok := m.(Bounded); ok {
		return b.Admit(ctx, way, client)
	}
	return nil
}

// Models are the models of a server, by name and version.
type Models interface {
	// Lease is a model that stays open until done is called, even if another
	// version takes its place meanwhile. version "": the one in use. What is not
	// there is a *NotFoundError, what is not ready an *UnavailableError.
	Lease(name, version string) (m Model, done func(), err error)
	// List are all that the server knows of, by name and version.
	List() []Status
	// Load opens the newest version of a model beside the one in use and puts it
	// in its place once its canaries gave their known bits. After an error the
	// old one stays.
	Load(ctx context.Context, name string) error
	// Unload drains a model and closes it.
	Unload(ctx context.Context, name string) error
}

// Using are Models that tell at once which versions are in use, where List has to look at folders for the others.
type Using interface {
	// Using is List without versions that are not in use: each model is in it once.
	Using() []Status
}

// Status is the state of a version of a model.
type Status struct {
	Name, Version string
	Ready         bool
	Reason        string // why it is not ready; "": it is
}

// Watcher hears of every request that was judged or failed. It must be quick, and
// may be called concurrently. It keeps neither Request nor Result.
type Watcher interface {
	Judged(e Event)
}

// Admitter is a Watcher that is asked about every request before it is judged, and may refuse it.
type Admitter interface {
	// Admit refuses a request by one of this package's errors; nil: it may be judged. It is as quick as Judged.
	Admit(m Model, r Request) error
}

// Opener is a Watcher that also hears of the models themselves.
type Opener interface {
	// Opened is told of a version before its first request; it is in use from then on, and
	// the one before it only answers what it has.
	Opened(m Model)
	// Closed is told of a version after its last request, which may yet be on its way to
	// Judged.
	Closed(m Model)
}

// Event is one request, after it.
type Event struct {
	Model   Model
	Request Request        // its Rows are nil if it was refused before it was read
	Result  *detect.Result // nil after an error
	Err     error
	Start   time.Time
	Queued  time.Duration // before its batch began
	Took    time.Duration // from Start to the answer
	Batch   int           // rows of the batch that it was judged in
	Extra   int           // rows that the guarded classifier was asked for, on top of the user's own
}

// NotFoundError is of a model or version that the server does not have.
type NotFoundError struct{ Name, Version string }

// Error names what is not there.
func (e *NotFoundError) Error() string {
	if e.Version == "" {
		return "there is no model " + quote(e.Name)
	}
	return "model " + quote(e.Name) + " has no version " + quote(e.Version)
}

// UnavailableError is of a model that cannot answer now: it is starting, draining,
// or its classifier is away. The request may be sent again.
type UnavailableError struct {
	Reason string
	Err    error // nil: none
	After  time.Duration
}

// Error is the reason, which any client may read. The cause, which may name files
// and have a plugin's last lines, is for the log.
func (e *UnavailableError) Error() string { return e.Reason }

// Unwrap is the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// OverloadedError is of a request that was refused while its deadline could still
// be met elsewhere: the queue is full, or the client has used its share.
type OverloadedError struct {
	Reason string
	Client bool          // it is the client's share that is used up
	After  time.Duration // when to try again
}

// Error is the reason.
func (e *OverloadedError) Error() string { return e.Reason }

// SkippedError is of an optional request that was not judged: the sample or the
// budget leaves it out.
type SkippedError struct {
	Reason string
	Budget bool // it is the budget; else the sample
}

// Error is the reason.
func (e *SkippedError) Error() string { return e.Reason }

// FailedError is of a request that failed for no fault of its own, and would
// perhaps fail again.
type FailedError struct{ Err error }

// Error says no more than that: the cause is for the log.
func (e *FailedError) Error() string { return "judging failed" }

// Unwrap is the cause.
func (e *FailedError) Unwrap() error { return e.Err }

// InputError is of a request that no server could answer: a shape, a type or a
// value that the guard does not take.
type InputError struct {
	Input string // name of the tensor or field; "": the whole request
	Err   error
}

// Error names the input and what is wrong with it.
func (e *InputError) Error() string {
	if e.Input == "" {
		return e.Err.Error()
	}
	return "input " + quote(e.Input) + ": " + e.Err.Error()
}

// Unwrap is what is wrong.
func (e *InputError) Unwrap() error { return e.Err }
