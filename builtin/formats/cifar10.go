package formats

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	cifarSide   = 32
	cifarRecord = 1 + 3*cifarSide*cifarSide // a class and three planes
)

// CIFAR10 is a folder of CIFAR-10's binary batches, with the splits train and
// test (Krizhevsky 2009).
type CIFAR10 struct{}

var _ dataset.Format = CIFAR10{}

// Traits implements dataset.Format.
func (CIFAR10) Traits() dataset.Traits {
	return dataset.Traits{
		Folder: true, Marks: []string{"test_batch.bin", "data_batch_1.bin", "cifar-10-batches-bin"},
		Labelled: true, Splits: []string{"train", "test"},
	}
}

// Open implements dataset.Format.
func (CIFAR10) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return openCIFAR10(path, o.Split)
}

// cifarRows reads CIFAR-10's binary batches: a byte of class, then the red,
// green and blue planes of 32×32. They come out as 32×32×3 in [0, 1].
type cifarRows struct {
	files []string
	names []string
	n     int
	at    *dataset.Content
	done  []dataset.Part
	class byte
	buf   [cifarRecord]byte
	total int
}

// openCIFAR10 opens the batches of a split (train, test, or both for "") in
// dir or its subfolder cifar-10-batches-bin. Class names are taken from
// batches.meta.txt where it exists.
func openCIFAR10(dir, split string) (dataset.Reader, error) {
	if sub := filepath.Join(dir, "cifar-10-batches-bin"); isDir(sub) {
		dir = sub
	}
	r := &cifarRows{}
	if split == "" || split == "train" {
		list, err := filepath.Glob(filepath.Join(escapeGlob(dir), "data_batch_*.bin"))
		if err != nil {
			return nil, err
		}
		slices.Sort(list)
		r.files = list
		if len(list) == 0 {
			return nil, fmt.Errorf("%s: no data_batch_1.bin: want CIFAR-10's binary version", dir)
		}
	}
	if split == "" || split == "test" {
		r.files = append(r.files, filepath.Join(dir, "test_batch.bin"))
	}
	if len(r.files) == 0 {
		return nil, fmt.Errorf("%s: CIFAR-10 has the splits train and test, not %s: use range", dir, split)
	}
	for _, f := range r.files {
		info, err := os.Stat(f)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size()%cifarRecord != 0 {
			return nil, fmt.Errorf("%s: %d bytes is not a whole number of records of %d bytes", f, info.Size(), cifarRecord)
		}
		r.n += int(info.Size() / cifarRecord)
	}
	names, err := os.ReadFile(filepath.Join(dir, "batches.meta.txt"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if r.names = strings.Fields(string(names)); len(r.names) != 10 {
		r.names = strings.Fields("0 1 2 3 4 5 6 7 8 9")
	}
	return r, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// escapeGlob makes a folder's name match itself alone.
func escapeGlob(dir string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(dir)
}

var (
	_ dataset.LabelledAhead = (*cifarRows)(nil)
	_ dataset.Headed        = (*cifarRows)(nil)
	_ dataset.Bounded       = (*cifarRows)(nil)
)

func (r *cifarRows) Example() tensor.Shape { return tensor.Shape{cifarSide, cifarSide, 3} }
func (r *cifarRows) Count() int            { return r.n }
func (r *cifarRows) Label() string         { return strconv.Itoa(int(r.class)) }
func (r *cifarRows) Classes() []string     { return r.names }
func (r *cifarRows) Parts() []dataset.Part { return r.done }
func (r *cifarRows) Bounded() bool         { return true }

// LabelsAhead implements dataset.LabelledAhead: one byte is read of each record.
func (r *cifarRows) LabelsAhead() (labels []string, err error) {
	for _, name := range r.files {
		f, err := dataset.OpenRegular(name)
		if err != nil {
			return nil, err
		}
		var class [1]byte
		for at := int64(0); err == nil; at += cifarRecord {
			if _, err = f.ReadAt(class[:], at); err == nil {
				labels = append(labels, strconv.Itoa(int(class[0])))
			}
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		if !isEOF(err) {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return labels, nil
}

// White implements dataset.Imaged.
func (r *cifarRows) White() float64 { return 1 }

// Interleaved implements dataset.Interleaved.
func (r *cifarRows) Interleaved() {}

// Header knows the classes where there are no names of them.
func (r *cifarRows) Header() dataset.Header {
	return dataset.Header{Rows: r.n, Example: r.Example(), Classes: 10, Labelled: true}
}

func (r *cifarRows) Close() error {
	if r.at == nil {
		return nil
	}
	return r.at.Close()
}

func (r *cifarRows) Next(dst []float32) error {
	for {
		if r.at == nil {
			if len(r.done) == len(r.files) {
				return io.EOF
			}
			c, err := dataset.OpenContent(r.files[len(r.done)])
			if err != nil {
				return err
			}
			r.at = c
		}
		if _, err := r.at.Peek(1); !isEOF(err) {
			break
		}
		r.done = append(r.done, r.at.Parts()...)
		if err := r.at.Close(); err != nil {
			return err
		}
		r.at = nil
	}
	if err := r.at.Fill(r.buf[:]); err != nil {
		return err
	}
	r.at.Row++
	r.total++
	r.class = r.buf[0]
	if r.class > 9 {
		return &dataset.RowError{Source: r.at.Name, Row: r.total - 1, Err: fmt.Errorf("class %d, want 0 to 9", r.class)}
	}
	const plane = cifarSide * cifarSide
	for i := range plane {
		for c := range 3 {
			dst[3*i+c] = float32(r.buf[1+c*plane+i]) / 255
		}
	}
	return nil
}
