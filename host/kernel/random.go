package kernel

import (
	"math"
	"math/bits"
)

// Key names a stream of random numbers: a counter-based generator
// (Philox 4×32-10, Salmon et al. 2011), so that number i of a stream depends
// on the key and i alone.
type Key struct{ Seed, Stream uint64 }

// Philox's constants.
const (
	philoxM0 = 0xD2511F53
	philoxM1 = 0xCD9E8D57
	philoxW0 = 0x9E3779B9
	philoxW1 = 0xBB67AE85
)

// philox is one block of four numbers: counter (i, stream), key seed.
func philox(k Key, i uint64) [4]uint32 {
	c0, c1, c2, c3 := uint32(i), uint32(i>>32), uint32(k.Stream), uint32(k.Stream>>32)
	k0, k1 := uint32(k.Seed), uint32(k.Seed>>32)
	for range 10 {
		h0, l0 := bits.Mul32(philoxM0, c0)
		h1, l1 := bits.Mul32(philoxM1, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += philoxW0
		k1 += philoxW1
	}
	return [4]uint32{c0, c1, c2, c3}
}

// Uniform fills dst with numbers first, first+1, … of the stream, in [0, 1),
// multiples of 2⁻²⁴.
func (e *Engine) Uniform(dst []float32, k Key, first uint64) {
	e.job.run, e.job.y, e.job.key, e.job.first = runUniform, dst, k, first
	e.each(len(dst))
}

func runUniform(e *Engine, j *job, worker, lo, hi int) {
	e.fillBlocks(j.y[lo:hi], &j.key, j.first+uint64(lo), worker, e.ops.uniform)
}

// Normal fills dst with numbers first, first+1, … of the stream, N(0, 1), by
// Box and Muller's method from 24-bit uniforms: none beyond ±5.8.
func (e *Engine) Normal(dst []float32, k Key, first uint64) {
	e.job.run, e.job.y, e.job.key, e.job.first = runNormal, dst, k, first
	e.each(len(dst))
}

func runNormal(e *Engine, j *job, worker, lo, hi int) {
	e.fillBlocks(j.y[lo:hi], &j.key, j.first+uint64(lo), worker, e.ops.normal)
}

// randomRun is how many numbers the levels make at once, from a first number
// that is a multiple of it.
const randomRun = 64

// fillBlocks calls fill for runs that start at multiples of randomRun.
func (e *Engine) fillBlocks(dst []float32, k *Key, first uint64, worker int, fill func(dst *[randomRun]float32, k *Key, block uint64)) {
	run := (*[randomRun]float32)(e.room(worker, randomRun))
	for len(dst) > 0 {
		skip := int(first % randomRun)
		if skip == 0 && len(dst) >= randomRun {
			fill((*[randomRun]float32)(dst), k, first/4)
			dst, first = dst[randomRun:], first+randomRun
			continue
		}
		fill(run, k, (first-uint64(skip))/4)
		n := copy(dst, run[skip:])
		dst, first = dst[n:], first+uint64(n)
	}
}

const unit24 = 1.0 / (1 << 24)

func uniformGo(dst *[randomRun]float32, k *Key, block uint64) {
	for i := 0; i < randomRun; i += 4 {
		w := philox(*k, block+uint64(i/4))
		for q, v := range w {
			dst[i+q] = float32(v>>8) * unit24
		}
	}
}

func normalGo(dst *[randomRun]float32, k *Key, block uint64) {
	for i := 0; i < randomRun; i += 4 {
		w := philox(*k, block+uint64(i/4))
		for q := 0; q < 4; q += 2 {
			r := math.Sqrt(-2 * math.Log(float64(w[q]>>8+1)*unit24))
			sin, cos := math.Sincos(2 * math.Pi * unit24 * float64(w[q+1]>>8))
			dst[i+q], dst[i+q+1] = float32(r*cos), float32(r*sin)
		}
	}
}
