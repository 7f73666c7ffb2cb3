package kernel

import "unsafe"

// stream is memory to be fetched ahead, as the assembly reads it: pieces of 128
// bytes, from at up to end, step bytes apart. It is a hint: no element is read,
// and an address may lie after the memory.
type stream struct {
	at   uintptr
	step int
	end  uintptr
}

// fetch is what a thread fetches while it multiplies, because it needs that next
// and the processor would not guess it.
type fetch struct {
	panel    stream // during the next panel, before the list
	list     [urgentStreams + maxStreams + 1]stream
	from, to int
}

const (
	lineBytes     = 64
	pieceBytes    = 2 * lineBytes
	maxStreams    = 32 // of a block
	urgentStreams = 8  // before those
)

// reset forgets all.
func (f *fetch) reset() { f.from, f.to, f.panel = urgentStreams, urgentStreams, stream{} }

// fetcher is the worker's, with nothing to fetch yet.
func (e *Engine) fetcher(worker int) *fetch {
	f := &e.fetches[worker]
	f.reset()
	return f
}

// urgent adds bytes in one piece before the rest of the list.
func (f *fetch) urgent(data []float32, n int) {
	if f.from > 0 && len(data) >= n {
		f.from--
		f.list[f.from] = stream{address(data), pieceBytes, address(data) + uintptr(4*n)}
	}
}

// block adds rows of width numbers, ld apart.
func (f *fetch) block(data []float32, rows, width, ld int) {
	if rows <= 0 || width <= 0 || len(data) == 0 {
		return
	}
	at := address(data)
	if width == ld {
		width, rows = width*rows, 1
	}
	if rows < 8 { // long rows: as they lie
		for range rows {
			f.add(stream{at, pieceBytes, at + uintptr(4*width) + lineBytes - 4})
			at += uintptr(4 * ld)
		}
		return
	}
	bytes := 4 * width
	if at%lineBytes != 0 || 4*ld%lineBytes != 0 { // a row may end in a line more
		bytes += lineBytes - 4
	}
	for q := 0; q < bytes; q += pieceBytes {
		f.add(stream{at, 4 * ld, at + uintptr(4*ld*rows)})
		at += pieceBytes
	}
}

// matrix adds the block of rows [i0, i1) and columns [p0, p1) of a, as far as
// there are any.
func (f *fetch) matrix(a Matrix, i0, i1, p0, p1 int) {
	i1, p1 = min(i1, a.Rows), min(p1, a.Cols)
	if i0 >= i1 || p0 >= p1 {
		return
	}
	data := a.Data[i0*a.RowStride+p0*a.ColStride:]
	switch {
	case a.ColStride == 1:
		f.block(data, i1-i0, p1-p0, a.RowStride)
	case a.RowStride == 1:
		f.block(data, p1-p0, i1-i0, a.ColStride)
	}
}

func address(data []float32) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(data))) }

func (f *fetch) add(s stream) {
	if f.to < len(f.list)-1 {
		f.list[f.to] = s
		f.to++
	}
}

// left says how far the panel came: the stream at queue is the next, and now is
// under way.
func (f *fetch) left(queue unsafe.Pointer, now stream) {
	to := int(uintptr(queue)-uintptr(unsafe.Pointer(&f.list[0]))) / int(unsafe.Sizeof(stream{}))
	if to > f.from && now.at < now.end {
		to--
		f.list[to].at = now.at
	}
	f.from = to
}
