package formats

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// rawZip is a .npz of entries given as their headers and stored bytes.
func rawZip(t *testing.T, entries ...func(z *zip.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		if err := e(z); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// entry is stored bytes under a header that claims more or else.
func entry(h zip.FileHeader, data []byte) func(*zip.Writer) error {
	return func(z *zip.Writer) error {
		if h.UncompressedSize64 == 0 {
			h.UncompressedSize64 = uint64(len(data))
		}
		h.CompressedSize64 = uint64(len(data))
		w, err := z.CreateRaw(&h)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
}

func TestNPZRefused(t *testing.T) {
	good := npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }", 4)
	named := func(name string) zip.FileHeader { return zip.FileHeader{Name: name, CRC32: crc32.ChecksumIEEE(good)} }
	bad := named("x.npy")
	bad.CRC32++
	bomb := named("x.npy")
	bomb.Method, bomb.UncompressedSize64 = zip.Deflate, 1<<36
	odd := named("x.npy")
	odd.Method = 12 // bzip2
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"no zip", good, "not a valid zip"},
		{"empty", rawZip(t), "no array x"},
		{"ambiguous", rawZip(t, entry(named("a.npy"), good), entry(named("b.npy"), good)), "name one of a, b"},
		{"repeated", rawZip(t, entry(named("x.npy"), good), entry(named("x.npy"), good)), "two arrays"},
		{"edited", rawZip(t, entry(bad, good)), "checksum"},
		{"bomb", rawZip(t, entry(bomb, []byte{0})), "refused"},
		{"method", rawZip(t, entry(odd, good)), "compression method 12"},
		{"truncated", rawZip(t, entry(named("x.npy"), good))[:40], "not a valid zip"},
		{"no array", rawZip(t, entry(zip.FileHeader{Name: "x.npy", CRC32: crc32.ChecksumIEEE([]byte("hello"))}, []byte("hello"))), "not a .npy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(dataset.Source{File: write(t, "x.npz", c.file)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if d, err := open(dataset.Source{File: write(t, "x.npz", rawZip(t, entry(named("x.npy"), good)))}); err != nil || d.X.N() != 2 {
		t.Errorf("the sound one: %v", err)
	}
}

func TestIDXRefused(t *testing.T) {
	sound := idx([]int{2, 2, 2}, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	packed := zipped(t, sound)
	edited := bytes.Clone(packed)
	edited[len(edited)-8] ^= 1 // the checksum
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, ""},
		{"truncated", sound[:len(sound)-1], "truncated"},
		{"trailing", append(bytes.Clone(sound), 0), "trailing bytes"},
		{"labels", idx([]int{2}, []byte{0, 1}), "want images"},
		{"type", append([]byte{0, 0, 7, 1}, make([]byte, 8)...), "not an IDX file"},
		{"overflow", idx([]int{1 << 31, 1 << 31, 1 << 31}, nil), ""},
		{"huge", idx([]int{1 << 28, 2, 2}, nil), "truncated"},
		{"truncated gzip", packed[:len(packed)-9], ""},
		{"edited gzip", edited, "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(dataset.Source{IDX: write(t, "images", c.file)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestFolderRefused(t *testing.T) {
	var pixel bytes.Buffer
	if err := png.Encode(&pixel, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	sound := pixel.Bytes()
	var two bytes.Buffer
	if err := png.Encode(&two, image.NewGray(image.Rect(0, 0, 2, 1))); err != nil {
		t.Fatal(err)
	}
	wide := two.Bytes()
	// The header chunk: length, IHDR, width, height, five bytes, checksum.
	vast := bytes.Clone(sound)
	binary.BigEndian.PutUint32(vast[16:], 1<<14)
	binary.BigEndian.PutUint32(vast[20:], 1<<14)
	binary.BigEndian.PutUint32(vast[29:], crc32.ChecksumIEEE(vast[12:29]))
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"empty", nil, "no images (.png, .jpg, "},
		{"hidden alone", map[string][]byte{".a.png": sound, ".b/a.png": sound}, "no images"},
		{"other files alone", map[string][]byte{"README.md": nil, "a/b.exe": nil}, "no images"},
		{"two sizes", map[string][]byte{"a.png": sound, "b.png": wide}, "row 1: b.png: 1×2×1, the rows are 1×1×1: data.prepare: resize"},
		{"no image", map[string][]byte{"a.png": []byte("hello")}, "a.png"},
		{"vast", map[string][]byte{"a.png": vast}, "pixels, want at most"},
		{"vast later", map[string][]byte{"a.png": sound, "b.png": vast}, "row 1: b.png"},
		{"truncated", map[string][]byte{"a.png": sound, "b.png": sound[:len(sound)-20]}, "row 1: b.png"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, b := range c.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := open(dataset.Source{Folder: dir})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCIFAR10Refused(t *testing.T) {
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"truncated", make([]byte, cifarRecord-1), "not a whole number of records"},
		{"class", bytes.Repeat([]byte{10}, cifarRecord), "row 0: class 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "test_batch.bin", c.file)
			_, err := open(dataset.Source{CIFAR10: filepath.Dir(path), Split: "test"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := open(dataset.Source{CIFAR10: t.TempDir()}); err == nil {
		t.Error("an empty folder passed")
	}
}

// A stream's memory does not grow with what it has read.
func TestStreamMemory(t *testing.T) {
	const rows = 200_000
	s, err := dataset.OpenStream("-", Table(), dataset.StreamOptions{Stdin: &repeat{line: []byte("[1,2,3,4,5,6,7,8]\n"), left: rows}, Batch: 64})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	n := 0
	for {
		r, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(r.Bad) > 0 {
			t.Fatal(err, r.Bad)
		}
		if n == 0 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		n += r.X.N()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(s)
	const spare = 1 << 20 // bytes; the rows are 6.4 MB
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); n != rows || grown > spare {
		t.Errorf("%d rows, the heap grew by %d bytes", n, grown)
	}
}

// repeat gives a line again and again.
type repeat struct {
	line []byte
	left int
}

func (r *repeat) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	return copy(b, r.line), nil
}
