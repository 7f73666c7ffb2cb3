// Package oip serves guards as models of the Open Inference Protocol (KServe and
// Triton V2), over REST and gRPC: rows go in as a tensor or as one tensor a
// column, and verdicts come out, those of `vaeguard detect` bit for bit.
//
// # Inputs
//
// x has raw rows, (n, row…) as files hold them, of any datatype of numbers: it
// means what a .npy file of that dtype means, and a category its value, or its place, from
// 0, where all are words. A table whose columns have names
// takes one tensor a column instead, (n) or (n, 1), in any order: numbers, or BYTES
// for categories; NaN, and null in JSON, where a value is missing. Text by position is
// x of BYTES. p, optional, is the classifier's own answer, (n, classes): it is then
// not asked about the rows again. A column of a table that is called x or p is that
// column.
//
// # Parameters
//
// samples is how many draws of noise are used a row, at most the detector's;
// timeout the microseconds that the answer is waited for.
//
// # Outputs
//
// is_adversarial, predicted, reconstructed and corrected are INT64, instance_score and
// p_value FP64, each of shape (n). On request there are probabilities, (n, classes),
// and reconstruction, (n, row…) as the guard takes rows, both FP32. A score
// that is infinite is null in JSON, and infinite in binary.
package oip

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// Options of the service. The zero value serves without administration, bodies of
// up to 64 MiB, and no deadline but the caller's.
type Options struct {
	// Admin lets callers list, load and unload models of the repository.
	Admin bool
	// MaxBody is the most bytes of a request, compressed or not; 0: 64 MiB.
	MaxBody int64
	// Memory is the most bytes of bodies over REST that are held at once: more of them
	// are told to come back; 0: sixteen times MaxBody.
	Memory int64
	// Deadline is the longest that an inference may take; 0: as long as its caller
	// waits.
	Deadline time.Duration
	// Version of the server, for its metadata.
	Version string
	// Client is who asks, from the context of a request: a name that the caller cannot
	// choose at will. nil: peer, the caller's address without its port.
	Client func(ctx context.Context, peer string) string
	// Leaving is closed when the server is about to stop: it and its models are not ready from then on. nil: nobody says
	// when.
	Leaving <-chan struct{}
	// Draining is closed when it takes nothing new: those who watch its health are told no more. nil: nobody says when.
	Draining <-chan struct{}
}

const (
	defaultBody = 64 << 20
	serverName  = "vaeguard"
)

func (o Options) body() int64 {
	if o.MaxBody > 0 {
		return o.MaxBody
	}
	return defaultBody
}

func (o Options) memory() int64 {
	if o.Memory > 0 {
		return o.Memory
	}
	return 16 * o.body()
}

// service is what both protocols share.
type service struct {
	Options
	models  judge.Models
	held    atomic.Int64 // bytes of bodies
	refused atomic.Int64 // when a request last found no room, in nanoseconds of Unix time; 0: never
}

// admin refuses what only administrators may.
func (s *service) admin() error {
	if s.Admin {
		return nil
	}
	return &fault{status: 403, code: denied, message: "models are listed, loaded and unloaded where the server is administered, which is not here"}
}

// known fails early for a model that cannot answer.
func (s *service) known(name, version string) error {
	_, done, err := s.models.Lease(name, version)
	if err == nil {
		done()
	}
	return err
}

// leaving reports whether the server is about to stop.
func (s *service) leaving() bool {
	select {
	case <-s.Leaving:
		return true
	default:
		return false // also of a nil channel
	}
}

// admit fails early for a model that cannot answer, or has no room for another request.
func (s *service) admit(ctx context.Context, way, peer, name, version string) error {
	m, done, err := s.models.Lease(name, version)
	if err != nil {
		return err
	}
	defer done()
	if err = judge.Admit(ctx, m, way, s.client(ctx, peer)); err != nil {
		s.refused.Store(time.Now().UnixNano())
	}
	return err
}

// full fails early if the bodies that are held have all the memory that they may have.
func (s *service) full() error {
	if s.held.Load() >= s.memory() {
		return &judge.OverloadedError{Reason: "the server holds as many requests as it has memory for", After: time.Second}
	}
	return nil
}

