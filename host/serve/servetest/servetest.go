// Package servetest is what tests of the server guard: a small detector around a
// classifier that a test can slow down, kill, or take away while it is asked.
package servetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// plugin is the name of the classifier.
const plugin = "controlled"

// Components are c and the classifier. A test's TestMain serves them, by
// host.ServeIfPlugin.
func Components(c host.Components) host.Components {
	c.Classifiers = c.Classifiers.With(registry.Entry[launch.Shipped]{
		Name: plugin, Default: launch.Shipped{New: func() sdk.Classifier { return newControlled() }}, Doc: "A classifier that a test controls."})
	return c
}

// The ways of the classifier, from the next call on.
const (
	Works  = ""
	Away   = "away"   // it answers that its server is away
	Crash  = "crash"  // its process ends in the call
	Hang   = "hang"   // it does not answer
	Hold   = "hold"   // it answers once its way is another
	Refuse = "refuse" // it refuses rows whose first number is over 1
	Trace  = "trace"  // it notes the traceparents that it is asked with: Parents
)

// Slow is the way of one that takes a while for each call.
func Slow(d time.Duration) string { return "slow " + d.String() }

// controlled is a fake that does what a file says.
type controlled struct {
	*sdktest.Fake
	File string `json:"file"`
	Salt uint64 `json:"salt"`
}

func newControlled() *controlled {
	return &controlled{Fake: &sdktest.Fake{Shape: tensor.Shape{64}, Classes: 10, Seed: 3}}
}

// Schema implements sdk's config.
func (*controlled) Schema() []byte {
	return []byte(`{"type": "object", "additionalProperties": false, "properties": {"file": {"type": "string", "description": "what it does"}, "salt": {"type": "integer", "description": "another model"}}}`)
}

// Info adds the schema.
func (c *controlled) Info(ctx context.Context) (sdk.Info, error) {
	i, err := c.Fake.Info(ctx)
	i.Name, i.Version, i.Schema = plugin, "1", c.Schema()
	return i, err
}

// Configure reads the config.
func (c *controlled) Configure(_ context.Context, conf sdk.Config) error {
	if len(conf.JSON) == 0 {
		return nil
	}
	if err := json.Unmarshal(conf.JSON, c); err != nil {
		return err
	}
	c.Seed = 3 + c.Salt
	return nil
}

// Predict does what the file says, and answers.
func (c *controlled) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if err := c.behave(ctx, x); err != nil {
		return nil, err
	}
	return c.Fake.Predict(ctx, x)
}

// Forward does what the file says, and answers.
func (c *controlled) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	if err := c.behave(ctx, x); err != nil {
		return nil, nil, err
	}
	return c.Fake.Forward(ctx, x, outputs...)
}

func (c *controlled) behave(ctx context.Context, x *tensor.Tensor) error {
	text, err := os.ReadFile(c.File)
	for err == nil && string(text) == Hold {
		select {
		case <-time.After(2 * time.Millisecond):
			text, err = os.ReadFile(c.File)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return nil // nobody controls it
	}
	switch way := string(text); {
	case way == Away:
		return sdk.Errorf(sdk.FailedPrecondition, "its server is away")
	case way == Crash:
		fmt.Fprintln(os.Stderr, "as it was told")
		os.Exit(7)
	case way == Hang:
		<-ctx.Done()
		return ctx.Err()
	case way == Refuse:
		for i := range x.N() {
			if x.Row(i)[0] > 1 {
				return sdk.Errorf(sdk.InvalidArgument, "row %d is over 1", i)
			}
		}
	case way == Trace:
		f, err := os.OpenFile(c.File+".parents", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, sdk.TraceParent(ctx))
		return errors.Join(err, f.Close())
	case strings.HasPrefix(way, "slow "):
		d, err := time.ParseDuration(strings.TrimPrefix(way, "slow "))
		if err != nil {
			return err
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Trained is a detector on disk, for rows of 64 numbers and 10 classes, with 2
// samples a row.
type Trained struct {
	Dir     string
	control string
	c       host.Components
}

const spec = `api_version: vaeguard/v1
kind: Experiment
name: small
seed: 5
data:
  train:       {dataset: digits, split: train, limit: 64}
  calibration: {dataset: digits, split: calibration, limit: 60}
classifier: {plugin: controlled, restarts: 1, timeout: 20, config: {file: %q, salt: %d}}
vae: {latent_dim: 2, encoder: [{dense: {units: 4}}], decoder: [{dense: {units: 64}}]}
detector: {samples: 2}
train: {epochs: 1}
threshold: {fpr: 0.1}
`

// Train trains a detector into dir with the components of Components. Another salt
// is another classifier, set are values of the spec to replace, KEY=VALUE.
func Train(tb testing.TB, c host.Components, dir string, salt int, set ...string) Trained {
	tb.Helper()
	work := tb.TempDir()
	file, control := filepath.Join(work, "small.yaml"), filepath.Join(work, "control")
	if err := os.WriteFile(file, fmt.Appendf(nil, spec, control, salt), 0o600); err != nil {
		tb.Fatal(err)
	}
	e, err := host.Load(file, set, c, host.Options{Threads: 1})
	if err != nil {
		tb.Fatal(err)
	}
	d, err := e.TrainTo(tb.Context(), host.TrainOptions{Out: dir})
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return Trained{Dir: dir, control: control, c: c}
}

// Control chooses the way of the classifier, from its next call on.
func (d Trained) Control(tb testing.TB, way string) {
	tb.Helper()
	next := d.control + ".next"
	err := os.WriteFile(next, []byte(way), 0o600)
	if err == nil {
		err = os.Rename(next, d.control)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// Parents are the traceparents that the classifier was asked with, call by call, while its
// way was Trace.
func (d Trained) Parents(tb testing.TB) []string {
	tb.Helper()
	text, err := os.ReadFile(d.control + ".parents")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Fields(string(text))
}

// Open opens the detector until the test ends.
func (d Trained) Open(tb testing.TB) *host.Detector {
	tb.Helper()
	opened, err := host.Open(d.Dir, d.c, host.OpenOptions{Options: host.Options{Threads: 1}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := opened.Close(); err != nil {
			tb.Error(err)
		}
	})
	return opened
}

// Settle lets k find out that a source's answers are those of the classifier, in logits, by rows that m judges.
func Settle(tb testing.TB, k *judge.Kinds, m judge.Model, from judge.Source) {
	tb.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	for range 100 {
		x := tensor.New(16, 64)
		for i := range x.Data {
			x.Data[i] = r.Float32()
		}
		rows, err := m.Detector().Prepare(x)
		if err != nil {
			tb.Fatal(err)
		}
		q := judge.Request{Rows: rows}
		if q.Given, err = newControlled().Fake.Predict(tb.Context(), x); err != nil {
			tb.Fatal(err)
		}
		before := k.Counters().Given
		if _, err := k.Judge(tb.Context(), m, q, from); err != nil {
			tb.Fatal(err)
		}
		if k.Counters().Given > before {
			return
		}
	}
	tb.Fatal("the answers of the classifier are not known for what they are")
}
