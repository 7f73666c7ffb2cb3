package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
)

// What a detector cannot use is refused here, with the cause and the way out: it
// wants one row of scores for each example, one class of several.

// classifiers are operators that answer a label and, as their second output,
// scores.
var classifiers = map[string]bool{"LinearClassifier": true, "SVMClassifier": true, "TreeEnsembleClassifier": true}

// labelsOnly tells who exported labels without scores where the scores are, or
// is "" if the outputs are something else.
func (m *model) labelsOnly(by map[string]*node) string {
	for _, p := range m.outputs {
		if p.elem != typeString && (p.elem == 0 || kindOf(p.elem) != integer) {
			continue
		}
		advice := "export it with its scores (scikit-learn: predict_proba; skl2onnx: do not drop the output \"probabilities\")"
		if name := scoresBehind(by, p.name); name != "" {
			advice = fmt.Sprintf("the scores it is computed from are a tensor of the file: output: %s", name)
		}
		return fmt.Sprintf("the model answers labels alone, %s, and a detector compares scores: %s", m.outputNames(), advice)
	}
	return ""
}

// scoresBehind finds the scores that labels are chosen by, or "".
func scoresBehind(by map[string]*node, label string) string {
	queue, seen := []string{label}, map[*node]bool{}
	for len(queue) > 0 && len(seen) < 64 {
		n := by[queue[0]]
		queue = queue[1:]
		if n == nil || seen[n] {
			continue
		}
		seen[n] = true
		switch {
		case n.op == "ArgMax" && n.domain == "" && len(n.in) > 0:
			return n.in[0]
		case classifiers[n.op] && n.domain == domainML:
			if len(n.out) > 1 {
				return n.out[1]
			}
			return ""
		}
		queue = append(queue, n.in...)
	}
	return ""
}

// apart reports that a tensor is made of logistic functions of numbers of
// their own, at most depth operators before it.
func apart(by map[string]*node, name string, depth int) bool {
	n := by[name]
	if n == nil || depth == 0 || len(n.in) == 0 {
		return false
	}
	switch {
	case n.domain == "" && (n.op == "Sigmoid" || n.op == "HardSigmoid"):
		return true
	case n.domain == domainML && n.op == "LinearClassifier" && n.text("post_transform", "NONE") == "LOGISTIC":
		return len(n.out) > 1 && name == n.out[1] && max(len(n.attrs["classlabels_ints"].ints), len(n.attrs["classlabels_strings"].strings)) <= 2
	case n.domain != "":
		return false
	}
	switch n.op {
	case "Concat":
		for _, in := range n.in {
			if !apart(by, in, depth/len(n.in)) {
				return false
			}
		}
		return true
	case "Sub": // one less such a number
		return len(n.in) == 2 && apart(by, n.in[1], depth-1)
	case "Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice", "Gather":
		return apart(by, n.in[0], depth-1)
	}
	return false
}

// outOfReach are operators that need more than a graph of tensors, each computed
// once, and what they are.
var outOfReach = map[string]string{
	"If": "control flow", "Loop": "control flow", "Scan": "control flow",
	"LSTM": "a recurrent layer", "GRU": "a recurrent layer", "RNN": "a recurrent layer",
}

// unsupported says which operator that targets depend on is not supported, or
// is nil. It comes before questions of inputs and shapes: who has answered them
// all must not be refused in the end. Strings are another reason, and stand for
// themselves.
func (m *model) unsupported(targets ...string) error {
	if slices.ContainsFunc(m.free(), func(p port) bool { return p.elem == typeString }) {
		return nil
	}
	need, err := m.needed("", targets)
	if err != nil {
		return err
	}
	table := newOperators()
	for _, n := range m.nodes {
		if !need[n] {
			continue
		}
		if n.do = table.of(n); n.do != nil {
			continue
		}
		if why := outOfReach[n.op]; why != "" && n.domain == "" {
			return sdk.Errorf(sdk.Unimplemented, "%v is not supported: it is %s; name an output before it, or serve the model through the SDK for Python, without gradients", n, why)
		}
		return sdk.Errorf(sdk.Unimplemented, "%v is not supported", n)
	}
	return nil
}

// unsupportedAll is unsupported of an output, if it is so of each, or nil.
func (m *model) unsupportedAll() error {
	var first error
	for _, p := range m.outputs {
		err := m.unsupported(p.name)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// sumToOne reports whether rows of k numbers do.
func sumToOne(y []float32, k int) bool {
	for i := 0; i+k <= len(y); i += k {
		if math.Abs(sumOf(y[i:i+k])-1) > 1e-3 {
			return false
		}
	}
	return true
}

// refuse says what is wrong with what answers, as far as the graph tells.
func (h *head) refuse() string {
	n := h.last
	if n == nil || n.domain != domainML {
		return ""
	}
	labels := max(len(n.attrs["classlabels_ints"].ints), len(n.attrs["classlabels_int64s"].ints), len(n.attrs["classlabels_strings"].strings))
	switch {
	case classifiers[n.op] && len(n.out) > 0 && n.out[0] == h.target:
		return fmt.Sprintf("%q holds labels, and a detector compares scores%s", h.target, pick(len(n.out) > 1, fmt.Sprintf(": output: %s", n.out[min(1, len(n.out)-1)]), ""))
	case classifiers[n.op] && labels == 1:
		return fmt.Sprintf("%v knows one class: there is nothing to tell apart", n)
	case n.op == "SVMClassifier" && labels > 2 && len(n.attrs["vectors_per_class"].ints) > 0 && len(n.attrs["prob_a"].floats) == 0:
		return fmt.Sprintf("%v answers decisions between pairs of its %d classes, no score for each: train it with probability=True, or decision_function_shape=\"ovr\"", n, labels)
	case n.op == "LinearRegressor" && h.auto:
		return fmt.Sprintf("%v is a regression: it has no classes; if its numbers are scores, say kind: logits", n)
	}
	return ""
}

// judge says what is wrong with the answers themselves, a row for each example
// of a trial, or is nil.
func (h *head) judge(p *program, v *value) error {
	shape := v.shape
	if p.graph.consts[p.slots[sdk.Output]] != nil {
		return fmt.Errorf("the answer does not depend on the input")
	}
	if h.apart && h.auto && p.classes > 1 && !sumToOne(v.f, p.classes) {
		way := "kind: logits"
		if h.last.op == "Sigmoid" { // what goes into it compares better
			way = fmt.Sprintf("output: %s and kind: logits", h.last.in[0])
		}
		return sdk.Diagnostics{{Pointer: "/kind", Message: fmt.Sprintf("the %d numbers of the answer are logistic functions each of its own (%v): several labels may hold at once, "+
			"and a detector is for one class of several. Where exactly one holds, say %s", p.classes, h.last, way)}}
	}
	n := h.last
	if n == nil || n.domain != "" || n.op != "Softmax" && n.op != "LogSoftmax" {
		return nil
	}
	axis, width := n.int("axis", pick(n.version < 13, 1, -1)), 0
	if axis < 0 {
		axis += len(shape)
	}
	if axis > 0 && axis < len(shape) {
		width = pick(n.version < 13, size(shape[axis:]), shape[axis])
	}
	switch {
	case width != p.classes && !p.column:
		return sdk.Diagnostics{{Pointer: "/output", Message: fmt.Sprintf("%v is over axis %d of shape %v, not over the classes: a row's answer depends on its batch", n, n.int("axis", -1), shape)}}
	case p.classes == 1:
		return sdk.Diagnostics{{Pointer: "/output", Message: fmt.Sprintf("%v is over one number: it is always the same, so there is one class", n)}}
	}
	return nil
}
