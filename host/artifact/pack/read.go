package pack

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

// Extract verifies the pack at name, a tar or a folder, while it copies its files
// into dir, an empty folder that nobody else can write to. Where it fails, dir
// may hold some of them: the caller removes it.
func Extract(name, dir string) (_ Manifest, err error) {
	fault := func(err error) error { return fmt.Errorf("pack %s: %w", name, err) }
	info, err := os.Stat(name)
	if err != nil {
		return Manifest{}, fault(err)
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return Manifest{}, fault(err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	var m Manifest
	switch {
	case info.IsDir():
		m, err = extractFolder(name, to)
	case !info.Mode().IsRegular():
		err = errors.New("want a file or a folder")
	default:
		m, err = extractFile(name, info.Size(), to)
	}
	if err != nil {
		return m, fault(err)
	}
	return m, nil
}

func extractFile(name string, size int64, to *os.Root) (Manifest, error) {
	f, err := os.Open(name)
	if err != nil {
		return Manifest{}, err
	}
	defer func() { _ = f.Close() }() // only read from
	return extractTar(f, size, to)
}

// block is the unit of a tar.
const block = 512

// extractTar reads a tar of size bytes: the manifest, then its files in order.
func extractTar(r io.Reader, size int64, to *os.Root) (Manifest, error) {
	t := tar.NewReader(r)
	h, err := next(t)
	if err != nil {
		return Manifest{}, fmt.Errorf("neither a pack nor a folder with a detector: %w", err)
	}
	if h.Name != ManifestName {
		return Manifest{}, fmt.Errorf("not a pack: it begins with %q, not with %s", h.Name, ManifestName)
	}
	if h.Size > maxManifest {
		return Manifest{}, fmt.Errorf("%s has more than %d bytes", ManifestName, maxManifest)
	}
	head, err := io.ReadAll(t)
	if err != nil {
		return Manifest{}, truncated(err)
	}
	m, err := parseManifest(head)
	if err != nil {
		return m, err
	}
	least := int64(2*block) + blocks(h.Size)
	for _, f := range m.Files {
		least += blocks(f.Size)
	}
	if size < least {
		return m, fmt.Errorf("it is truncated: %d bytes, want at least %d", size, least)
	}
	for _, f := range m.Files {
		h, err := next(t)
		switch {
		case errors.Is(err, io.EOF):
			return m, fmt.Errorf("it is truncated: %s is missing", f.Name)
		case err != nil:
			return m, truncated(err)
		case h.Name != f.Name:
			return m, fmt.Errorf("it has %q where %s lists %q", h.Name, ManifestName, f.Name)
		case h.Size != f.Size:
			return m, fmt.Errorf("%s has %d bytes, want %d", f.Name, h.Size, f.Size)
		}
		if err := write(to, f, t); err != nil {
			return m, truncated(err)
		}
	}
	h, err = next(t)
	if err == nil {
		return m, fmt.Errorf("it has %q, which %s does not list", h.Name, ManifestName)
	}
	if !errors.Is(err, io.EOF) {
		return m, truncated(err)
	}
	return m, nil
}

// blocks is what a file takes of a tar, its header included.
func blocks(size int64) int64 { return block + (size+block-1)/block*block }

// next is the next header, of a plain file.
func next(t *tar.Reader) (*tar.Header, error) {
	h, err := t.Next()
	if err != nil {
		return nil, err
	}
	if h.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("%q is not a plain file but of type %q: a pack has no links, devices or folders", h.Name, h.Typeflag)
	}
	for key := range h.PAXRecords {
		if key != "path" && key != "size" {
			return nil, fmt.Errorf("%q has the attribute %q, which a pack has not", h.Name, key)
		}
	}
	return h, nil
}

func truncated(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it is truncated: %w", err)
	}
	return err
}

func extractFolder(name string, to *os.Root) (Manifest, error) {
	from, err := os.OpenRoot(name)
	if err != nil {
		return Manifest{}, err
	}
	defer func() { _ = from.Close() }() // only read from
	var head []byte
	if err := read(from, ManifestName, func(r io.Reader) error {
		head, err = io.ReadAll(io.LimitReader(r, maxManifest+1))
		if err == nil && len(head) > maxManifest {
			err = fmt.Errorf("%s has more than %d bytes", ManifestName, maxManifest)
		}
		return err
	}); err != nil {
		return Manifest{}, err
	}
	m, err := parseManifest(head)
	if err != nil {
		return m, err
	}
	for _, f := range m.Files {
		if err := read(from, f.Name, func(r io.Reader) error { return write(to, f, r) }); err != nil {
			return m, err
		}
	}
	return m, nil
}

// read hands on a plain file of a folder.
func read(from *os.Root, name string, use func(io.Reader) error) error {
	native := filepath.FromSlash(name)
	info, err := from.Lstat(native)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is missing", name)
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file", name)
	}
	f, err := from.Open(native)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	return use(f)
}

// write verifies one file while it writes it. It takes no more of r than the
// manifest says, and one byte to see that there is no more.
func write(to *os.Root, f File, r io.Reader) (err error) {
	native := filepath.FromSlash(f.Name)
	if dir := path.Dir(f.Name); dir != "." {
		if err := to.MkdirAll(filepath.FromSlash(dir), 0o700); err != nil {
			return err
		}
	}
	w, err := to.OpenFile(native, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(r, f.Size))
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if extra, _ := io.CopyN(io.Discard, r, 1); extra > 0 {
		return fmt.Errorf("%s was edited: it has more than its %d bytes", f.Name, f.Size)
	}
	return verify(f, n, sum)
}
