package jpeg

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func samples(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	out := make(map[string][]byte)
	for _, file := range files {
		if out[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Cut anywhere, a file is an error; without its end marker alone a baseline
// file has all its pixels, but for those whose last bits are in the last byte.
func TestTruncated(t *testing.T) {
	for name, b := range samples(t) {
		for n := range len(b) - 3 {
			if _, _, err := Decode(b[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes passed", name, n, len(b))
				break
			}
		}
		_, _, err := Decode(b[:len(b)-2])
		if progressive := strings.Contains(name, "progressive"); (err != nil) != progressive {
			t.Errorf("%s without its end: %v", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	sound := samples(t)["420.jpg"]
	frame := bytes.Index(sound, []byte{0xff, markerSOF0})
	edit := func(f func(b []byte)) []byte {
		b := bytes.Clone(sound)
		f(b)
		return b
	}
	size := func(h, w uint16) []byte {
		return edit(func(b []byte) {
			binary.BigEndian.PutUint16(b[frame+5:], h)
			binary.BigEndian.PutUint16(b[frame+7:], w)
		})
	}
	scans := bytes.Clone(samples(t)["420-progressive.jpg"])
	first := bytes.Index(scans, []byte{0xff, markerSOS})
	next := first + bytes.Index(scans[first:], []byte{0xff, markerDHT})
	bomb := append(scans[:next:next], bytes.Repeat(scans[first:next], maxScans)...)
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"text", []byte("hello"), "not a JPEG"},
		{"empty", nil, "not a JPEG"},
		{"huge", size(65535, 65535), "65535×65535 pixels, want at most"},
		{"no height", size(0, 51), "0×51 pixels"},
		{"claims more than it holds", size(8000, 8000), "truncated"},
		{"12 bits", edit(func(b []byte) { b[frame+4] = 12 }), "12 bits a sample"},
		{"arithmetic", edit(func(b []byte) { b[frame+1] = 0xc9 }), "marker 0xc9"},
		{"lossless", edit(func(b []byte) { b[frame+1] = 0xc3 }), "marker 0xc3"},
		{"two components", edit(func(b []byte) { b[frame+9] = 2 }), "2 components"},
		{"sampling", edit(func(b []byte) { b[frame+11], b[frame+14] = 0x32, 0x21 }), "sampling factors"},
		{"no sampling", edit(func(b []byte) { b[frame+11] = 0 }), "damaged"},
		{"two of an id", edit(func(b []byte) { b[frame+13] = b[frame+10] }), "damaged"},
		{"table 9", edit(func(b []byte) { b[frame+12] = 9 }), "damaged"},
		{"two frames", append(sound[:frame+19:frame+19], sound[frame:]...), "two frames"},
		{"scans without end", append(bomb, 0xff, markerEOI), "damaged"},
		{"scans of an image as large as may be", again(8192, 400), "more work than"},
		{"pixels without a frame", append([]byte{0xff, markerSOI}, sound[frame+19:]...), "damaged"},
	} {
		if _, _, err := Decode(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// again is a grey progressive file whose scans, after the first, say of all blocks that
// nothing is new: refining takes the longest.
func again(side, scans int) []byte {
	table := func(class, symbol byte) []byte {
		return append([]byte{0xff, markerDHT, 0, 20, class, 1}, append(make([]byte, 15), symbol)...)
	}
	out := append([]byte{0xff, markerSOI, 0xff, markerDQT, 0, 67, 0}, bytes.Repeat([]byte{1}, 64)...)
	out = append(out, 0xff, markerSOF2, 0, 11, 8, byte(side>>8), byte(side), byte(side>>8), byte(side), 1, 1, 0x11, 0)
	out = append(append(out, table(0, 0)...), table(0x10, 0xe0)...)
	blocks := side / 8 * (side / 8)
	out = append(append(out, 0xff, markerSOS, 0, 8, 1, 1, 0, 0, 0, 0), make([]byte, blocks/8)...)
	// A run of 2^14 blocks is the code 0 and 14 bits: two bytes, and a bit of the next.
	runs := bytes.Repeat([]byte{0}, blocks>>14*15/8+2)
	for i := range scans {
		out = append(out, 0xff, markerSOS, 0, 8, 1, 1, 0, 1, 63, []byte{1, 0x10}[min(i, 1)])
		out = append(out, runs...)
	}
	return append(out, 0xff, markerEOI)
}

// Exif says how to turn an image, in either order of bytes.
func TestOrientation(t *testing.T) {
	sound := samples(t)["420.jpg"]
	for o := range uint16(12) {
		for _, order := range []interface {
			binary.ByteOrder
			binary.AppendByteOrder
		}{binary.LittleEndian, binary.BigEndian} {
			tiff := []byte("II")
			if order == binary.BigEndian {
				tiff = []byte("MM")
			}
			tiff = order.AppendUint32(order.AppendUint16(tiff, 42), 8)
			tiff = order.AppendUint16(tiff, 2)
			for _, entry := range [][2]uint16{{0x10f, 7}, {0x112, o}} {
				tiff = order.AppendUint32(order.AppendUint16(order.AppendUint16(tiff, entry[0]), 3), 1)
				tiff = order.AppendUint16(order.AppendUint16(tiff, entry[1]), 0)
			}
			body := append([]byte("Exif\x00\x00"), tiff...)
			b := append([]byte{0xff, markerSOI, 0xff, markerAPP1, 0, byte(len(body) + 2)}, body...)
			h, err := ReadHeader(append(b, sound[2:]...))
			want := int(o)
			if o < 1 || o > 8 {
				want = 1
			}
			if err != nil || h.Orientation != want || h.H != 37 || h.W != 51 || h.C != 3 {
				t.Errorf("orientation %d in %v: %+v, %v", o, order, h, err)
			}
			for n := range body { // cut anywhere it is no orientation, and no error
				short := append([]byte{0xff, markerSOI, 0xff, markerAPP1, 0, byte(n + 2)}, body[:n]...)
				if h, err := ReadHeader(append(short, sound[2:]...)); err != nil || h.Orientation != 1 && n < len(body)-2 {
					t.Fatalf("Exif of %d bytes: %+v, %v", n, h, err)
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, h, err := Decode(b)
		if err != nil {
			return
		}
		if m.H != h.H || m.W != h.W || m.C != h.C || len(m.Pix) != m.H*m.W*m.C || len(m.Pix) == 0 {
			t.Errorf("%d×%d×%d of %d bytes, header %+v", m.H, m.W, m.C, len(m.Pix), h)
		}
		if got, err := ReadHeader(b); err != nil || got != h {
			t.Errorf("header %+v, %v; want %+v", got, err, h)
		}
	})
}
