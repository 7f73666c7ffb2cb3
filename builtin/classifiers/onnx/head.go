package onnx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
)

// head is the tensor that answers, and what its numbers are.
type head struct {
	target string
	kind   sdk.OutputKind // 0: not known from the graph
	last   *node          // the softmax that was left out, or what computes target
	auto   bool           // the config does not say what the numbers are
	apart  bool           // each number is a logistic function of its own
}

// head finds it. name is a tensor or "": the output that looks like scores.
// kind is auto, logits or probabilities: unless it is probabilities, a softmax
// or logistic function at the end is left out, for gradients through saturated
// probabilities vanish.
func (m *model) head(name, kind string) (head, error) {
	by, err := m.producers()
	if err != nil {
		return head{}, err
	}
	if name == "" {
		if name, err = m.scores(by); err != nil {
			return head{}, err
		}
	} else if by[name] == nil {
		return head{}, sdk.Diagnostics{{Pointer: "/output", Message: fmt.Sprintf("the model computes no %q; its outputs are %s", name, m.outputNames())}}
	}
	h := head{target: through(by, name, true)}
	if n := by[h.target]; n == nil || !squashing[n.op] {
		h.target = through(by, name, false) // what is cast may be integers
	}
	h.last, h.auto = by[h.target], kind == "" || kind == "auto"
	h.apart = apart(by, h.target, 64)
	if why := h.refuse(); why != "" {
		return h, sdk.Diagnostics{{Pointer: "/output", Message: why}}
	}
	switch kind {
	case "probabilities":
		h.kind = sdk.Probabilities
		return h, nil
	case "logits":
		h.kind = sdk.Logits
	}
	n := h.last
	if n == nil {
		return h, nil
	}
	if n.op == "Normalizer" && n.domain == domainML && len(n.in) > 0 && n.text("norm", "MAX") == "L1" {
		if inner := by[through(by, n.in[0], true)]; inner != nil && inner.op == "LinearClassifier" && inner.text("post_transform", "NONE") != "NONE" {
			h.target, n = through(by, n.in[0], true), inner
		}
	}
	switch {
	case (n.op == "Softmax" || n.op == "Sigmoid") && n.domain == "" && len(n.in) == 1:
		if n.op == "Sigmoid" && !m.column(h.target, name) {
			break // independent answers: no softmax gives them
		}
		h.target, h.kind = through(by, n.in[0], false), sdk.Logits
	case n.op == "LogSoftmax" && n.domain == "":
		h.kind = sdk.Logits
	case n.op == "LinearClassifier" && n.domain == domainML:
		if better := map[string]string{"SOFTMAX": "NONE", "LOGISTIC": "LOG_LOGISTIC"}[n.text("post_transform", "NONE")]; better != "" {
			n.attrs["post_transform"] = attr{s: better}
			h.kind = sdk.Logits
		}
	}
	return h, nil
}

// column reports whether a declared output has one column.
func (m *model) column(names ...string) bool {
	for _, p := range m.outputs {
		if slices.Contains(names, p.name) && p.said && (len(p.dims) == 1 || len(p.dims) == 2 && p.dims[1] == 1) {
			return true
		}
	}
	return false
}

// squashing are operators that may turn scores into probabilities.
var squashing = map[string]bool{"Softmax": true, "SVMClassifier": true, "LinearRegressor": true, "LogSoftmax": true, "Sigmoid": true, "Normalizer": true, "LinearClassifier": true}

// through follows a tensor back over operators that pass it on and, as asked,
// over casts to floats.
func through(by map[string]*node, name string, casts bool) string {
	for range 64 { // a chain of more is none that an exporter writes, or a loop
		n := by[name]
		if n == nil || len(n.in) == 0 || n.in[0] == "" {
			return name
		}
		switch {
		case n.op == "ZipMap" && n.domain == domainML,
			n.op == "Identity" && n.domain == "",
			n.op == "Dropout" && n.domain == "" && n.out[0] == name,
			casts && n.op == "Cast" && n.domain == "" && kindOf(int64(n.int("to", typeFloat))) == float:
			name = n.in[0]
		default:
			return name
		}
	}
	return name
}

// scores picks the output that holds a row of numbers for each example:
// exporters of scikit-learn put a label before it.
func (m *model) scores(by map[string]*node) (string, error) {
	var fit []string
	for _, p := range m.outputs {
		n := by[p.name]
		switch {
		case n == nil:
		case n.op == "ZipMap" && n.domain == domainML:
			fit = append(fit, p.name)
		case p.elem != 0 && kindOf(p.elem) != float, p.elem == 0 && len(m.outputs) > 1:
		case p.said && len(p.dims) != 2 && len(m.outputs) > 1:
		default:
			fit = append(fit, p.name)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	if len(fit) == 0 {
		if advice := m.labelsOnly(by); advice != "" {
			return "", sdk.Diagnostics{{Pointer: "/output", Message: advice}}
		}
	}
	return "", sdk.Diagnostics{{Pointer: "/output", Message: fmt.Sprintf("which output is meant? The model has %s; %d of them look like scores", m.outputNames(), len(fit))}}
}

func (m *model) outputNames() string {
	return strings.Join(namesOf(m.outputs), ", ")
}
