package onnx

import (
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// A file of 3 kB may describe a tensor of gigabytes, or work for a year. So all
// memory that grows with what a file says comes from a room, which refuses
// before it makes, and work is paid for before it begins.
// TestRoom reads the sources and refuses other ways to memory.

// What a file may take where the config does not say.
const (
	memoryLeast   = 256 << 20 // bytes, whatever the file
	memoryPerByte = 32        // of the file: integers of 4 bits become 64, and are packed as floats
	memoryPerRow  = 768       // per byte of a row of the input: 256 layers of its size, for three rows
	memoryRowMost = 2 << 30   // bytes for the row at most
	memoryBatch   = 4 << 30   // bytes that max_batch may add up to

	workLeast     = 1 << 31 // multiply-adds a row, whatever the file
	workPerByte   = 1 << 11 // of the file: a weight is used at so many places at most
	workPerNumber = 1 << 17 // of a row of the input
	workRowMost   = 1 << 39

	workNode    = 1 << 10 // what a node costs, however little it does
	workElement = 8       // what an element costs that the kernels do not multiply
	workBack    = 4       // a backward pass may do so many times the work of a forward pass
	bytesNode   = 2 << 10 // of a node of the file, its names and places
	bytesEntry  = 64      // of a table of numbers
	bytesValue  = 512     // of a value without its numbers, and of a step back
	fixedRows   = 16      // rows whose work a batch may do that the file fixes
)

// allowance is what loading, or an evaluation and its backward pass, may take.
type allowance struct {
	memory int64 // bytes
	work   int64 // multiply-adds a row
	said   [2]bool
}

// allowanceOf reads the settings. What they leave out follows from the bytes of
// the file and its external data; a row is added once it is known.
func (s *settings) allowanceOf(bytes int64) allowance {
	l := allowance{memory: memoryLeast + memoryPerByte*bytes, work: workLeast + workPerByte*bytes}
	if s.Memory != "" {
		l.memory, l.said[0] = bytesIn(s.Memory), true
	}
	if s.Work > 0 {
		l.work, l.said[1] = int64(min(s.Work, 1<<62)), true
	}
	return l
}

// row adds what a row of n numbers may take.
func (l *allowance) row(n int) {
	if !l.said[0] {
		l.memory += min(memoryRowMost, 4*memoryPerRow*int64(n))
	}
	if !l.said[1] {
		l.work += min(workRowMost, workPerNumber*int64(n))
	}
}

// batch sees that n rows have room, whose results take so many numbers each, and
// for their gradients: whoever sets max_batch wants that many.
func (l *allowance) batch(n, each int) {
	if !l.said[0] {
		l.memory = max(l.memory, min(memoryBatch, times(4*4, times(int64(n), int64(each)))))
	}
}

// bytesIn reads a number with KiB, MiB, GiB or TiB; the schema has checked it.
func bytesIn(s string) int64 {
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			v, _ := strconv.ParseInt(n, 10, 64)
			return v << (10 * (i + 1))
		}
	}
	return 0
}

// inBytes is a size for people.
func inBytes(n int64) string {
	f, unit := float64(n), "bytes"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1000 {
			break
		}
		f, unit = f/1024, u
	}
	return fmt.Sprintf("%.3g %s", f, unit)
}

// room counts what is taken. It belongs to one goroutine at a time but for base
// and all.
type room struct {
	allowance
	base *atomic.Int64 // bytes of the model, shared by all that run it
	all  *atomic.Int64 // bytes held by all that run it
	held int64         // of buffers that serve one pass after another
	made int64         // by this pass, garbage after it
	peak int64         // most at once
	done int64         // work of this pass
	most int64         // that it may do
	per  int64         // rows that it is for
}

func newRoom(l allowance) room {
	return room{allowance: l, base: new(atomic.Int64), all: new(atomic.Int64), per: 1, most: l.work}
}

// begin forgets the pass before.
func (r *room) begin(rows int) {
	r.made, r.done, r.per = 0, 0, int64(max(1, rows))
	r.most = times(r.work, r.per)
}

// taken is everything at once.
func (r *room) taken() int64 { return r.base.Load() + r.held + r.made }

