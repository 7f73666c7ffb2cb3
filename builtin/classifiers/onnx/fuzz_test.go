package onnx

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
)

// FuzzEquation feeds equations of Einsum: errors are fine, panics are not, nor
// is a shape that does not fit its numbers.
func FuzzEquation(f *testing.F) {
	for _, e := range []string{"ij,jk->ik", "bij,bjk", "...ij,...ji->...i", "iij->j", "ii", "i,j->ji", "->", ",", "ab...,b...c->", "ij, jk -> k i", "İ,ı"} {
		f.Add(e, byte(0x23), byte(0x32))
	}
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { k.Close() })
	dims := func(b byte) *value { // up to four dimensions of 1 or 2, from bits
		v := &value{kind: float, diff: true}
		for i := range b & 7 % 5 {
			v.shape = append(v.shape, 1+int(b>>(3+i)&1))
		}
		v.f = make([]float32, size(v.shape))
		return v
	}
	f.Fuzz(func(t *testing.T, equation string, a, b byte) {
		n := &node{op: "Einsum", attrs: attrs{"equation": word(equation)}, version: 13}
		n.do = newOperators().of(n)
		r := newRun(k, plenty)
		r.keep = true
		x, y := dims(a), dims(b)
		for _, in := range [][]*value{{x}, {x, y}} {
			out, err := r.step(n, in)
			if errors.Is(err, sdk.Internal) {
				t.Fatal(err)
			}
			if err != nil {
				continue
			}
			if len(out[0].f) != size(out[0].shape) {
				t.Errorf("%d numbers of shape %v", len(out[0].f), out[0].shape)
			}
			if _, err := r.backward(x, map[*value][]float32{out[0]: make([]float32, len(out[0].f))}, out); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzInputs feeds values of inputs from the config.
func FuzzInputs(f *testing.F) {
	for _, s := range []string{"1", "true", "[1, 2]", `{"shape": [1, 2], "fill": 3}`, `{"shape": [99999, 99999], "fill": 1}`, `{"shape": [], "fill": [1]}`, "1e300", "[]", "{}", "null"} {
		f.Add([]byte(s), int64(typeFloat), 2, true)
		f.Add([]byte(s), int64(typeUint8), -1, false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, elem int64, dim int, said bool) {
		p := port{name: "z", elem: elem, dims: []int{-1, max(-1, dim)}, said: said}
		m := &model{room: newRoom(plenty), consts: map[string]*value{}, inputs: []port{{name: "x", elem: typeFloat, dims: []int{-1, 3}, said: true}, p}}
		in, err := m.guarded(nil, map[string]json.RawMessage{"z": raw}, nil)
		if err != nil {
			return
		}
		if in.name != "x" {
			t.Errorf("rows enter %q", in.name)
		}
		v := m.consts["z"]
		if len(m.given) > 0 {
			v = m.given[0].row
		}
		if len(v.f)+len(v.i) != size(v.shape) {
			t.Errorf("%d numbers of shape %v", len(v.f)+len(v.i), v.shape)
		}
	})
}
