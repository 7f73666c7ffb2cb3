package dataset

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// synthetic makes rows of bytes, or of images of their own sizes, on the way.
type synthetic struct {
	shape  tensor.Shape
	n, at  int
	random bool // rows can be made in any order
	wrong  bool // and are then others
	failed int  // the row that At cannot give; 0: none
	row    []float32
}

func (s *synthetic) Example() tensor.Shape { return s.shape }
func (s *synthetic) Count() int            { return s.n }
func (s *synthetic) Parts() []Part         { return []Part{{Digest: "synthetic", Rows: s.n}} }
func (s *synthetic) Close() error          { return nil }
func (s *synthetic) Random() bool          { return s.random }

func (s *synthetic) Next(dst []float32) error {
	if s.at == s.n {
		return io.EOF
	}
	s.fill(dst, s.at)
	s.at++
	return nil
}

func (s *synthetic) At(dst []float32, i int) error {
	if i == s.failed && i > 0 {
		return errors.New("the disk is gone")
	}
	s.fill(dst, i)
	if s.wrong {
		dst[0]++
	}
	return nil
}

func (s *synthetic) fill(dst []float32, i int) {
	for j := range dst {
		dst[j] = float32((i*31+j*7)%256) / 255
	}
}

type syntheticImages struct{ synthetic }

func (s *syntheticImages) White() float64 { return 1 }

func (s *syntheticImages) NextImage() ([]float32, [3]int, error) {
	shape := [3]int{2 + s.at%3, 2, 1}
	s.row = append(s.row[:0], make([]float32, shape[0]*shape[1])...)
	return s.row, shape, s.Next(s.row)
}

