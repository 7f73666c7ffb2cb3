package onnx

import (
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
)

// graph is a model made ready: the nodes that the wanted tensors need, in
// order, and everything that does not depend on the input computed once.
type graph struct {
	steps  []planned
	consts []*value // by slot; nil: computed by a step
	slots  map[string]int
	input  int
	given  []given
}

// planned is a node with the slots of its inputs and outputs; −1: left out.
type planned struct {
	node    *node
	in, out []int
}

// compile plans the computation of targets from the input.
func compile(m *model, input string, targets []string, f *run) (*graph, error) {
	need, err := m.needed(input, targets)
	if err != nil {
		return nil, err
	}
	table, folded := newOperators(), newFolding(f, need, targets)
	f.done, f.per, f.most = 0, 1, f.work // of all that is folded
	g := &graph{slots: map[string]int{}}
	known := map[string]*value{} // nil: computed from the input
	for name, v := range m.consts {
		known[name] = v
	}
	known[input] = nil
	g.input = g.slot(input, nil)
	for _, v := range m.given {
		known[v.name] = nil
		v.slot = g.slot(v.name, nil)
		g.given = append(g.given, v)
	}
	for _, n := range m.nodes {
		if !need[n] {
			continue
		}
		if n.do == nil {
			if n.do = table.of(n); n.do == nil {
				return nil, sdk.Errorf(sdk.Unimplemented, "%v is not supported", n)
			}
		}
		fold := !random[n.op]
		in := make([]*value, len(n.in)) // as many as the file names
		for i, name := range n.in {
			if name == "" {
				continue
			}
			v, ok := known[name]
			if !ok {
				return nil, fmt.Errorf("%v reads %q, which nothing before it computes", n, brief(name))
			}
			in[i], fold = v, fold && v != nil
		}
		if !fold {
			g.plan(n, known)
			continue
		}
		if err := folded.step(n, in, known); err != nil {
			return nil, err
		}
	}
	for _, t := range targets {
		v, ok := known[t]
		if !ok {
			return nil, fmt.Errorf("no operator computes %q", t)
		}
		g.slot(t, v)
	}
	f.base.Add(f.made)
	return g, nil
}

// random are operators whose results are not the same each time.
var random = map[string]bool{"RandomNormal": true, "RandomUniform": true, "RandomNormalLike": true, "RandomUniformLike": true}

// plan adds a step.
func (g *graph) plan(n *node, known map[string]*value) {
	p := planned{node: n}
	for _, name := range n.in {
		s := -1
		if name != "" {
			s = g.slot(name, known[name])
		}
		p.in = append(p.in, s)
	}
	for _, name := range n.out {
		s := -1
		if name != "" {
			known[name] = nil
			s = g.slot(name, nil)
		}
		p.out = append(p.out, s)
	}
	g.steps = append(g.steps, p)
}

// slot is a name's place.
func (g *graph) slot(name string, v *value) int {
	s, ok := g.slots[name]
	if !ok {
		s = len(g.consts)
		g.slots[name] = s
		g.consts = append(g.consts, v)
	}
	return s
}

// producers are the nodes by the names of their outputs.
func (m *model) producers() (map[string]*node, error) {
	by := map[string]*node{}
	for _, n := range m.nodes {
		for _, name := range n.out {
			if name == "" {
				continue
			}
			if by[name] != nil {
				return nil, fmt.Errorf("%q is computed twice, by %v and %v", brief(name), by[name], n)
			}
			if m.consts[name] != nil {
				return nil, fmt.Errorf("%q is an initializer, and %v computes it too", brief(name), n)
			}
			by[name] = n
		}
	}
	return by, nil
}

// needed are the nodes that targets depend on.
func (m *model) needed(input string, targets []string) (map[*node]bool, error) {
	by, err := m.producers()
	if err != nil {
		return nil, err
	}
	need := map[*node]bool{}
	queue := slices.Clone(targets)
	for len(queue) > 0 {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if n := by[name]; n != nil && !need[n] && name != input {
			need[n] = true
			queue = append(queue, n.in...)
		}
	}
	return need, nil
}
