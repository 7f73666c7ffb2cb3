package kernel

import (
	"testing"
	"unsafe"
)

// TestFetchBlock: every byte of a block is in some piece of the list.
func TestFetchBlock(t *testing.T) {
	for _, s := range []struct {
		name           string
		a              Matrix
		i0, i1, p0, p1 int
	}{
		{"rows", Dense(make([]float32, 300*700), 300, 700), 14, 182, 256, 512},
		{"columns", Dense(make([]float32, 700*300), 700, 300).T(), 168, 400, 0, 256},
		{"contiguous", Dense(make([]float32, 700*48), 700, 48).T(), 0, 48, 256, 512},
		{"past the end", Dense(make([]float32, 50*60), 50, 60), 40, 208, 0, 256},
		{"few rows", Dense(make([]float32, 3*600), 3, 600), 0, 3, 256, 512},
	} {
		var f fetch
		f.reset()
		f.matrix(s.a, s.i0, s.i1, s.p0, s.p1)
		lines := map[uintptr]bool{}
		for _, one := range f.list[f.from:f.to] {
			for at := one.at; at < one.end; at += uintptr(one.step) {
				lines[at/64], lines[at/64+1] = true, true
			}
		}
		for i := s.i0; i < min(s.i1, s.a.Rows); i++ {
			for p := s.p0; p < min(s.p1, s.a.Cols); p++ {
				at := address(s.a.Data[i*s.a.RowStride+p*s.a.ColStride:])
				if !lines[at/64] {
					t.Fatalf("%s: element (%d, %d) is not fetched", s.name, i, p)
				}
			}
		}
	}
}

// TestFetchLeft: what a panel did not come to is fetched during the next.
func TestFetchLeft(t *testing.T) {
	var f fetch
	f.reset()
	f.add(stream{1000, 128, 2000})
	f.add(stream{5000, 128, 6000})
	f.left(unsafe.Pointer(&f.list[f.from]), stream{10, 128, 20}) // still at the panel's own
	if f.to-f.from != 2 || f.list[f.from].at != 1000 {
		t.Errorf("nothing begun: %v", f.list[f.from:f.to])
	}
	f.left(unsafe.Pointer(&f.list[f.from+1]), stream{1128, 128, 2000})
	if f.to-f.from != 2 || f.list[f.from].at != 1128 {
		t.Errorf("one begun: %v", f.list[f.from:f.to])
	}
	f.left(unsafe.Pointer(&f.list[f.to]), stream{6024, 128, 6000})
	if f.to != f.from {
		t.Errorf("all done: %v left", f.list[f.from:f.to])
	}
}
