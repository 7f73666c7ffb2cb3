package nn

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Plan collects the buffers that layers claim for one workspace. A layer asks
// for them in its Plan method and finds them in the workspace under the number
// that the claim returned, counted from 0 for each layer.
type Plan struct {
	batch  int
	order  int
	claims map[Layer]*slots
}

// slots are what one layer claimed in one workspace.
type slots struct {
	order int // number of the layer in the order of planning
	bufs  []buffer
}

// Batch is the largest number of examples of the workspace.
func (p *Plan) Batch() int { return p.batch }

// Tensor claims room for a batch of examples of the given shape.
func (p *Plan) Tensor(l Layer, example tensor.Shape) int {
	b := buffer{rows: p.batch, stride: example.Size()}
	b.view.Shape = append(tensor.Shape{p.batch}, example...)
	return p.claim(l, b)
}

// Vector claims n numbers, whatever the batch.
func (p *Plan) Vector(l Layer, n int) int {
	return p.claim(l, buffer{rows: 1, stride: n})
}

// Int32s claims n integers for each example.
func (p *Plan) Int32s(l Layer, n int) int {
	return p.claim(l, buffer{rows: p.batch, stride: n})
}

func (p *Plan) claim(l Layer, b buffer) int {
	s, ok := p.claims[l]
	if !ok {
		s = &slots{order: p.order}
		p.order++
		p.claims[l] = s
	}
	s.bufs = append(s.bufs, b)
	return len(s.bufs) - 1
}

// NewWorkspace plans the buffers of l for batches of up to the given size.
// Their memory is taken when a pass first needs it, so that forward passes
// alone do not pay for gradients; from the second pass on nothing is
// allocated. It panics if batch < 1.
func NewWorkspace(k *kernel.Engine, l Layer, batch int, m Mode) *Workspace {
	if batch < 1 {
		panic("nn: workspace for less than one example")
	}
	p := &Plan{batch: batch, claims: map[Layer]*slots{}}
	l.Plan(p)
	return &Workspace{K: k, Mode: m, batch: batch, slots: p.claims}
}

// Batch is the largest number of examples that the workspace holds.
func (w *Workspace) Batch() int { return w.batch }

// Tensor is the buffer that Plan.Tensor claimed as number i of l, cut to n
// examples. Its contents are what the last pass left. It panics if n exceeds
// the workspace's batch.
func (w *Workspace) Tensor(l Layer, i, n int) *tensor.Tensor {
	b := &w.slots[l].bufs[i]
	if b.data == nil {
		b.data = kernel.Floats(b.rows * b.stride)
	}
	if w.first+n > b.rows {
		panic("nn: batch is larger than the workspace")
	}
	b.view.Shape[0] = n
	b.view.Data = b.data[w.first*b.stride : (w.first+n)*b.stride]
	return &b.view
}

// Begin makes the next Forward one of the rows from first on of a batch, whose
// Draw is that of the whole batch: so a batch may be passed forward in parts, its
// last rows first. The parts' inputs are rows of one array. Join ends it, before
// Backward. A layer that has a Statistic sees the whole batch or none.
func (w *Workspace) Begin(first int) { w.first = first }

// Join makes of parts that Forward has had, of which the last began at row 0, the
// pass of a batch of n rows: tensors that layers keep, the parts' result and the
// input of the last part show all rows.
func (w *Workspace) Join(n int) {
	w.first = 0
	for _, s := range w.slots {
		for i := range s.bufs {
			b := &s.bufs[i]
			extend(&b.view, n)
			if b.kept != nil {
				extend(b.kept, n)
			}
		}
	}
}

// extend shows n rows of what t shows the first ones of, if there are so many.
func extend(t *tensor.Tensor, n int) {
	if len(t.Shape) == 0 {
		return
	}
	if size := n * t.Stride(); size <= cap(t.Data) {
		t.Shape[0], t.Data = n, t.Data[:size]
	}
}

// View shows data as n examples of the shape that Plan.Tensor claimed as
// number i of l, without a copy.
func (w *Workspace) View(l Layer, i, n int, data []float32) *tensor.Tensor {
	b := &w.slots[l].bufs[i]
	b.view.Shape[0] = n
	b.view.Data = data
	return &b.view
}

// Vector is the buffer that Plan.Vector claimed as number i of l.
func (w *Workspace) Vector(l Layer, i int) []float32 {
	b := &w.slots[l].bufs[i]
	if b.data == nil {
		b.data = kernel.Floats(b.stride)
	}
	return b.data
}

// Int32s is the buffer that Plan.Int32s claimed as number i of l, for n
// examples.
func (w *Workspace) Int32s(l Layer, i, n int) []int32 {
	b := &w.slots[l].bufs[i]
	if b.ints == nil {
		b.ints = make([]int32, b.rows*b.stride)
	}
	return b.ints[w.first*b.stride : (w.first+n)*b.stride]
}

// Keep remembers x, by reference, in buffer i of l: what a layer's Forward
// leaves for its Backward. Kept returns it.
func (w *Workspace) Keep(l Layer, i int, x *tensor.Tensor) { w.slots[l].bufs[i].kept = x }

// Kept is what Keep remembered last.
func (w *Workspace) Kept(l Layer, i int) *tensor.Tensor { return w.slots[l].bufs[i].kept }

// Noise fills dst, n rows of equal length, with random numbers of the
// workspace's Draw that belong to layer l alone: uniform in [0, 1), or N(0, 1)
// if normal. Row i depends on the Draw and on the number of example i.
func (w *Workspace) Noise(l Layer, dst []float32, n int, normal bool) {
	if n == 0 {
		return
	}
	key := kernel.Key{Seed: w.Draw.Seed, Stream: mix(w.Draw.Step, uint64(w.slots[l].order))}
	d := len(dst) / n
	if w.Draw.Examples == nil {
		w.fill(dst, key, uint64(w.first*d), normal)
		return
	}
	for i, example := range w.Draw.Examples[w.first : w.first+n] {
		w.fill(dst[i*d:(i+1)*d], key, example*uint64(d), normal)
	}
}

func (w *Workspace) fill(dst []float32, key kernel.Key, first uint64, normal bool) {
	if normal {
		w.K.Normal(dst, key, first)
		return
	}
	w.K.Uniform(dst, key, first)
}

// mix makes one number of two: the finaliser of SplitMix64 (Steele et al.
// 2014), so that near steps and layers get far streams.
func mix(step, layer uint64) uint64 {
	z := step*0x9e3779b97f4a7c15 + layer*0xd1b54a32d192ed03 + 0x8cb92ba72f3d8dd7
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
