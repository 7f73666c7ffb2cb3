package preprocess

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Map is a Section for examples of one shape. It keeps the dimensions' order,
// which is NHWC for images on both sides: turning them is the host's affair.
// It is safe for concurrent use, and rows have the same bits in any batch. A
// nil Map leaves everything as it is.
type Map struct {
	scale, mean, std []float32 // one per channel, in the model's order
	reverse          bool      // the channels: the model's first is the guard's last
}

// make is nil for the identity.
func (s *Section) make(channels int) *Map {
	m := &Map{reverse: s.Channels == BGR}
	same := !m.reverse
	for c := range channels {
		scale, mean, std := s.Scale.at(c, 1), s.Mean.at(c, 0), s.Std.at(c, 1)
		m.scale, m.mean, m.std = append(m.scale, scale), append(m.mean, mean), append(m.std, std)
		same = same && scale == 1 && mean == 0 && std == 1
	}
	if same {
		return nil
	}
	return m
}

// from is the guard's channel that the model's channel c is made of.
func (m *Map) from(c int) int {
	if m.reverse {
		return len(m.scale) - 1 - c
	}
	return c
}

// Apply maps rows of guard space, (N, …, C), to model space: (x·scale − mean)/std
// with every step rounded to float32, which is what NumPy and PyTorch compute.
// x is not changed; it is the answer where there is nothing to do, nil included.
func (m *Map) Apply(x *tensor.Tensor) *tensor.Tensor {
	if m == nil || x == nil {
		return x
	}
	y := tensor.New(x.Shape...)
	n := len(m.scale)
	for i := 0; i < len(y.Data); i += n {
		for c := range n {
			scaled := float32(x.Data[i+m.from(c)] * m.scale[c]) // a conversion keeps the compiler from fusing
			y.Data[i+c] = float32(scaled-m.mean[c]) / m.std[c]
		}
	}
	return y
}

// Pull maps a gradient with respect to rows of model space to the one with
// respect to rows of guard space: the transpose of Apply's Jacobian, scale/std in
// its channel, rounded once.
func (m *Map) Pull(dy *tensor.Tensor) *tensor.Tensor {
	if m == nil || dy == nil {
		return dy
	}
	dx := tensor.New(dy.Shape...)
	n := len(m.scale)
	for i := 0; i < len(dx.Data); i += n {
		for c := range n {
			factor := float64(m.scale[c]) / float64(m.std[c])
			dx.Data[i+m.from(c)] = float32(float64(dy.Data[i+c]) * factor)
		}
	}
	return dx
}

// Info is what guards and attacks are told of a model that describes itself as
// info, NHWC for images: its legal range is mapped back, exactly, and so is one
// per feature where it differs by channel. What the rounding of the range to
// float32 hides counts as a whole number: [−1, 1] becomes [0, 1]. The digest of
// a model that is ready is that of both together.
func (m *Map) Info(info sdk.Info) sdk.Info { return m.info(info, false) }

// Turned is Info for a model whose dimensions are in another order than it
// declares: Section.Layout is part of the digest then. m may be nil.
func (m *Map) Turned(info sdk.Info) sdk.Info { return m.info(info, true) }

func (m *Map) info(info sdk.Info, turned bool) sdk.Info {
	if m == nil && !turned {
		return info
	}
	if info.Ready {
		info.Digest = m.digest(info, turned)
	}
	if m != nil && len(info.Lo) > 0 && len(info.Hi) > 0 {
		info.Lo, info.Hi = m.interval(info.Lo, info.Hi, info.InputShape.Size())
	}
	return info
}

// interval maps a legal range back. It has one number a side, or features.
func (m *Map) interval(lo, hi []float32, features int) (guardLo, guardHi []float32) {
	n := len(m.scale)
	size := max(len(lo), len(hi))
	if size == 1 {
		size = n
	}
	guardLo, guardHi = make([]float32, size), make([]float32, size)
	for i := range size {
		c := i % n
		j := i - c + m.from(c)
		a, b := m.inverse(c, lo[min(i, len(lo)-1)]), m.inverse(c, hi[min(i, len(hi)-1)])
		guardLo[j], guardHi[j] = min(a, b), max(a, b)
	}
	if uniform(guardLo) && uniform(guardHi) {
		return guardLo[:1], guardHi[:1]
	}
	if size < features {
		guardLo, guardHi = slices.Repeat(guardLo, features/n), slices.Repeat(guardHi, features/n)
	}
	return guardLo, guardHi
}

// inverse is the guard's number for the model's y in channel c.
func (m *Map) inverse(c int, y float32) float32 {
	spread, mean, scale := float64(y)*float64(m.std[c]), float64(m.mean[c]), float64(m.scale[c])
	x := (spread + mean) / scale
	const half = 1.0 / (1 << 24) // relative error of a number in float32
	blur := 2 * half * (math.Abs(spread) + math.Abs(mean)) / math.Abs(scale)
	if whole := math.Round(x); math.Abs(x-whole) <= blur {
		x = whole + 0 // no negative zero
	}
	return float32(x)
}

func uniform(x []float32) bool {
	return !slices.ContainsFunc(x, func(v float32) bool { return v != x[0] })
}

// digest is of the model and of what its rows go through. A model without a
// digest is known by name and version.
func (m *Map) digest(info sdk.Info, turned bool) string {
	id := struct {
		Model            []string
		Scale, Mean, Std []float32
		Reverse, Turned  bool
	}{Model: []string{info.Digest}, Turned: turned}
	if info.Digest == "" {
		id.Model = []string{info.Name, info.Version}
	}
	if m != nil {
		id.Scale, id.Mean, id.Std, id.Reverse = m.scale, m.mean, m.std, m.reverse
	}
	text, err := json.Marshal(id)
	if err != nil {
		panic("preprocess: numbers that are not finite")
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}