// keptRows stores the rows of a reader as a source with stream would.
func keptRows(t *testing.T, r Reader, d Door) (*Data, error) {
	t.Helper()
	temp := t.TempDir()
	data, err := newOpened(r).store(Source{File: "synthetic"}, OpenOptions{Temp: temp, Door: d})
	if err == nil {
		t.Cleanup(func() {
			if err := data.Stored.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	left, readErr := os.ReadDir(temp)
	if readErr != nil || runtime.GOOS != "windows" && len(left) > 0 {
		t.Errorf("the temporary file has a name: %v, %v", left, readErr)
	}
	return data, err
}

// TestSpool gives rows back to the last bit, whatever they are made of.
func TestSpool(t *testing.T) {
	s, err := newSpool(t.TempDir(), "rows")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var units []float32
	for b := range 256 {
		units = append(units, float32(b)/255)
	}
	negative := float32(math.Copysign(0, -1))
	rows := [][]float32{{0, 1, 255, 17}, units, {0.5, 1e30, -1, float32(math.NaN())}, {negative, 1}, {256}, {1, 0}, {}, {0.1}}
	sizes := []int64{4, 256, 16, 8, 4, 2, 0, 4}
	for i, r := range rows {
		before := s.size
		if err := s.add(r, [3]int{}); err != nil {
			t.Fatal(err)
		}
		if s.size-before != sizes[i] {
			t.Errorf("row %d takes %d bytes, want %d", i, s.size-before, sizes[i])
		}
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	for i := len(rows) - 1; i >= 0; i-- {
		got := make([]float32, len(rows[i]))
		if err := s.At(got, i); err != nil {
			t.Fatal(err)
		}
		for j, v := range got {
			if math.Float32bits(v) != math.Float32bits(rows[i][j]) {
				t.Errorf("row %d, number %d is %v, want %v", i, j, v, rows[i][j])
			}
		}
	}
	if err := s.At(make([]float32, 3), 0); err == nil {
		t.Error("a row of 4 numbers read as 3")
	}
}

// TestSpoolFull: a file that cannot grow is an error that says where it is.
func TestSpoolFull(t *testing.T) {
	s, err := newSpool(t.TempDir(), "x.csv")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 1 << 10 {
		if err = s.add(make([]float32, 1<<10), [3]int{}); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "x.csv: the temporary file of its rows in "+s.dir) {
		t.Errorf("a file that is closed: %v", err)
	}
	if err := s.flush(); err == nil {
		t.Error("what could not be written is forgotten")
	}
}

// tall is a door that keeps the height of each image alone.
type tall struct{}

func (tall) Raw() tensor.Shape { return nil }

func (tall) Enter(r Reader) (Entered, error) { return tallRows{r.(Varied)}, nil }

type tallRows struct{ Varied }

func (tallRows) Example() tensor.Shape { return tensor.Shape{1} }

func (r tallRows) Next(dst []float32) error {
	x, shape, err := r.NextImage()
	if err == nil {
		dst[0] = float32(shape[0]) + x[len(x)-1]
	}
	return err
}

// TestStoredImages: images of their own sizes keep them.
func TestStoredImages(t *testing.T) {
	make := func() Reader { return &syntheticImages{synthetic{shape: tensor.Shape{2, 2, 1}, n: 9, random: true}} }
	o := newOpened(make())
	if err := o.enter(tall{}); err != nil {
		t.Fatal(err)
	}
	want, err := o.collect()
	if err != nil {
		t.Fatal(err)
	}
	d, err := keptRows(t, make(), tall{})
	if err != nil {
		t.Fatal(err)
	}
	order := []int{8, 0, 4, 4, 7, 1, 2, 3, 5, 6}
	got, err := Take(d.Stored, order)
	if err != nil || !slices.Equal(got.Data, want.X.Gather(order).Data) {
		t.Errorf("rows %v are %v, want %v; %v", order, got.Data, want.X.Gather(order).Data, err)
	}
}

// TestStoredFaults: rows that are read again are told by their place, and a
// reader whose At does not give what Next does is refused.
func TestStoredFaults(t *testing.T) {
	r := &synthetic{shape: tensor.Shape{4}, n: 9, random: true}
	d, err := keptRows(t, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.failed = 5
	picked := d.take([]int{7, 5})
	_, err = Take(picked.Stored, []int{0, 1})
	var bad *RowError
	if !errors.As(err, &bad) || bad.Row != 5 || err.Error() != "synthetic: row 5: the disk is gone" {
		t.Errorf("row 5: %v", err)
	}
	if _, err := keptRows(t, &synthetic{shape: tensor.Shape{4}, n: 9, random: true, wrong: true}, nil); err == nil || !strings.Contains(err.Error(), "row 8 is another when it is read again") {
		t.Errorf("another row: %v", err)
	}
	if _, err := keptRows(t, &synthetic{shape: tensor.Shape{4}}, nil); err == nil || err.Error() != "no rows" {
		t.Errorf("no rows: %v", err)
	}
	o := newOpened(&synthetic{shape: tensor.Shape{4}, n: 9})
	stop := errors.New("stop")
	if _, err := o.store(Source{File: "synthetic"}, OpenOptions{Temp: t.TempDir(), Progress: func(done, _ int) error {
		if done == 4 {
			return stop
		}
		return nil
	}}); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
	if _, err := o.store(Source{File: "synthetic"}, OpenOptions{Temp: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "temporary file") {
		t.Errorf("no folder: %v", err)
	}
}

// TestTooLarge: more numbers than memory takes are told as such.
func TestTooLarge(t *testing.T) {
	if _, err := ReadAll(&synthetic{shape: tensor.Shape{1 << 20}, n: 1 << 11}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("2^31 numbers: %v", err)
	}
}

// TestStoredMemory goes over 384 MiB of rows (as float32) three times in batches
// with a heap of a few.
func TestStoredMemory(t *testing.T) {
	const (
		rows  = 1 << 15
		limit = 24 << 20
	)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
	for _, random := range []bool{true, false} {
		runtime.GC()
		before := heap()
		d, err := keptRows(t, &synthetic{shape: tensor.Shape{32, 32, 3}, n: rows, random: random}, nil)
		if err != nil {
			t.Fatal(err)
		}
		peak := before
		x := tensor.Batch(64, d.Example())
		for epoch := range 2 {
			order := Order(d.N(), 1, epoch)
			for lo := 0; lo < len(order); lo += 64 {
				if err := d.Stored.Gather(x, order[lo:lo+64]); err != nil {
					t.Fatal(err)
				}
				if lo%(64*64) == 0 {
					peak = max(peak, heap())
				}
			}
		}
		if peak-before > limit {
			t.Errorf("random access %t: the heap grew by %d MiB, want at most %d", random, (peak-before)>>20, limit>>20)
		}
	}
}

// heap is the memory of objects, dead ones included.
func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// TestStreamedSource: split, range and limit pick the rows that they pick in
// memory, and the file is one that is nobody's format otherwise.
func TestStreamedSource(t *testing.T) {
	formats := registry.NewTable[Format]("format", registry.Entry[Format]{Name: "synthetic", Default: syntheticFormat{}})
	file := filepath.Join(t.TempDir(), "x.synthetic")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, src := range []Source{
		{File: file}, {File: file, Range: []int{3, 17}}, {File: file, Shuffle: true}, {File: file, Shuffle: true, SplitSeed: 2, Range: []int{3, 17}, Limit: 9}, {File: file, Limit: 5}, {File: file, Split: "test", SplitSeed: 3, Limit: 4},
	} {
		want, err := Open(src, "", registry.Table[Set]{}, formats)
		if err != nil {
			t.Fatal(err)
		}
		src.Stream = true
		d, err := Open(src, "", registry.Table[Set]{}, formats)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for row, err := range Each(d.Examples()) {
			if err != nil || !slices.Equal(row, want.X.Row(got)) {
				t.Errorf("%v: row %d is %v, want %v; %v", src, got, row, want.X.Row(got), err)
			}
			got++
		}
		if got != want.N() || !slices.Equal(d.Index, want.Index) || Shared(d, want) != got {
			t.Errorf("%v: %d rows %v, want %d: %v", src, got, d.Index, want.N(), want.Index)
		}
		if err := d.Stored.Close(); err != nil {
			t.Error(err)
		}
	}
}

type syntheticFormat struct{}

func (syntheticFormat) Traits() Traits { return Traits{Extensions: []string{".synthetic"}} }

func (syntheticFormat) Open(string, ReadOptions) (Reader, error) {
	return &synthetic{shape: tensor.Shape{3}, n: 40}, nil
}
