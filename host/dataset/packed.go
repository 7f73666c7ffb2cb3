package dataset

import (
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Packed are rows in memory that take a byte a number, of a set whose numbers have at
// most 256 values, or as many a channel: bytes as files have them, those divided by
// 255, and whatever else a step makes of bytes one by one. Each value is kept to its
// last bit, so that rows are what they would be as float32.
type Packed struct {
	example tensor.Shape
	values  [][codes]float32 // of each channel, or of all
	codes   []byte           // N rows of one for each number
	index   []int            // of each row in codes; nil: all in order
}

var _ Examples = (*Packed)(nil)

// codes is how many values a byte tells apart.
const codes = 256

// N implements Examples.
func (p *Packed) N() int {
	if p.index != nil {
		return len(p.index)
	}
	return len(p.codes) / p.example.Size()
}

// Example implements Examples.
func (p *Packed) Example() tensor.Shape { return p.example }

// Gather implements Examples.
func (p *Packed) Gather(dst *tensor.Tensor, rows []int) error {
	size, channels := p.example.Size(), len(p.values)
	for i, r := range rows {
		if p.index != nil {
			r = p.index[r]
		}
		from, to := p.codes[r*size:(r+1)*size], dst.Row(i)[:size]
		if channels == 1 {
			values := &p.values[0]
			for j, c := range from {
				to[j] = values[c]
			}
			continue
		}
		for j := 0; j < size; j += channels {
			for k := range channels {
				to[j+k] = p.values[k][from[j+k]]
			}
		}
	}
	return nil
}

// Tensor is all rows as float32, (N, example…), shared with no one.
func (p *Packed) Tensor() *tensor.Tensor {
	x := tensor.Batch(p.N(), p.example)
	rows := make([]int, p.N())
	for i := range rows {
		rows[i] = i
	}
	_ = p.Gather(x, rows) // has no errors
	return x
}

// Expanded is d with its rows in X; d itself if they are not Packed. They take four
// bytes a number for as long as the result is kept.
func (d *Data) Expanded() *Data {
	if d.Packed == nil {
		return d
	}
	out := *d
	out.X, out.Packed = d.Packed.Tensor(), nil
	return &out
}

// gathering is rows that are being read: bytes as long as they can be packed, then
// numbers.
type gathering struct {
	example tensor.Shape
	size    int
	packing *packing // nil: the rows are in floats
	bytes   []byte
	floats  []float32
}

// newGathering makes room for so many rows. pack says whether to try.
func newGathering(example tensor.Shape, room int, pack bool) *gathering {
	g := &gathering{example: example.Clone(), size: example.Size()}
	if pack {
		g.packing, g.bytes = newPacking(example), make([]byte, 0, room*g.size)
		return g
	}
	g.floats = make([]float32, 0, room*g.size)
	return g
}

// numbers is how many there are.
func (g *gathering) numbers() int { return max(len(g.bytes), len(g.floats)) }

// add appends a row.
func (g *gathering) add(row []float32) {
	if g.packing != nil {
		at := len(g.bytes)
		g.bytes = slices.Grow(g.bytes, len(row))[:at+len(row)]
		if g.packing.encode(g.bytes[at:], row) {
			return
		}
		g.bytes = g.bytes[:at]
		g.floats = make([]float32, 0, max(cap(g.bytes), at+len(row)))
		p := g.packed(nil)
		g.floats = append(g.floats, p.Tensor().Data...)
		g.packing, g.bytes = nil, nil
	}
	g.floats = append(g.floats, row...)
}

// packed are the rows by index.
func (g *gathering) packed(index []int) *Packed {
	return &Packed{example: g.example, values: g.packing.values, codes: g.bytes, index: index}
}

// give gives d the rows, those of index, in order; nil: all.
func (g *gathering) give(d *Data, index []int) {
	if g.packing != nil {
		d.Packed = g.packed(index)
		return
	}
	d.X = tensor.From(g.floats, append([]int{len(g.floats) / g.size}, g.example...)...)
	if index != nil {
		d.X = d.X.Gather(index)
	}
}

// packing finds the codes of numbers.
type packing struct {
	values [][codes]float32
	used   []int
	tables [][slots]slot
}

// slots is a power of two well above codes.
const (
	slotBits = 10
	slots    = 1 << slotBits
)

// slot is a value that has a code; code 0 with used 0 is a free one.
type slot struct {
	bits uint32
	code uint8
	used bool
}

// newPacking has values of their own for each channel of an image.
func newPacking(example tensor.Shape) *packing {
	channels := 1
	if last := len(example) - 1; last == 2 && example[last] <= 4 {
		channels = example[last]
	}
	return &packing{values: make([][codes]float32, channels), used: make([]int, channels), tables: make([][slots]slot, channels)}
}

// encode writes the codes of a row; false if there are more values than bytes.
func (p *packing) encode(dst []byte, row []float32) bool {
	channels := len(p.tables)
	for k := range channels {
		table := &p.tables[k]
		for j := k; j < len(row); j += channels {
			bits := math.Float32bits(row[j])
			at := bits * 2654435761 >> (32 - slotBits)
			for table[at].used && table[at].bits != bits {
				at = (at + 1) % slots
			}
			if !table[at].used {
				if p.used[k] == codes {
					return false
				}
				table[at] = slot{bits, uint8(p.used[k]), true}
				p.values[k][p.used[k]] = row[j]
				p.used[k]++
			}
			dst[j] = table[at].code
		}
	}
	return true
}
