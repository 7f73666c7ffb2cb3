package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// rows reads the examples of one source in order.
type rows interface {
	// example is the shape of one row as stored.
	example() tensor.Shape
	// count is the number of rows, -1 if only reading tells.
	count() int
	// next fills dst, of example's size, with the next row; io.EOF ends. After
	// a *RowError the row behind can be read; other errors are final.
	next(dst []float32) error
	// parts are the digests of the files read, complete once next gave io.EOF.
	parts() []Part
	close() error
}

// labelled is a source whose rows carry their labels.
type labelled interface {
	// label is that of the row that next gave last.
	label() string
	// classes are the names in order of class index, nil if labels tell.
	classes() []string
}

// maxDeflate bounds what deflate makes of one byte.
const maxDeflate = 1032

// content is the uncompressed bytes of one file, hashed as they are read.
type content struct {
	*bufio.Reader
	name   string
	hash   hash.Hash
	most   int64 // the bytes that can follow from the start, -1 if unknown
	rows   int   // read so far, for parts
	closer []io.Closer
}

// openContent opens the file at path and undoes gzip, recognised by its
// first bytes. Only a regular file will do.
func openContent(path string) (*content, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c, err := newContent(f, path, info.Size())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c.closer = append(c.closer, f)
	return c, nil
}

// newContent reads r, of size bytes (-1 if unknown), undoing gzip. It does
// not close r.
func newContent(r io.Reader, name string, size int64) (*content, error) {
	c := &content{name: name, hash: sha256.New(), most: size}
	raw := bufio.NewReaderSize(r, 1<<16)
	plain := io.Reader(raw)
	if magic, err := raw.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		plain = z
		c.closer = append(c.closer, z)
		if size >= 0 {
			c.most = math.MaxInt64
			if size < math.MaxInt64/maxDeflate {
				c.most = size * maxDeflate
			}
		}
	}
	c.Reader = bufio.NewReaderSize(io.TeeReader(plain, c.hash), 1<<16)
	return c, nil
}

// openRegular opens a file that is neither folder, pipe nor device.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return os.Open(path)
}

// holds reports an error unless n rows of width bytes can follow, and their
// numbers (each of at least one byte) stay within bounds. Both are ≥ 0.
func (c *content) holds(n, width int64) error {
	if width > 0 && n > math.MaxInt64/width {
		return fmt.Errorf("%s: the header claims %d rows of %d bytes: too many", c.name, n, width)
	}
	if c.most >= 0 && n*width > c.most {
		return fmt.Errorf("%s: truncated: the header claims %d rows of %d bytes, the file cannot hold them", c.name, n, width)
	}
	return nil
}

// full reads exactly len(b) bytes.
func (c *content) full(b []byte) error {
	if _, err := io.ReadFull(c.Reader, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%s: truncated in row %d", c.name, c.rows)
		}
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// end returns io.EOF, or an error if bytes are left.
func (c *content) end() error {
	_, err := c.ReadByte()
	switch {
	case err == nil:
		return fmt.Errorf("%s: trailing bytes after row %d", c.name, c.rows)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("%s: %w", c.name, err)
}

// parts implements rows.
func (c *content) parts() []Part {
	return []Part{{Digest: hex.EncodeToString(c.hash.Sum(nil)), Rows: c.rows}}
}

// close implements rows.
func (c *content) close() error {
	var errs []error
	for _, x := range c.closer {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}

// badNumber says which number of a row is not finite, or nil. column names
// the number at i.
func badNumber(row []float32, column func(i int) string) error {
	for i, v := range row {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%s is %v, want finite numbers of float32", column(i), v)
		}
	}
	return nil
}

// numbered is column for sources whose columns have no names.
func numbered(i int) string { return fmt.Sprintf("column %d", i) }

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// maxUnpack bounds what Unpack returns, in bytes.
const maxUnpack = 1 << 30

// Unpack reads r whole, undoing gzip: small files. It does not close r.
func Unpack(r io.Reader) ([]byte, error) {
	c, err := newContent(r, "content", -1)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(c, maxUnpack+1))
	if len(b) > maxUnpack {
		err = fmt.Errorf("more than %d bytes", maxUnpack)
	}
	return b, errors.Join(err, c.close())
}
