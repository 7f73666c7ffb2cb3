// Package onnx is the classifier of the plugin onnx: it runs a model from
// an ONNX file (opsets 7 to 24), with its gradients, on the kernels of vaeguard.
//
// A file becomes a graph (parse, compile), whatever does not depend on the
// input is computed once, and a run evaluates the rest on a tape, on which
// gradients are pulled back. Floats are float32 whatever the file's precision.
package onnx

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Name and Version are the plugin's.
const (
	Name    = "onnx"
	Version = "1.0.0"
)

// maxFile is the largest model file: what protobuf allows.
const maxFile = 2 << 30

const schema = `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "required": ["model"],
  "properties": {
    "model": {"type": "string", "minLength": 1, "format": "path", "examples": ["model.onnx"], "description": "the ONNX file"},
    "input": {"type": ["string", "array"], "minLength": 1, "minItems": 1, "items": {"type": "string", "minLength": 1}, "uniqueItems": true, "description": "the input that takes the rows of the data, or the inputs that are columns of a table, in order; default: the only one without a value"},
    "inputs": {"type": "object", "description": "values of the other inputs: a number, a list of numbers, or a shape and what fills it; where the file has a free batch, for each row",
      "additionalProperties": {"type": ["number", "boolean", "array", "object"], "items": {"type": "number"}, "additionalProperties": false, "required": ["shape", "fill"],
        "properties": {"shape": {"type": "array", "items": {"type": "integer", "minimum": 0}}, "fill": {"type": ["number", "boolean", "array"], "items": {"type": "number"}}}}},
    "output": {"type": "string", "description": "the output tensor; default: the output that looks like scores"},
    "kind": {"enum": ["auto", "logits", "probabilities"], "default": "auto", "description": "what the output holds; unless probabilities, a final softmax is left out"},
    "gradient": {"enum": ["auto", "required", "none"], "default": "auto", "description": "required: refuse a model without a gradient and say why; none: declare none, though there is one"},
    "layout": {"enum": ["auto", "nchw", "nhwc", "flat"], "default": "auto", "description": "order of the dimensions of the model's input"},
    "input_range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2, "description": "legal inputs: [lowest, highest]"},
    "max_batch": {"type": "integer", "minimum": 0, "description": "rows per call; default: as many as need 64 MiB"},
    "memory": {"type": "string", "allowance": true, "pattern": "^[1-9][0-9]{0,5}(KiB|MiB|GiB|TiB)$", "examples": ["2GiB"], "description": "what loading, or the evaluation of a batch with its backward pass, may take; default: 256 MiB, 32 times the file and 768 times a row of the input, that at most 2 GiB; for max_batch four times its results, at most 4 GiB"},
    "work": {"type": "number", "allowance": true, "exclusiveMinimum": 0, "examples": [1e12], "description": "multiply-adds that a row may take, other operations counted as up to 8; default: 2^31, 2^11 for each byte of the file and 2^17 for each number of a row of the input"},
    "hidden": {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": true, "description": "names of tensors to offer as hidden layers"}
  }
}`

// settings are the config.
type settings struct {
	Model    string                     `json:"model"`
	Input    entries                    `json:"input"`
	Inputs   map[string]json.RawMessage `json:"inputs"`
	Output   string                     `json:"output"`
	Kind     string                     `json:"kind"`
	Gradient string                     `json:"gradient"`
	Layout   string                     `json:"layout"`
	Range    []float32                  `json:"input_range"`
	MaxBatch int                        `json:"max_batch"`
	Hidden   []string                   `json:"hidden"`
	Memory   string                     `json:"memory"`
	Work     float64                    `json:"work"`
}

// Classifier is a model of an ONNX file. Its methods may be called
// concurrently.
type Classifier struct {
	mu      sync.RWMutex
	info    sdk.Info
	program *program // nil before Configure
	source  source
}

// New is an unconfigured classifier.
func New() sdk.Classifier { return &Classifier{info: blank()} }

