package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page, and what their beginnings are multiples of.
const hugePage = 2 << 20

// hugePages asks for huge pages in the whole ones of d, before they are touched.
// It is a hint: a system without them, or with a limit, refuses it.
func hugePages(d []float32) {
	all := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(d))), 4*len(d))
	from := -int(uintptr(unsafe.Pointer(unsafe.SliceData(all)))) & (hugePage - 1)
	if size := (len(all) - from) &^ (hugePage - 1); size > 0 {
		_ = unix.Madvise(all[from:from+size], unix.MADV_HUGEPAGE)
	}
}
