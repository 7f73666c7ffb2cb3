package gradient

import (
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// memo holds answers of the classifier on rows of the data, so that they are
// not asked for twice. The zero value is an empty one.
type memo struct {
	rows  []memoRow
	index map[uint64]int // of the row's hash; of rows of one hash, the first
}

type memoRow struct{ x, y []float32 }

// add remembers an answer. It keeps both slices.
func (m *memo) add(x, y []float32) {
	if m.index == nil {
		m.index = map[uint64]int{}
	}
	h := hashRow(x)
	if _, ok := m.index[h]; !ok {
		m.index[h] = len(m.rows)
		m.rows = append(m.rows, memoRow{x, y})
	}
}

// recall is the answer on x, nil unless all of its rows are known.
func (m *memo) recall(x *tensor.Tensor) *tensor.Tensor {
	if len(m.rows) == 0 || x.N() == 0 {
		return nil
	}
	out := tensor.New(x.N(), len(m.rows[0].y))
	for i := range x.N() {
		k, ok := m.index[hashRow(x.Row(i))]
		if !ok || !slices.Equal(m.rows[k].x, x.Row(i)) {
			return nil
		}
		copy(out.Row(i), m.rows[k].y)
	}
	return out
}

// hashRow is FNV-1a over the numbers' bits.
func hashRow(x []float32) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, v := range x {
		h = (h ^ uint64(math.Float32bits(v))) * 0x100000001b3
	}
	return h ^ h>>32
}

// hashNumbers mixes numbers into one (the finaliser of splitmix64 after each).
func hashNumbers(v ...uint64) uint64 {
	h := uint64(0)
	for _, x := range v {
		h = (h ^ x) + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// ring holds the last inputs and answers of training's forward passes: what a
// refit learns from. The zero value holds nothing; plan gives it room.
type ring struct {
	x, y  *tensor.Tensor // (capacity, example…), (capacity, classes)
	next  int            // where the next row goes
	count int            // rows held
	fresh int            // rows since the last refit, at most count
}

func (r *ring) plan(capacity int, example tensor.Shape, classes int) {
	r.x, r.y = tensor.Batch(capacity, example), tensor.New(capacity, classes)
}

// put adds rows, in place of the oldest once it is full.
func (r *ring) put(x, y *tensor.Tensor) {
	capacity := r.x.N()
	for i := range x.N() {
		copy(r.x.Row(r.next), x.Row(i))
		copy(r.y.Row(r.next), y.Row(i))
		r.next = (r.next + 1) % capacity
		r.count = min(r.count+1, capacity)
		r.fresh = min(r.fresh+1, r.count)
	}
}

// at is the position of the i-th oldest row.
func (r *ring) at(i int) int {
	return (r.next - r.count + i + r.x.N()) % r.x.N()
}
