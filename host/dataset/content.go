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
)

// maxDeflate bounds what deflate makes of one byte.
const maxDeflate = 1032

// Content is the uncompressed bytes of one file or stream, hashed as they are
// read: what a reader of rows embeds, to have Parts and Close from it. It is
// owned by one goroutine.
type Content struct {
	*bufio.Reader
	Name string // of the file, for errors; - for standard input
	Row  int    // rows read so far: the reader of one counts it

	hash   hash.Hash     // nil: its digest is not asked for
	below  io.Reader     // what Reader reads, but for the hash
	most   int64         // the bytes that can follow from the start, -1 if unknown
	plain  bool          // not compressed
	file   *os.File      // to be read in any order; nil: it cannot be
	raw    *bufio.Reader // below what undoes gzip
	closer []io.Closer
}

// OpenContent opens the file at path and undoes gzip, recognised by its
// first bytes. It must be a regular file.
func OpenContent(path string) (*Content, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c, err := NewContent(f, path, info.Size())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if c.plain {
		c.file = f
	}
	c.closer = append(c.closer, f)
	return c, nil
}

// NewContent reads r, of size bytes (-1 if unknown), undoing gzip. It does
// not close r.
func NewContent(r io.Reader, name string, size int64) (*Content, error) {
	raw := bufio.NewReaderSize(r, 1<<16)
	c := &Content{Name: name, hash: sha256.New(), most: size, plain: true, raw: raw}
	plain := io.Reader(raw)
	if magic, err := raw.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		plain, c.plain = z, false
		c.closer = append(c.closer, z)
		if size >= 0 {
			c.most = math.MaxInt64
			if size < math.MaxInt64/maxDeflate {
				c.most = size * maxDeflate
			}
		}
	}
	c.below = plain
	c.Reader = bufio.NewReaderSize(io.TeeReader(plain, c.hash), 1<<16)
	return c, nil
}

// OpenRegular opens a file that is neither folder, pipe nor device. What Git
// left in place of a large file is refused.
func OpenRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	const pointer = "version https://git-lfs"
	b := make([]byte, len(pointer))
	if n, _ := f.ReadAt(b, 0); string(b[:n]) == pointer {
		return nil, errors.Join(fmt.Errorf("%s is but a pointer of Git LFS to the file: git lfs pull fetches it", path), f.Close())
	}
	return f, nil
}

// Holds is an error unless n rows of width bytes can follow: what a header
// claims is held against the size of the file before memory is. Both are ≥ 0.
func (c *Content) Holds(n, width int64) error {
	if width > 0 && n > math.MaxInt64/width {
		return fmt.Errorf("%s: the header claims %d rows of %d bytes: too many", c.Name, n, width)
	}
	if c.most >= 0 && n*width > c.most {
		return fmt.Errorf("%s: truncated: the header claims %d rows of %d bytes, the file cannot hold them", c.Name, n, width)
	}
	return nil
}

// offset is where in the file the next byte stands; for one that can be read in
// any order.
func (c *Content) offset() (int64, error) {
	at, err := c.file.Seek(0, io.SeekCurrent)
	return at - int64(c.raw.Buffered()) - int64(c.Buffered()), err
}

// seek goes on at an offset. What is read from there is not hashed.
func (c *Content) seek(at int64) error {
	_, err := c.file.Seek(at, io.SeekStart)
	c.raw.Reset(c.file)
	c.Reader.Reset(c.raw)
	return err
}

// Most is the number of bytes that there can be at most, -1 if unknown.
func (c *Content) Most() int64 { return c.most }

// Fill reads exactly len(b) bytes. An end before that is an error that says
// which row it cut.
func (c *Content) Fill(b []byte) error {
	if _, err := io.ReadFull(c.Reader, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%s: truncated in row %d", c.Name, c.Row)
		}
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

// End returns io.EOF, or an error if bytes are left or cannot be read.
func (c *Content) End() error {
	_, err := c.ReadByte()
	switch {
	case err == nil:
		return fmt.Errorf("%s: trailing bytes after row %d", c.Name, c.Row)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("%s: %w", c.Name, err)
}

// undigested leaves out the hash, which takes as long as decoding numbers. Nothing
// has been read yet.
func (c *Content) undigested() {
	c.hash = nil
	c.Reader.Reset(c.below)
}

// Parts implements Reader.
func (c *Content) Parts() []Part {
	if c.hash == nil {
		return []Part{{Rows: c.Row}}
	}
	return []Part{{Digest: hex.EncodeToString(c.hash.Sum(nil)), Rows: c.Row}}
}

// Close implements Reader.
func (c *Content) Close() error {
	var errs []error
	for _, x := range c.closer {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}

// BadNumber says which number of a row is not finite, or nil. column names
// the number at i.
func BadNumber(row []float32, column func(i int) string) error {
	for i, v := range row {
		if v-v != 0 { // of NaN and of infinite numbers alone
			return fmt.Errorf("%s is %v, want finite numbers of float32", column(i), v)
		}
	}
	return nil
}

// Numbered is column for sources whose columns have no names.
func Numbered(i int) string { return fmt.Sprintf("column %d", i) }

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// maxUnpack bounds what Unpack returns, in bytes.
const maxUnpack = 1 << 30

// Unpack reads r whole, undoing gzip: small files. It does not close r.
func Unpack(r io.Reader) ([]byte, error) {
	c, err := NewContent(r, "content", -1)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(c, maxUnpack+1))
	if len(b) > maxUnpack {
		err = fmt.Errorf("more than %d bytes", maxUnpack)
	}
	return b, errors.Join(err, c.Close())
}
