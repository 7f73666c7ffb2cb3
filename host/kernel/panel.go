package kernel

import "unsafe"

// view is a block of A: element (i, p) at data[i*rs+p*cs].
type view struct {
	data   []float32
	rs, cs int
}

func tail(s []float32, from int) []float32 { return s[min(from, len(s)):] }

// slab multiplies an m×kc block of A with kc rows of every panel. Panel j
// starts at b[j·k], k being the depth of the whole packed matrix.
func (e *Engine) slab(m, n, kc int, a view, b []float32, k int, c []float32, ldc int, ep *Epilogue, first, last bool, f *fetch) {
	nr := e.ops.nr
	for j := 0; j < n; j += nr {
		if j+nr < n {
			f.urgent(tail(b, (j+nr)*k), nr*kc)
		} else if !last { // the next block of the first panel
			f.urgent(tail(b, nr*kc), nr*blockK)
		}
		e.tiles(m, min(nr, n-j), kc, a, tail(b, j*k), nr, c[j:], ldc, ep, j, first, last, f)
	}
}

// Modes of tiles: what happens before and after the chains.
const (
	tileAdd  = 1 << iota // chains start from c, not from 0
	tileBias             // then the bias is added
	tileReLU             // then the negative becomes 0
)

// panel is a column of register tiles as the assembly reads it; it counts the
// tiles down and moves a and c on. Strides are in bytes.
type panel struct {
	k                   int
	a                   unsafe.Pointer
	rs, cs              int
	b                   unsafe.Pointer
	bs                  int
	c                   unsafe.Pointer
	ldc                 int
	tiles, height, tall int // tiles left; height of the next, and how many so high
	mode                int
	bias                unsafe.Pointer
	mask                uintptr        // AVX-512: a bit per column; AVX2: lanes
	next                stream         // what to prefetch, as a hint,
	queue, queueEnd     unsafe.Pointer // and then
	control, before     uint32         // MXCSR meanwhile, 0: as it is, and before
}

// tiles multiplies m rows with one panel of w columns, in register tiles of
// nearly equal height: chains of kc multiply-adds for each element.
func (e *Engine) tiles(m, w, kc int, a view, b []float32, bs int, c []float32, ldc int, ep *Epilogue, col int, first, last bool, f *fetch) {
	mode := 0
	whole := (kc-1)*bs+e.ops.nr <= len(b) // what is read beyond w columns lies within b
	var bias []float32
	if !first || ep.Accumulate {
		mode = tileAdd
	}
	if last {
		if ep.Bias != nil {
			mode |= tileBias
			bias = ep.Bias[col : col+w]
		}
		if ep.Act.Kind == ReLU && ep.Pre == nil {
			mode |= tileReLU
		}
	}
	if e.level == Generic {
		const mr = 8
		for i := 0; i < m; i += mr {
			tile := tileGo
			if e.half.on {
				tile = tileHalf
			}
			tile(kc, tail(a.data, i*a.rs), a.rs, a.cs, b, bs, c[i*ldc:], ldc, min(mr, m-i), w, mode, bias)
		}
		return
	}
	count := (m + e.ops.mr - 1) / e.ops.mr
	height := (m + count - 1) / count
	p := panel{
		k: kc, a: unsafe.Pointer(unsafe.SliceData(a.data)), rs: 4 * a.rs, cs: 4 * a.cs,
		b: unsafe.Pointer(unsafe.SliceData(b)), bs: 4 * bs,
		c: unsafe.Pointer(unsafe.SliceData(c)), ldc: 4 * ldc,
		tiles: count, height: height, tall: m - (height-1)*count,
		mode: mode, bias: unsafe.Pointer(unsafe.SliceData(bias)),
	}
	if e.half.on {
		p.control = flushing
	}
	if f != nil && f.panel.at < f.panel.end {
		p.next = f.panel
	} else if first {
		at := uintptr(p.c)
		p.next = stream{at + uintptr(4*height*ldc), 4 * ldc, at + uintptr(4*m*ldc)}
	}
	if f == nil {
		runPanel(e.level, e.half.pairs, &p, w, whole)
		return
	}
	p.queue, p.queueEnd = unsafe.Pointer(&f.list[f.from]), unsafe.Pointer(&f.list[f.to])
	runPanel(e.level, e.half.pairs, &p, w, whole)
	f.left(p.queue, p.next)
}
