package datasettest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

func asRow(err error) (*dataset.RowError, bool) {
	var bad *dataset.RowError
	return bad, errors.As(err, &bad)
}

// cuts bounds the lengths that a file is cut to.
const cuts = 512

func (c *conformance) truncated(t *testing.T) {
	if c.f.Traits().Folder {
		c.truncatedFolder(t)
		return
	}
	whole := c.bytes(t)
	path := filepath.Join(t.TempDir(), filepath.Base(c.Path))
	for n := 0; n < len(whole); n += len(whole)/cuts + 1 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("%d of %d bytes", n, len(whole))
		rows, counted, err := c.read(t, path)
		switch {
		case err != nil:
			named(t, what, path, err)
		case counted:
			t.Errorf("%s: no error", what)
		case len(rows) > c.X.N():
			t.Errorf("%s: %d rows of %d", what, len(rows), c.X.N())
		}
		for i, row := range rows {
			if i < len(rows)-1 && !slices.Equal(row, c.X.Row(i)) {
				t.Errorf("%s: row %d is %v, want %v", what, i, row, c.X.Row(i))
			}
		}
	}
}

// truncatedFolder takes the last byte of the largest file of a folder.
func (c *conformance) truncatedFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rows")
	if err := os.CopyFS(dir, os.DirFS(c.Path)); err != nil {
		t.Fatal(err)
	}
	largest, size := "", int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(largest, size-1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.read(t, dir); err == nil {
		t.Errorf("%s without its last byte: no error", largest)
	} else {
		named(t, largest+" without its last byte", dir, err)
	}
}

// read gives the rows before the first error, and whether they are counted.
func (c *conformance) read(t *testing.T, path string) (rows [][]float32, counted bool, err error) {
	t.Helper()
	r, err := c.f.Open(path, c.options())
	if err != nil {
		return nil, false, err
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	dst := make([]float32, r.Example().Size())
	for {
		err := r.Next(dst)
		if isEOF(err) {
			return rows, r.Count() >= 0, nil
		}
		if err != nil {
			return rows, r.Count() >= 0, err
		}
		rows = append(rows, slices.Clone(dst))
	}
}
