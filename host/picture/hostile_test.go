package picture_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/picture"
)

// A file cut short is an error, or has all its pixels: the last bytes of some
// formats are of no account.
func TestTruncated(t *testing.T) {
	for _, file := range kinds(t) {
		b := read(t, file)
		whole, err := picture.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for n := range b {
			m, err := picture.Decode(b[:n])
			if err == nil && (n < len(b)/2 || len(m.Pix) != len(whole.Pix)) {
				t.Errorf("%s: %d of %d bytes passed", filepath.Base(file), n, len(b))
				break
			}
			if n < 8 {
				if _, _, _, err := picture.Measure(b[:n]); err == nil {
					t.Errorf("%s: %d bytes were measured", filepath.Base(file), n)
				}
			}
		}
	}
}

// Whatever a header claims, a small file takes little memory and is refused.
func TestHostile(t *testing.T) {
	edit := func(name string, f func(b []byte)) []byte {
		b := bytes.Clone(read(t, "testdata/kinds/"+name))
		f(b)
		return b
	}
	png := func(side uint32) []byte {
		return edit("png-rgb.png", func(b []byte) {
			binary.BigEndian.PutUint32(b[16:], side)
			binary.BigEndian.PutUint32(b[20:], side)
			binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
		})
	}
	tiff := func(side uint32) []byte {
		return edit("tiff-deflate.tif", func(b []byte) {
			at := binary.LittleEndian.Uint32(b[4:])
			for i := range uint32(binary.LittleEndian.Uint16(b[at:])) {
				entry := b[at+2+12*i:]
				switch binary.LittleEndian.Uint16(entry) {
				case 256, 257: // width and height
					binary.LittleEndian.PutUint16(entry[2:], 4)
					binary.LittleEndian.PutUint32(entry[8:], side)
				}
			}
		})
	}
	bmp := func(side uint32) []byte {
		return edit("bmp-rgb.bmp", func(b []byte) {
			binary.LittleEndian.PutUint32(b[18:], side)
			binary.LittleEndian.PutUint32(b[22:], side)
		})
	}
	canvas := func(side uint16) []byte {
		return edit("gif-colour.gif", func(b []byte) {
			binary.LittleEndian.PutUint16(b[6:], side)
			binary.LittleEndian.PutUint16(b[8:], side)
		})
	}
	lossless := func(side uint32) []byte { // RIFF, its size, WEBP, VP8L, its size, a signature
		return edit("webp-lossless.webp", func(b []byte) { binary.LittleEndian.PutUint32(b[21:], (side-1)|(side-1)<<14) })
	}
	extended := edit("webp-lossless-alpha.webp", func([]byte) {})
	if !bytes.Contains(extended[:16], []byte("VP8L")) {
		t.Fatal("the lossless file has another layout")
	}
	// VP8X says 1×1, the image in it much more.
	inner := lossless(16384)[12:]
	extended = append([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00"), inner...)
	binary.LittleEndian.PutUint32(extended[4:], uint32(len(extended)-8))
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "not an image"},
		{"text", []byte("hello"), "not an image"},
		{"SVG", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), "not an image"},
		{"PNG of 4 billion pixels", png(1 << 16), "65536×65536 pixels, want at most"},
		{"PNG of one column", edit("png-rgb.png", func(b []byte) {
			binary.BigEndian.PutUint32(b[16:], 1)
			binary.BigEndian.PutUint32(b[20:], 1<<26)
			binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
		}), "want sides of at most 1048576"},
		{"PNG that claims more than it holds", png(8000), "8000×8000 pixels in"},
		{"TIFF of 4 billion pixels", tiff(1 << 16), "pixels, want at most"},
		{"TIFF that claims more than it holds", tiff(8000), "8000×8000 pixels in"},
		{"TIFF whose strip is short", tiff(100), ""},
		{"BMP of 4 billion pixels", bmp(1 << 16), "pixels, want at most"},
		{"BMP that claims more than it holds", bmp(8000), "8000×8000 pixels in"},
		{"GIF of 4 billion pixels", canvas(65535), "pixels, want at most"},
		{"GIF that claims more than it holds", canvas(8000), "8000×8000 pixels in"},
		{"GIF whose frame is larger than its canvas", canvas(5), ""},
		{"WebP of 268 million pixels", lossless(16384), "16384×16384 pixels, want at most"},
		{"WebP whose canvas is smaller than its image", extended, "16384×16384 pixels, want at most"},
		{"JPEG of 4 billion pixels", edit("exif-1.jpg", func(b []byte) {
			at := bytes.Index(b, []byte{0xff, 0xc0})
			copy(b[at+5:], "\xff\xff\xff\xff")
		}), "65535×65535 pixels, want at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := picture.Decode(c.b)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			const most = 16 << 20
			if n := after.TotalAlloc - before.TotalAlloc; n > most {
				t.Errorf("%d bytes allocated, want at most %d", n, most)
			}
		})
	}
}

// An LZW strip that never clears its table wrapped a 16-bit count in
// golang.org/x/image before v0.48, and ended the program.
func TestEndlessLZW(t *testing.T) {
	const side, codes, offset = 400, 150_000, 8 // all zero: literals of 9, and soon of 12 bits
	b := append([]byte("II*\x00"), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], offset+codes)
	b = append(b, make([]byte, codes)...)
	entries := [][2]uint32{{256, side}, {257, side}, {258, 8}, {259, 5}, {262, 1}, {273, offset}, {277, 1}, {278, side}, {279, codes}}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint32(b, e[0]|4<<16) // tag, and LONG
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, e[1])
	}
	b = append(b, 0, 0, 0, 0)
	if h, w, c, err := picture.Measure(b); h != side || w != side || c != 1 || err != nil {
		t.Fatalf("%d×%d×%d, %v", h, w, c, err)
	}
	if m, err := picture.Decode(b); err == nil && m.Pix[0] != 0 {
		t.Errorf("the first pixel is %v", m.Pix[0])
	}
}

// Frames after the first cost nothing, however many they are, and around the
// first it is white.
func TestGIF(t *testing.T) {
	palette := color.Palette{color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 0, 255}}
	first := image.NewPaletted(image.Rect(1, 1, 3, 2), palette)
	many := &gif.GIF{Config: image.Config{Width: 4, Height: 3, ColorModel: palette}}
	for range 1000 {
		many.Image, many.Delay = append(many.Image, first), append(many.Delay, 1)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, many); err != nil {
		t.Fatal(err)
	}
	m, err := picture.Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range m.Pix {
		y, x, want := i/12, i/3%4, float32(1)
		if y == 1 && (x == 1 || x == 2) && i%3 > 0 {
			want = 0
		}
		if v != want {
			t.Errorf("row %d column %d channel %d is %v, want %v", y, x, i%3, v, want)
		}
	}
	if _, err := picture.Decode(b.Bytes()[:b.Len()-20]); err != nil {
		t.Errorf("the frames after the first are read: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, file := range kinds(f) {
		f.Add(read(f, file))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := picture.Decode(b)
		if err != nil {
			return
		}
		if len(m.Pix) != m.H*m.W*m.C || m.H < 1 || m.W < 1 || m.C != 1 && m.C != 3 {
			t.Fatalf("%d×%d×%d of %d numbers", m.H, m.W, m.C, len(m.Pix))
		}
		for _, v := range m.Pix {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("intensity %v", v)
			}
		}
		h, w, c, err := picture.Measure(b)
		if err != nil || h != m.H || w != m.W || c != m.C {
			t.Errorf("measured %d×%d×%d, %v; it is %d×%d×%d", h, w, c, err, m.H, m.W, m.C)
		}
	})
}
