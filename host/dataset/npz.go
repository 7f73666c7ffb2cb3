package dataset

import (
	"archive/zip"
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

const (
	// maxEntries bounds the arrays of one .npz.
	maxEntries = 4096
	// maxUnpacked bounds the bytes that one entry unpacks to.
	maxUnpacked = 8 * MaxElements
	// Beyond freeUnpacked bytes an entry that shrank by more than maxRatio is
	// taken for a bomb.
	freeUnpacked = 64 << 20
	maxRatio     = 200
)

// NPZ is an open .npz: a zip of .npy files, stored or deflated.
type NPZ struct {
	name string
	zip  *zip.Reader
	file io.Closer
}

// OpenNPZ opens the .npz at path.
func OpenNPZ(path string) (*NPZ, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	z, err := newNPZ(f, info.Size(), path)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	z.file = f
	return z, nil
}

func newNPZ(r io.ReaderAt, size int64, name string) (*NPZ, error) {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(z.File) > maxEntries {
		return nil, fmt.Errorf("%s: %d arrays, want at most %d", name, len(z.File), maxEntries)
	}
	seen := map[string]bool{}
	for _, f := range z.File {
		if seen[f.Name] {
			return nil, fmt.Errorf("%s: two arrays are called %q", name, f.Name)
		}
		seen[f.Name] = true
	}
	for _, f := range z.File {
		if f.CompressedSize64 > uint64(size) {
			return nil, fmt.Errorf("%s: %s claims %d bytes of a file of %d", name, f.Name, f.CompressedSize64, size)
		}
	}
	if len(z.File) > 0 && !slices.ContainsFunc(z.File, func(f *zip.File) bool { return path.Ext(f.Name) == ".npy" || path.Ext(f.Name) == "" }) {
		return nil, fmt.Errorf("%s: a zip archive of %.80q and no arrays: unpack it and name the file", name, z.File[0].Name)
	}
	return &NPZ{name: name, zip: z}, nil
}

// Keys are the names of the arrays in the file's order.
func (z *NPZ) Keys() []string {
	var out []string
	for _, f := range z.zip.File {
		out = append(out, strings.TrimSuffix(f.Name, ".npy"))
	}
	return out
}

// Has reports whether the file holds an array of that name.
func (z *NPZ) Has(key string) bool {
	for _, k := range z.Keys() {
		if k == key {
			return true
		}
	}
	return false
}

// Only is key, or if empty the default: x, or the only array.
func (z *NPZ) Only(key string) (string, error) {
	keys := z.Keys()
	switch {
	case key != "":
		return key, nil
	case z.Has("x"):
		return "x", nil
	case len(keys) == 1:
		return keys[0], nil
	}
	return "", fmt.Errorf("%s: no array x; name one of %s", z.name, list(keys))
}

// Open is the content of the array of that name.
func (z *NPZ) Open(key string) (*Content, error) {
	for _, f := range z.zip.File {
		if f.Name != key+".npy" && f.Name != key {
			continue
		}
		name := z.name + ":" + key
		if f.Method != zip.Store && f.Method != zip.Deflate {
			return nil, fmt.Errorf("%s: compression method %d, want stored or deflated", name, f.Method)
		}
		if f.UncompressedSize64 > maxUnpacked || f.UncompressedSize64 > freeUnpacked && f.UncompressedSize64/maxRatio > f.CompressedSize64 {
			return nil, fmt.Errorf("%s: claims to unpack %d bytes from %d: refused", name, f.UncompressedSize64, f.CompressedSize64)
		}
		r, err := f.Open() // checks length and CRC at its end
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		h := sha256.New()
		return &Content{
			Reader: bufio.NewReaderSize(io.TeeReader(r, h), 1<<16), Name: name, hash: h,
			most: int64(f.UncompressedSize64), closer: []io.Closer{r},
		}, nil
	}
	return nil, fmt.Errorf("%s: no array %q; it has %s", z.name, key, list(z.Keys()))
}

// Array reads the array of that name whole.
func (z *NPZ) Array(key string) (Array, error) {
	c, err := z.Open(key)
	if err != nil {
		return Array{}, err
	}
	a, err := c.array()
	a.Name = key
	return a, errors.Join(err, c.Close())
}

// Close closes the file.
func (z *NPZ) Close() error {
	if z.file == nil {
		return nil
	}
	return z.file.Close()
}

// ReadNPZ reads all arrays of the .npz at path, in its order.
func ReadNPZ(path string) ([]Array, error) {
	z, err := OpenNPZ(path)
	if err != nil {
		return nil, err
	}
	var out []Array
	for _, key := range z.Keys() {
		a, err := z.Array(key)
		if err != nil {
			return nil, errors.Join(err, z.Close())
		}
		out = append(out, a)
	}
	return out, z.Close()
}
