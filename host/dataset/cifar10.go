package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	cifarSide   = 32
	cifarRecord = 1 + 3*cifarSide*cifarSide // a class and three planes
)

// cifarRows reads CIFAR-10's binary batches: a byte of class, then the red,
// green and blue planes of 32×32. They come out as 32×32×3 in [0, 1].
type cifarRows struct {
	files []string
	names []string
	n     int
	at    *content
	done  []Part
	class byte
	buf   [cifarRecord]byte
	total int
}

// openCIFAR10 opens the batches of a split (train, test, or both for "") in
// dir or its subfolder cifar-10-batches-bin. Class names are taken from
// batches.meta.txt where it exists.
func openCIFAR10(dir, split string) (*cifarRows, error) {
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
			return nil, fmt.Errorf("%s: %d bytes are no whole records of %d", f, info.Size(), cifarRecord)
		}
		r.n += int(info.Size() / cifarRecord)
	}
	names, err := os.ReadFile(filepath.Join(dir, "batches.meta.txt"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if r.names = strings.Fields(string(names)); len(r.names) != 10 {
		r.names = nil
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

func (r *cifarRows) example() tensor.Shape { return tensor.Shape{cifarSide, cifarSide, 3} }
func (r *cifarRows) count() int            { return r.n }
func (r *cifarRows) label() string         { return strconv.Itoa(int(r.class)) }
func (r *cifarRows) classes() []string     { return r.names }
func (r *cifarRows) parts() []Part         { return r.done }

func (r *cifarRows) close() error {
	if r.at == nil {
		return nil
	}
	return r.at.close()
}

func (r *cifarRows) next(dst []float32) error {
	for {
		if r.at == nil {
			if len(r.done) == len(r.files) {
				return io.EOF
			}
			c, err := openContent(r.files[len(r.done)])
			if err != nil {
				return err
			}
			r.at = c
		}
		if _, err := r.at.Peek(1); !isEOF(err) {
			break
		}
		r.done = append(r.done, r.at.parts()...)
		if err := r.at.close(); err != nil {
			return err
		}
		r.at = nil
	}
	if err := r.at.full(r.buf[:]); err != nil {
		return err
	}
	r.at.rows++
	r.total++
	r.class = r.buf[0]
	if r.class > 9 {
		return &RowError{Source: r.at.name, Row: r.total - 1, Err: fmt.Errorf("class %d, want 0 to 9", r.class)}
	}
	const plane = cifarSide * cifarSide
	for i := range plane {
		for c := range 3 {
			dst[3*i+c] = float32(r.buf[1+c*plane+i]) / 255
		}
	}
	return nil
}
