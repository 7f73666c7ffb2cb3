package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate go -C gen run . -part gemm -out ../gemm_amd64.s -stubs ../gemm_amd64.go -pkg kernel
//go:generate go -C gen run . -part pack -out ../pack_amd64.s -stubs ../pack_amd64.go -pkg kernel
//go:generate go -C gen run . -part rows -out ../rows_amd64.s -stubs ../rows_amd64.go -pkg kernel
//go:generate go -C gen run . -part maps -out ../maps_amd64.s -stubs ../maps_amd64.go -pkg kernel
//go:generate go -C gen run . -part reduce -out ../reduce_amd64.s -stubs ../reduce_amd64.go -pkg kernel
//go:generate go -C gen run . -part random -out ../random_amd64.s -stubs ../random_amd64.go -pkg kernel
//go:generate go -C gen run . -part double -out ../double_amd64.s -stubs ../double_amd64.go -pkg kernel
//go:generate go -C gen run . -part walk -out ../walk_amd64.s -stubs ../walk_amd64.go -pkg kernel
//go:generate go -C gen run . -part half -out ../half_amd64.s -stubs ../half_amd64.go -pkg kernel

// opsOf is the level's table, or nil where the machine lacks it.
func opsOf(l Level) *ops {
	switch l {
	case Generic:
		return &genericOps
	case AVX2:
		if cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2 {
			return &avx2Ops
		}
	case AVX512:
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW &&
			cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2 {
			return &avx512Ops
		}
	}
	return nil
}

