package train

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Streams of random numbers: each use has its own, so that none depends on
// how much another drew.
const (
	streamOrder  = 0x7472_0000_0000_0000 + iota<<40
	streamCode   // ε of the codes
	streamInput  // noise on the input
	streamStart  // random start of the inner attack
	streamAttack // ε of the codes of attacked rows
	streamVal    // ε of validation
	streamLayers // dropout and its like
	streamHead   // order of a head's rows
	streamRadius // radius of the l2 random start
	streamSmooth // noise on the validation rows
	streamRobust // random start of the attack on validation rows
	streamRobustRadius
)

// order is the epoch's permutation of n rows: a full shuffle, keyed by seed
// and epoch.
func order(seed uint64, stream uint64, epoch, n int) []int {
	return rand.New(rand.NewPCG(seed, stream+uint64(epoch))).Perm(n)
}

// batch is the rows of one step.
type batch struct {
	rows     []int    // of the training rows
	examples []uint64 // the same, as keys of noise
	x        *tensor.Tensor
	epoch    int   // from 0
	step     int   // of all steps, from 0
	total    int   // steps of the whole training
	err      error // of reading the rows; x is then undefined

	buf view
}

// gather reads the rows.
func (b *batch) gather(x dataset.Examples, rows []int) {
	b.rows = rows
	b.examples = b.examples[:0]
	b.x = b.buf.of(len(rows))
	for _, r := range rows {
		b.examples = append(b.examples, uint64(r))
	}
	b.err = x.Gather(b.x, rows)
}

// gatherer reads the next batch while the present one is worked on. close
// ends its goroutine.
type gatherer struct {
	x          dataset.Examples
	ready, ask chan *batch
	spare      [2]*batch
}

func newGatherer(x dataset.Examples, size int) *gatherer {
	g := &gatherer{x: x, ready: make(chan *batch, 1), ask: make(chan *batch, 1)}
	for i := range g.spare {
		g.spare[i] = &batch{buf: newView(size, x.Example()), examples: make([]uint64, 0, size)}
	}
	go func() {
		for b := range g.ask {
			b.gather(g.x, b.rows)
			g.ready <- b
		}
	}()
	return g
}

// start asks for rows; take waits for them. They take turns.
func (g *gatherer) start(rows []int) {
	b := g.spare[0]
	g.spare[0], g.spare[1] = g.spare[1], b
	b.rows = rows
	g.ask <- b
}

func (g *gatherer) take() *batch { return <-g.ready }

func (g *gatherer) close() { close(g.ask) }

// view is planned memory for a number of rows and a tensor of the first ones.
type view struct {
	data []float32
	t    tensor.Tensor
}

func newView(rows int, example tensor.Shape) view {
	t := tensor.Batch(rows, example)
	return view{data: t.Data, t: *t}
}

// of is the first n rows. The next call takes its place.
func (v *view) of(n int) *tensor.Tensor { return v.between(0, n) }

// between is the rows lo ≤ i < hi. The next call takes its place.
func (v *view) between(lo, hi int) *tensor.Tensor {
	stride := v.t.Stride()
	v.t.Shape[0] = hi - lo
	v.t.Data = v.data[lo*stride : hi*stride]
	return &v.t
}

// normal fills a row for each example with N(0, 1), keyed by stream, epoch,
// example and dimension.
func normal(k *kernel.Engine, dst *tensor.Tensor, seed, stream uint64, epoch int, examples []uint64) {
	d := dst.Stride()
	for i, e := range examples {
		k.Normal(dst.Row(i), kernel.Key{Seed: seed, Stream: stream + uint64(epoch)}, e*uint64(d))
	}
}
