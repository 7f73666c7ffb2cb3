package kernel

import "unsafe"

// vectorLanes is how many numbers a vector has.
func vectorLanes(l Level) int {
	if l == AVX2 {
		return 8
	}
	return 16
}

// planeTiles512 and planeTiles256 are how many vectors a tile of 1, 2, … rows of planes has, as
// the generator has them.
var planeTiles512, planeTiles256 = [8]int{8, 8, 6, 6, 4, 4, 3, 3}, [8]int{8, 4, 3, 2, 2, 2, 1, 1}

func planeTile(l Level, rows int) int {
	if l == AVX2 {
		return planeTiles256[rows-1]
	}
	return planeTiles512[rows-1]
}

// runWalk computes tiles of w columns; rows of b are whole vectors.
func runWalk(l Level, p *walk, w int) {
	q := (*byte)(unsafe.Pointer(p))
	switch {
	case l == AVX2:
		p.mask = uintptr(unsafe.Pointer(&lanes[16-w]))
		walk256x2(q)
	case w <= 16:
		p.mask = 1<<w - 1
		walk512x1(q)
	default:
		p.mask = 1<<w - 1
		walk512x2(q)
	}
}

// runPlane computes rows of planes, 1 to 8.
func runPlane(l Level, p *plane, rows int) {
	q := (*byte)(unsafe.Pointer(p))
	if l == AVX2 {
		switch rows {
		case 1:
			plane256r1(q)
		case 2:
			plane256r2(q)
		case 3:
			plane256r3(q)
		case 4:
			plane256r4(q)
		case 5:
			plane256r5(q)
		case 6:
			plane256r6(q)
		case 7:
			plane256r7(q)
		default:
			plane256r8(q)
		}
		return
	}
	switch rows {
	case 1:
		plane512r1(q)
	case 2:
		plane512r2(q)
	case 3:
		plane512r3(q)
	case 4:
		plane512r4(q)
	case 5:
		plane512r5(q)
	case 6:
		plane512r6(q)
	case 7:
		plane512r7(q)
	default:
		plane512r8(q)
	}
}