// lanes is AVX2's masks: 16 lanes from lanes[16-w] let w through.
var lanes = [32]int32{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

// runPanel computes tiles of w columns. Where whole says that rows of b are whole
// vectors, those of b are loaded without a mask.
func runPanel(l Level, pairs bool, p *panel, w int, whole bool) {
	if l == AVX2 {
		p.mask = uintptr(unsafe.Pointer(&lanes[16-w]))
		panel256x2((*byte)(unsafe.Pointer(p)))
		return
	}
	p.mask = 1<<w - 1
	q := (*byte)(unsafe.Pointer(p))
	if pairs {
		if !whole {
			panic("kernel: bfloat16 that is not packed")
		}
		if w <= 16 {
			pairs512x1(q)
		} else {
			pairs512x2(q)
		}
		return
	}
	switch whole = whole && !maskedLoads; {
	case w <= 16 && (whole || w == 16 && !maskedLoads):
		panel512x1plain(q)
	case w <= 16:
		panel512x1(q)
	case whole || w == 32 && !maskedLoads:
		panel512x2plain(q)
	default:
		panel512x2(q)
	}
}

// hasPairs says that AVX512 multiplies pairs of bfloat16.
var hasPairs = cpu.X86.HasAVX512BF16

// pairAlong makes words of neighbours: rows of n numbers, sld apart, to rows dld
// apart; rows and n are at least 1.
func pairAlong(d, src []float32, dld, sld, rows, n int) {
	_, _ = d[(rows-1)*dld+(n-1)/2], src[(rows-1)*sld+n-1]
	pairAlong512(&d[0], &src[0], 4*dld, 4*sld, rows, n)
}

// pairRows makes words of rows of n numbers, sld apart, each with that of the next
// row: panels of 32 columns are step apart, their rows dld.
func pairRows(d, src []float32, sld, rows, n, dld, step int) {
	if rows == 0 || n == 0 {
		return
	}
	_, _ = d[(n-1)/pairPanel*step+(rows-1)/2*dld+pairPanel-1], src[(rows-1)*sld+n-1]
	full, pairs := n/pairPanel, rows/2
	if pairs > 0 && full > 0 {
		pairRows512(&d[0], &src[0], &src[sld], 8*sld, pairs, full, 4*dld, 4*step, 1<<pairPanel-1)
	}
	if w := n % pairPanel; pairs > 0 && w > 0 {
		at := full * pairPanel
		pairRows512(&d[full*step], &src[at], &src[sld+at], 8*sld, pairs, 1, 4*dld, 4*step, 1<<w-1)
	}
	if rows%2 != 0 {
		for j := 0; j < n; j += pairPanel {
			pairRows512(&d[j/pairPanel*step+pairs*dld], &src[(rows-1)*sld+j], &zeroRow[0], 0, 1, 1, 0, 0, 1<<min(pairPanel, n-j)-1)
		}
	}
}

var zeroRow [pairPanel]float32

// maskedLoads keeps all loads masked, for measuring what plain ones save.
var maskedLoads bool

// packRows packs k rows of whole panels and says how many panels it did.
func packRows(l Level, d, src []float32, ld, k, panels, step int) int {
	switch l {
	case AVX512:
		packRows512(&d[0], &src[0], 4*ld, k, panels, 4*step)
	case AVX2:
		packRows256(&d[0], &src[0], 4*ld, k, panels, 4*step)
	default:
		return 0
	}
	return panels
}

// transpose writes the first rows of h rows of src, w long and ld apart, down
// to number deep of each, as columns of d.
func transpose(l Level, d []float32, dld int, src []float32, ld, h, w int) (rows, deep int) {
	deep = w &^ 3
	if deep == 0 {
		return 0, 0
	}
	// The last group may overlap the one before, whose numbers it writes again.
	switch {
	case l == AVX512 && h >= 16:
		for ; rows < h; rows = min(rows+16, h) {
			i := min(rows, h-16)
			packColumns512(&d[i], &src[i*ld], 4*ld, w/4, 4*dld)
		}
	case l != Generic && h >= 8:
		for ; rows < h; rows = min(rows+8, h) {
			i := min(rows, h-8)
			packColumns256(&d[i], &src[i*ld], 4*ld, w/4, 4*dld)
		}
	}
	return rows, deep
}

// copyRows copies rows of n numbers, dld and sld apart; n and rows are at least 1.
func copyRows(l Level, d, src []float32, dld, sld, rows, n int) {
	_, _ = d[(rows-1)*dld+n-1], src[(rows-1)*sld+n-1]
	switch l {
	case AVX512:
		copyRows512(&d[0], &src[0], 4*dld, 4*sld, rows, n, nil)
	case AVX2:
		copyRows256(&d[0], &src[0], 4*dld, 4*sld, rows, n, &lanes[16-n%8])
	default:
		copyRowsGo(d, src, dld, sld, rows, n)
	}
}

// addRows adds rows as copyRows copies them. The rows of d must not overlap.
func addRows(l Level, d, src []float32, dld, sld, rows, n int) {
	_, _ = d[(rows-1)*dld+n-1], src[(rows-1)*sld+n-1]
	switch l {
	case AVX512:
		addRows512(&d[0], &src[0], 4*dld, 4*sld, rows, n, nil)
	case AVX2:
		addRows256(&d[0], &src[0], 4*dld, 4*sld, rows, n, &lanes[16-n%8])
	default:
		addRowsGo(d, src, dld, sld, rows, n)
	}
}

// columnSums sums columns over rows, ld apart; rows is at least 1.
func columnSums(l Level, d []float64, x []float32, ld, rows int) {
	whole := len(d) &^ 7
	switch {
	case whole > 0 && l == AVX512:
		columnSums512(whole, &d[0], &x[0], 4*ld, rows)
	case whole > 0 && l == AVX2:
		columnSums256(whole, &d[0], &x[0], 4*ld, rows)
	default:
		whole = 0
	}
	if whole < len(d) {
		columnSumsGo(d[whole:], x[whole:], ld, rows)
	}
}

// columnSquares replaces means by the sums of squared differences to them.
func columnSquares(l Level, d []float64, x []float32, ld, rows int) {
	whole := len(d) &^ 7
	switch {
	case whole > 0 && l == AVX512:
		columnSquares512(whole, &d[0], &x[0], 4*ld, rows)
	case whole > 0 && l == AVX2:
		columnSquares256(whole, &d[0], &x[0], 4*ld, rows)
	default:
		whole = 0
	}
	if whole < len(d) {
		columnSquaresGo(d[whole:], x[whole:], ld, rows)
	}
}

// squares adds the squares of x, a multiple of eight, to the sums.
func squares(l Level, x []float32, s *[8]float64) {
	switch l {
	case AVX512:
		squares512(len(x), &x[0], &s[0])
	case AVX2:
		squares256(len(x), &x[0], &s[0])
	default:
		squaresGo(x, s)
	}
}

// peakLoop does n rounds of independent multiply-adds.
func peakLoop(l Level, n int) (flop int) {
	switch l {
	case AVX512:
		peak512(n)
		return n * 12 * 2 * 16
	case AVX2:
		peak256(n)
		return n * 12 * 2 * 8
	}
	return peakGo(n)
}

var (
	avx2Ops   = vectorOps(ops{mr: 6, nr: 16, direct: 12}, &maps256)
	avx512Ops = vectorOps(ops{mr: 14, nr: 32, masked: true, direct: 64}, &maps512)
)