// fits reports whether n more bytes do.
func (r *room) fits(n int64) bool { return n <= r.memory-r.taken() }

// want refuses n more bytes that do not fit.
func (r *room) want(n int64) {
	if !r.fits(n) {
		panic(fault{tooLarge: true, text: fmt.Sprintf("wants %s of memory, with %s taken, and the model may take %s: if the file is to be trusted, memory: %s in the config allows it",
			inBytes(n), inBytes(r.taken()), inBytes(r.memory), enough(r.taken()+min(n, 1<<60)))})
	}
	r.peak = max(r.peak, r.taken()+n)
}

// enough is the next power of two as the config has it.
func enough(n int64) string {
	k := max(20, bits.Len64(uint64(n)))
	if k < 30 {
		return fmt.Sprintf("%dMiB", int64(1)<<(k-20))
	}
	return fmt.Sprintf("%dGiB", int64(1)<<(k-30))
}

// claim counts n things of size bytes for this pass.
func (r *room) claim(n, size int) {
	b := times(int64(n), int64(size))
	r.want(b)
	r.made += b
}

// hold counts bytes that stay after the pass, or fewer.
func (r *room) hold(n int64) {
	if n > 0 {
		r.want(n)
	}
	r.held += n
	r.all.Add(n)
}

// lasting moves what f claims to the model, which keeps it.
func (r *room) lasting(f func()) {
	before := r.made
	f()
	r.base.Add(r.made - before)
	r.made = before
}

// spend counts work before it is done: the product of the numbers, in
// multiply-adds.
func (r *room) spend(factors ...int) {
	n := int64(1)
	for _, f := range factors {
		n = times(n, int64(f))
	}
	if n > r.most-r.done {
		panic(fault{tooLarge: true, text: fmt.Sprintf("wants %.3g multiply-adds or their like, with %.3g done, and %d rows may do %.3g each: if the file is to be trusted, work: %.2g in the config allows it",
			float64(n), float64(r.done), r.per, float64(r.work), 2*float64(r.done+min(n, 1<<61))/float64(r.per))})
	}
	r.done += n
}

// times is a product, or the largest integer; a negative one is that too, for
// sizes that have wrapped round.
func times(a, b int64) int64 {
	if a < 0 || b < 0 {
		return math.MaxInt64
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(lo)
}

// fresh are n zeros for this pass.
func fresh[T any](r *room, n int) []T {
	r.claim(n, int(reflect.TypeFor[T]().Size()))
	return make([]T, n)
}

// copied is xs in memory of its own.
func copied[T any](r *room, xs []T) []T {
	out := fresh[T](r, len(xs))
	copy(out, xs)
	return out
}

// grown is xs with room for n more.
func grown[T any](r *room, xs []T, n int) []T {
	if cap(xs)-len(xs) >= n {
		return xs
	}
	r.claim(max(2*cap(xs), len(xs)+n)-cap(xs), int(reflect.TypeFor[T]().Size()))
	return append(make([]T, 0, max(2*cap(xs), len(xs)+n)), xs...)
}

// arena hands out buffers; after reset the same ones again, for a run with the
// same shapes asks for the same sizes in the same order.
type arena struct {
	all  [][]float32
	next int
	used int // numbers handed out since reset
}

func (a *arena) reset() { a.next, a.used = 0, 0 }

// take is n numbers with any content.
func (a *arena) take(r *room, n int) []float32 {
	if n < 0 {
		r.want(math.MaxInt64)
	}
	if a.next == len(a.all) {
		r.claim(1, 24)
		a.all = append(a.all, nil)
	}
	if had := cap(a.all[a.next]); had < n {
		more := 4 * int64(n-had)
		if !r.fits(more) { // buffers of a pass of other shapes
			a.trim(r, a.next+1)
		}
		r.hold(more)
		a.all[a.next] = nil
		a.all[a.next] = make([]float32, n)
	}
	a.used += n
	a.next++
	return a.all[a.next-1][:n]
}

// trim gives the buffers from place i on back.
func (a *arena) trim(r *room, i int) {
	for _, b := range a.all[min(i, len(a.all)):] {
		r.hold(-4 * int64(cap(b)))
	}
	a.all = slices.Delete(a.all, min(i, len(a.all)), len(a.all))
}