// client is who asks.
func (s *service) client(ctx context.Context, peer string) string {
	if s.Client != nil {
		return s.Client(ctx, peer)
	}
	return peer
}

// ready reports whether each model has a version that is.
func (s *service) ready() bool {
	if s.leaving() {
		return false
	}
	ready := map[string]bool{}
	for _, m := range s.list() {
		ready[m.Name] = ready[m.Name] || m.Ready
	}
	for _, r := range ready {
		if !r {
			return false
		}
	}
	return len(ready) > 0
}

// modelReady reports whether a model is; the error is for one that is not there.
func (s *service) modelReady(name, version string) (bool, error) {
	err := s.known(name, version)
	var unavailable *judge.UnavailableError
	if errors.As(err, &unavailable) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, m := range s.list() { // one that can be leased may yet have its classifier away
		if m.Name == name && (version == "" || m.Version == version) && m.Ready {
			return !s.leaving(), nil
		}
	}
	return false, nil
}

// index are the models that the repository has.
func (s *service) index(ready bool) []judge.Status {
	out := []judge.Status{}
	for _, m := range s.models.List() {
		if m.Ready || !ready {
			out = append(out, m)
		}
	}
	return out
}

// The states of a model in the repository's index.
const (
	stateReady   = "READY"
	stateUnready = "UNAVAILABLE"
)

func stateOf(m judge.Status) string {
	if m.Ready {
		return stateReady
	}
	return stateUnready
}

// infer answers a request. Its errors are those of package judge, and of ctx.
func (s *service) infer(ctx context.Context, way, peer string, r tensors.Request) (tensors.Response, error) {
	samples, _, err := r.Parameters.Int("samples")
	if err == nil && (samples < 0 || samples > 1<<20) {
		err = fmt.Errorf("parameter \"samples\" is %d, want the number of draws, or 0 for the detector's", samples)
	}
	if err != nil {
		return tensors.Response{}, &judge.InputError{Err: err}
	}
	ctx, cancel, err := s.within(ctx, r.Parameters)
	if err != nil {
		return tensors.Response{}, &judge.InputError{Err: err}
	}
	defer cancel()
	m, done, err := s.models.Lease(r.Model, r.Version)
	if err != nil {
		return tensors.Response{}, err
	}
	defer done()
	d := m.Detector()
	wanted, err := choose(d, r.Outputs)
	if err != nil {
		return tensors.Response{}, err
	}
	rows, given, err := readRows(d, r.Inputs)
	if err != nil {
		return tensors.Response{}, err
	}
	verdict, err := m.Judge(ctx, judge.Request{Rows: rows, Given: given, Samples: int(samples), Include: include(wanted), Way: way, Client: s.client(ctx, peer), ID: r.ID})
	if err != nil {
		return tensors.Response{}, err
	}
	out := tensors.Response{Model: m.Name(), Version: m.Version(), ID: r.ID, Outputs: write(verdict, wanted)}
	if samples > 0 {
		out.Parameters = tensors.Parameters{"samples": samples}
	}
	return out, nil
}

// within is the context of a request that names a timeout, in microseconds as
// Triton has it, and of one on a server with a deadline.
func (s *service) within(ctx context.Context, p tensors.Parameters) (context.Context, context.CancelFunc, error) {
	limit := s.Deadline
	micros, ok, err := p.Int("timeout")
	switch {
	case err != nil:
		return nil, nil, err
	case !ok || micros == 0:
	case micros < 0:
		return nil, nil, fmt.Errorf("parameter \"timeout\" is %d, want microseconds", micros)
	case limit == 0 || micros < limit.Microseconds():
		limit = time.Duration(min(micros, int64(time.Hour/time.Microsecond))) * time.Microsecond
	}
	if limit == 0 {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	return ctx, cancel, nil
}

// list are the models by name, and the versions in use: where they can be told without a look at folders, for it is anybody who asks.
func (s *service) list() []judge.Status {
	if m, ok := s.models.(judge.Using); ok {
		return m.Using()
	}
	return s.models.List()
}
