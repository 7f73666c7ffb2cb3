package onnx

import (
	"errors"
	"fmt"
	"os"

	onnxfile "github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/sdk"
)

// source is what Graph needs of a model besides the program: its file, and the tensor
// that answers.
type source struct {
	path   string
	target string
	why    string // what is computed here is not what the file says; "": it is
}

// sourceOf is that of a model whose program was built.
func sourceOf(path string, m *model, h head) source {
	s := source{path: path, target: h.target}
	switch {
	case len(m.given) > 0:
		s.why = "config.inputs gives values of other inputs"
	case h.last != nil && h.last.op == "LinearClassifier" && h.kind == sdk.Logits:
		s.why = "its answer is taken before the transformation of a LinearClassifier, which is one node of the file"
	}
	return s
}

// Graph implements launch.Graphed: the nodes of the file itself.
func (c *Classifier) Graph(b *onnxfile.Builder, x onnxfile.Value, hidden ...string) (onnxfile.Value, []onnxfile.Value, error) {
	c.mu.RLock()
	p, s := c.program, c.source
	c.mu.RUnlock()
	if p == nil {
		return x, nil, errors.New("there is no model yet")
	}
	if s.why == "" {
		s.why = p.entry.alone()
	}
	if s.why != "" {
		return x, nil, fmt.Errorf("the model cannot be joined to a guard: %s", s.why)
	}
	file, err := os.ReadFile(s.path)
	if err != nil {
		return x, nil, err
	}
	m, err := onnxfile.Read(file)
	if err != nil {
		return x, nil, fmt.Errorf("the model cannot be joined to a guard: %w", err)
	}
	x = b.Batch(x, p.entry.shape...)
	if e := p.entry.elem; e != typeFloat {
		if kindOf(e) != float {
			x = b.Op("Round", []onnxfile.Value{x})
		}
		x = b.Cast(x, onnxfile.Type(e))
	}
	outs := b.Join(m, map[string]onnxfile.Value{p.entry.name: x}, append([]string{s.target}, hidden...)...)
	y := b.Batch(b.Cast(outs[0], onnxfile.Float), pick(p.column, 1, p.classes))
	if p.column {
		first := b.Sub(y, y)
		if p.kind == sdk.Probabilities {
			first = b.Sub(b.Number(onnxfile.Float, 1), y)
		}
		y = b.Concat(1, first, y)
	}
	layers := outs[1:]
	for i, name := range hidden {
		layers[i] = b.Batch(b.Cast(layers[i], onnxfile.Float), p.shapes[sdk.HiddenPrefix+name]...)
	}
	return y, layers, b.Err()
}

// alone says what keeps rows of any number from entering the model as they are.
func (e *entry) alone() string {
	switch {
	case e.name == table:
		return "its input is several columns"
	case e.bare || e.batch >= 0:
		return fmt.Sprintf("it takes %d rows at once, no more and no less: export it with a free batch dimension", max(1, e.batch))
	case kindOf(e.elem) != float && e.read == asFloats:
		return "its input is of integers, which it casts to floats: export it with a float input"
	}
	return ""
}
