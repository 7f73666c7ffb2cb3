package pack

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// Source is a file to pack: Path, or Data if Path is "".
type Source struct {
	Name    string // in the pack, with slashes
	Path    string
	Data    []byte
	Program bool // it is to be executable
}

// Write writes a pack to out, whole or not at all: a tar, or a folder. out must
// not exist. Of m, Places and Needs are used; the rest is filled in and returned.
// A file that changes meanwhile is an error.
func Write(out string, folder bool, m Manifest, sources []Source) (_ Manifest, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("packing %s: %w", out, err)
		}
	}()
	if _, err := os.Lstat(out); err == nil {
		return m, errors.New("it exists: choose another name, or remove it")
	}
	sources = slices.Clone(sources)
	slices.SortFunc(sources, func(a, b Source) int { return cmp.Compare(a.Name, b.Name) })
	if m, err = m.describe(sources); err != nil {
		return m, err
	}
	head, err := m.encode()
	if err != nil {
		return m, err
	}
	if len(head) > maxManifest {
		return m, fmt.Errorf("%s would have more than %d bytes", ManifestName, maxManifest)
	}
	out = filepath.Clean(out)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return m, err
	}
	if folder {
		return m, writeFolder(out, head, m, sources)
	}
	return m, atomicfile.Write(out, func(f *os.File) error { return writeTar(f, head, m, sources) })
}

// describe fills in version and files, and checks the result as a reader will.
func (m Manifest) describe(sources []Source) (Manifest, error) {
	m.FormatVersion, m.Files = FormatVersion, []File{}
	if m.Places == nil {
		m.Places = []Place{}
	}
	if m.Needs == nil {
		m.Needs = []string{}
	}
	if len(sources) > MaxFiles { // before they are all read
		return m, fmt.Errorf("%d files, at most %d are allowed", len(sources), MaxFiles)
	}
	total := int64(0)
	for _, s := range sources {
		f := File{Name: s.Name, Mode: plainMode}
		if s.Program {
			f.Mode = programMode
		}
		sum := sha256.New()
		n, err := s.copy(sum, MaxBytes-total)
		if err != nil {
			return m, err
		}
		f.Size, f.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
		total += n
		m.Files = append(m.Files, f)
	}
	return m, m.check()
}

// copy writes the source's bytes, at most limit.
func (s Source) copy(w io.Writer, limit int64) (n int64, err error) {
	var r io.Reader = bytes.NewReader(s.Data)
	if s.Path != "" {
		info, err := os.Stat(s.Path)
		if err != nil {
			return 0, err
		}
		if !info.Mode().IsRegular() {
			return 0, fmt.Errorf("%s is not a file", s.Path)
		}
		f, err := os.Open(s.Path)
		if err != nil {
			return 0, err
		}
		defer func() { _ = f.Close() }() // only read from
		r = f
	}
	n, err = io.Copy(w, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("with %s it would have more than %d bytes, the most that a pack may have", s.Name, int64(MaxBytes))
	}
	return n, err
}

// copyAs is copy for a source that must be as the manifest says.
func (s Source) copyAs(w io.Writer, f File) error {
	sum := sha256.New()
	n, err := s.copy(io.MultiWriter(w, sum), f.Size)
	if err == nil {
		err = verify(f, n, sum)
	}
	if err != nil {
		return fmt.Errorf("%s changed while it was packed: %w", s.Name, err)
	}
	return nil
}

// verify compares what was read with what the manifest says.
func verify(f File, n int64, sum hash.Hash) error {
	if n != f.Size {
		return fmt.Errorf("%s has %d bytes, want %d", f.Name, n, f.Size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("%s was edited: its sha256 is %s, want %s", f.Name, got, f.SHA256)
	}
	return nil
}

func writeTar(w io.Writer, head []byte, m Manifest, sources []Source) error {
	t := tar.NewWriter(w)
	header := func(name string, size int64, mode os.FileMode) error {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: int64(mode), ModTime: time.Unix(0, 0)})
	}
	if err := header(ManifestName, int64(len(head)), 0o644); err != nil {
		return err
	}
	if _, err := t.Write(head); err != nil {
		return err
	}
	for i, f := range m.Files {
		if err := header(f.Name, f.Size, f.perm()); err != nil {
			return err
		}
		if err := sources[i].copyAs(t, f); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeFolder(out string, head []byte, m Manifest, sources []Source) (err error) {
	temp, err := os.MkdirTemp(filepath.Dir(out), ".vaeguard-"+filepath.Base(out)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	for i, f := range m.Files {
		name := filepath.Join(temp, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := create(name, f.perm(), func(w io.Writer) error { return sources[i].copyAs(w, f) }); err != nil {
			return err
		}
	}
	if err := create(filepath.Join(temp, ManifestName), 0o644, func(w io.Writer) error {
		_, err := w.Write(head)
		return err
	}); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, out)
}

// create writes a new file of exactly this mode and syncs it.
func create(name string, mode os.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}