func blank() sdk.Info {
	return sdk.Info{Name: Name, Version: Version, Output: sdk.Logits, Gradient: sdk.ExactGradient, Differentiate: true, Schema: []byte(schema)}
}

// Schema implements sdk.Configurable.
func (c *Classifier) Schema() []byte { return []byte(schema) }

// Configure implements sdk.Configurable: it loads the model.
func (c *Classifier) Configure(ctx context.Context, config sdk.Config) error {
	if err := sdk.CheckConfig([]byte(schema), config.JSON); err != nil {
		return err
	}
	var s settings
	if err := json.Unmarshal(config.JSON, &s); err != nil {
		return sdk.Diagnostics{{Message: err.Error()}}
	}
	if len(s.Range) == 2 && !(s.Range[0] < s.Range[1]) {
		return sdk.Diagnostics{{Pointer: "/input_range", Message: fmt.Sprintf("[%v, %v] is empty", s.Range[0], s.Range[1])}}
	}
	p, from, info, err := load(ctx, config, s)
	var d sdk.Diagnostics
	switch {
	case errors.As(err, &d):
		return d
	case err != nil && ctx.Err() == nil:
		return sdk.Diagnostics{{Pointer: "/model", Message: fmt.Sprintf("%s: %v", s.Model, err)}}
	case err != nil:
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.program != nil {
		c.program.pool.Close()
	}
	c.program, c.source, c.info = p, from, info
	return nil
}

// load reads and tries a model.
func load(ctx context.Context, config sdk.Config, s settings) (*program, source, sdk.Info, error) {
	path := config.Path(s.Model)
	data, err := readFile(path, s.Memory)
	if err != nil {
		return nil, source{}, sdk.Info{}, err
	}
	m, err := parse(data, filepath.Dir(path), s)
	if err != nil {
		return nil, source{}, sdk.Info{}, err
	}
	p, h, err := build(m, config, s)
	if err != nil {
		return nil, source{}, sdk.Info{}, err
	}
	lo, hi, limited := p.entry.legal()
	if len(s.Range) == 2 {
		lo, hi, limited = s.Range[0], s.Range[1], true
	}
	names := map[string]string{}
	for _, h := range s.Hidden {
		names[sdk.HiddenPrefix+h] = h
	}
	v, err := p.try(ctx, lo, hi, names)
	if err != nil {
		p.pool.Close()
		return nil, source{}, sdk.Info{}, err
	}
	if err := h.judge(p, v); err != nil {
		p.pool.Close()
		return nil, source{}, sdk.Info{}, err
	}
	p.settle(h.kind, v.f)
	if config.Classes > 0 && config.Classes != p.classes {
		p.pool.Close()
		return nil, source{}, sdk.Info{}, fmt.Errorf("the model has %d classes, the data has %d%s", p.classes, config.Classes,
			pick(config.Classes < p.classes, ": where not every class occurs in the data, data.classes names all of them, in the model's order", ""))
	}
	if s.MaxBatch > 0 && !p.fixed {
		p.step = s.MaxBatch
		p.allowance.batch(p.step, p.each)
	}
	info := blank()
	info.InputShape, info.Layout, info.NumClasses = p.entry.wire.Clone(), p.entry.order, p.classes
	info.Output, info.MaxBatch, info.BatchInvariant, info.Ready = p.kind, p.step, p.same, true
	if s.MaxBatch > 0 {
		info.MaxBatch = s.MaxBatch
	}
	if limited {
		info.Lo, info.Hi = []float32{lo}, []float32{hi}
	}
	switch {
	case s.Gradient == "none":
		p.gradient = sdk.NoGradient
	case s.Gradient == "required" && p.gradient == sdk.NoGradient:
		p.pool.Close()
		return nil, source{}, sdk.Info{}, sdk.Diagnostics{{Pointer: "/gradient", Message: "there is no gradient: " + p.why}}
	}
	info.Gradient, info.Differentiate = p.gradient, p.gradient != sdk.NoGradient
	for _, h := range s.Hidden {
		info.Hidden = append(info.Hidden, sdk.HiddenLayer{Name: h, Shape: p.shapes[sdk.HiddenPrefix+h].Clone()})
	}
	info.Digest = digest(m, data, s)
	return p, sourceOf(path, m, h), info, nil
}

// build plans the computation.
func build(m *model, config sdk.Config, s settings) (*program, head, error) {
	h, err := m.head(s.Output, s.Kind)
	if err != nil {
		if s.Output == "" { // no choice of an output helps where none can be computed
			if why := m.unsupportedAll(); why != nil {
				err = why
			}
		}
		return nil, head{}, err
	}
	by, err := m.producers()
	if err != nil {
		return nil, head{}, err
	}
	targets := []string{h.target}
	for i, name := range s.Hidden {
		if by[name] == nil {
			return nil, head{}, sdk.Diagnostics{{Pointer: fmt.Sprintf("/hidden/%d", i), Message: fmt.Sprintf("the model computes no tensor %q", name)}}
		}
		targets = append(targets, name)
	}
	if err := m.unsupported(targets...); err != nil {
		return nil, head{}, err
	}
	in, err := m.guarded(s.Input, s.Inputs, targets)
	if err != nil {
		return nil, head{}, err
	}
	e, err := m.entry(in, s.Layout, config.InputShape)
	if err != nil {
		return nil, head{}, err
	}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		return nil, head{}, err
	}
	defer k.Close()
	m.room.row(size(e.shape))
	f := &run{room: m.room, k: k}
	g, err := compile(m, e.name, targets, f)
	if err != nil {
		return nil, head{}, err
	}
	p := &program{allowance: m.room.allowance, entry: e, graph: g, single: s.MaxBatch == 1, names: []string{sdk.Output}, slots: map[string]int{}, shapes: map[string]tensor.Shape{}}
	p.base.Store(m.room.base.Load())
	p.pool.New, p.pool.Full = p.session, p.full
	p.slots[sdk.Output] = g.slots[h.target]
	for _, name := range s.Hidden {
		p.names = append(p.names, sdk.HiddenPrefix+name)
		p.slots[sdk.HiddenPrefix+name] = g.slots[name]
	}
	return p, h, nil
}

