// Package oip is the classifier of the plugin oip: a model on a server that
// speaks the Open Inference Protocol, version 2 (Triton, KServe, MLServer and
// others), over REST, with binary tensors where the server has them, or gRPC.
// It answers and has no gradients.
//
// Configure asks the server for the model's metadata and tries two rows; then a
// Predict is a request, or several if there are more rows than fit. Whatever
// comes back is checked before it is believed: its size before it is read, its
// datatype and shape before it is decoded, each number for being finite.
package oip

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Name and Version are the plugin's.
const (
	Name    = "oip"
	Version = "1.0.0"
)

// Classifier is a model on a server. Its methods may be called concurrently.
type Classifier struct {
	mu   sync.RWMutex
	info sdk.Info
	link *link // nil before Configure
}

// New is an unconfigured classifier.
func New() sdk.Classifier { return &Classifier{info: blank()} }

func blank() sdk.Info {
	return sdk.Info{Name: Name, Version: Version, Output: sdk.Logits, Gradient: sdk.NoGradient, Schema: []byte(schema)}
}

// Schema implements sdk.Configurable.
func (c *Classifier) Schema() []byte { return []byte(schema) }

// Configure implements sdk.Configurable: it asks the server for the model and
// tries it.
func (c *Classifier) Configure(ctx context.Context, config sdk.Config) error {
	if err := sdk.CheckConfig([]byte(schema), config.JSON); err != nil {
		return err
	}
	s, err := readSettings(config)
	if err != nil {
		return err
	}
	l, info, err := connect(ctx, config, s)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.link.transport.close()
	}
	c.link, c.info = l, info
	return nil
}

// Info implements sdk.Classifier.
func (c *Classifier) Info(context.Context) (sdk.Info, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	info := c.info
	info.InputShape, info.Classes, info.Schema = info.InputShape.Clone(), slices.Clone(info.Classes), bytes.Clone(info.Schema)
	info.Lo, info.Hi = slices.Clone(info.Lo), slices.Clone(info.Hi)
	return info, nil
}

// Predict implements sdk.Classifier.
func (c *Classifier) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	c.mu.RLock()
	l, info := c.link, c.info
	c.mu.RUnlock()
	if l == nil {
		return nil, sdk.Errorf(sdk.FailedPrecondition, "%s: not configured", Name)
	}
	if !x.Example().Equal(info.InputShape) {
		return nil, sdk.Errorf(sdk.InvalidArgument, "%s: rows are %v, want %v", Name, x.Example(), info.InputShape)
	}
	y := tensor.New(x.N(), info.NumClasses)
	for lo := 0; lo < x.N(); lo += info.MaxBatch {
		hi := min(lo+info.MaxBatch, x.N())
		a, err := l.ask(ctx, x.Rows(lo, hi))
		if err != nil {
			return nil, err
		}
		spread(y.Rows(lo, hi).Data, a, info.Output)
	}
	return y, nil
}

// spread copies an answer. One column is that of the second of two classes.
func spread(dst []float32, a *answer, kind sdk.OutputKind) {
	if a.columns > 1 {
		copy(dst, a.values)
		return
	}
	for i, v := range a.values {
		dst[2*i], dst[2*i+1] = 0, v
		if kind == sdk.Probabilities {
			dst[2*i] = 1 - v
		}
	}
}

// security reads the files of TLS; nil without TLS.
func (s *settings) security(config sdk.Config) (*tls.Config, error) {
	if !s.tls() {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if s.CA != "" {
		pem, err := os.ReadFile(config.Path(s.CA))
		if err != nil {
			return nil, diagnose("/ca_file", "%v", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, diagnose("/ca_file", "%s holds no certificate in PEM", s.CA)
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(config.Path(s.Cert), config.Path(s.Key))
		if err != nil {
			return nil, diagnose("/cert_file", "%v", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// digest is of what says which function it is: the server does not tell its
// weights.
func digest(s *settings, d *description, p *plan, kind sdk.OutputKind) string {
	versions := d.versions
	if s.Version != "" {
		versions = []string{s.Version}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %v %v", s.Model, versions, p.input, p.output, p.row, kind))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// dial makes the transport; it does not connect yet.
func dial(s *settings, config sdk.Config) (transport, error) {
	secure, err := s.security(config)
	if err != nil {
		return nil, err
	}
	if s.grpc() {
		return newRemote(s, secure)
	}
	return newREST(s, secure), nil
}

// connect finds the model and tries it.
func connect(ctx context.Context, config sdk.Config, s *settings) (_ *link, _ sdk.Info, err error) {
	t, err := dial(s, config)
	if err != nil {
		return nil, sdk.Info{}, err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	l := &link{transport: t, caller: newCaller(s, config.Seed), nearest: s.Rounding == "nearest"}
	d, err := t.describe(ctx, l.caller)
	var gone missing
	switch {
	case errors.As(err, &gone):
		return nil, sdk.Info{}, sdk.Diagnostics{{Pointer: "/model", Message: err.Error()}}
	case err != nil:
		return nil, sdk.Info{}, err
	case !d.ready:
		return nil, sdk.Info{}, sdk.Errorf(sdk.FailedPrecondition, "%s, %s: the server reports that it is not ready", l.caller.server, l.caller.model)
	}
	p, err := s.plan(d, config.InputShape)
	if err != nil {
		return nil, sdk.Info{}, err
	}
	l.plan = p
	r, isREST := t.(*rest)
	if isREST && s.Encoding == "auto" {
		r.binary = d.binary
	}
	a, x, err := l.try(ctx, s)
	if k := sdk.KindOf(err); isREST && r.binary && s.Encoding == "auto" && (k == sdk.InvalidArgument || k == sdk.Internal) && ctx.Err() == nil {
		r.binary = false // announced, but not to be had
		if again, _, second := l.try(ctx, s); second == nil {
			a, err = again, nil
		}
	}
	if err != nil {
		return nil, sdk.Info{}, err
	}
	info, err := s.describe(config, a, x.N())
	if err != nil {
		return nil, sdk.Info{}, err
	}
	l.columns = a.columns
	info.InputShape, info.Layout, info.MaxBatch = p.wire.Clone(), p.order, p.most
	info.Digest = digest(s, d, p, info.Output)
	return l, info, nil
}

var (
	_ sdk.Classifier   = (*Classifier)(nil)
	_ sdk.Configurable = (*Classifier)(nil)
)