// readFile reads a file of at most maxFile bytes, and of as many as fit into
// memory.
func readFile(path, memory string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%d bytes, want at most %d", info.Size(), maxFile)
	}
	if memory != "" && info.Size() > bytesIn(memory) {
		return nil, fmt.Errorf("%s, more than memory: %s", inBytes(info.Size()), memory)
	}
	return os.ReadFile(path)
}

// digest is of the bytes that make the function: the files and the choice of
// the output.
func digest(m *model, data []byte, s settings) string {
	h := sha256.New()
	_, _ = h.Write(data) // a hash never fails
	if m.digest.sum != nil {
		_, _ = h.Write(m.digest.sum.Sum(nil))
	}
	if len(s.Input) > 0 || len(s.Inputs) > 0 {
		given, _ := json.Marshal(s.Inputs) // of valid JSON it never fails; keys are in order
		_, _ = fmt.Fprintf(h, "%q %s", []string(s.Input), given)
	}
	if s.Output != "" || s.Kind != "" && s.Kind != "auto" {
		_, _ = fmt.Fprintf(h, "%q %q", s.Output, s.Kind)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Info implements sdk.Classifier.
func (c *Classifier) Info(context.Context) (sdk.Info, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	info := c.info
	info.InputShape, info.Hidden, info.Schema = info.InputShape.Clone(), slices.Clone(info.Hidden), bytes.Clone(info.Schema)
	info.Lo, info.Hi = slices.Clone(info.Lo), slices.Clone(info.Hi)
	return info, nil
}
