package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// photoGuard takes pictures of any size.
const photoGuard = `api_version: vaeguard/v1
kind: Experiment
name: photos
seed: 7
data:
  train:       {folder: digits}
  calibration: {folder: digits}
  allow_overlap: true
  prepare:
    - resize: {height: 8, width: 8, method: bilinear}
    - color: grey
classifier: {plugin: mlp, config: {hidden: [4], range: [0, 1]}, train: {epochs: 1}, checks: "off"}
vae:
  latent_dim: 2
  encoder: [flatten, {dense: {units: 4}}]
  decoder: [{dense: {units: 64}}, {reshape: {target_shape: [8, 8, 1]}}]
train: {epochs: 1}
threshold: {fpr: 0.1}
`

// paintDigits paints pictures of two classes.
func paintDigits(dir string) error {
	for i := range 40 {
		m := image.NewGray(image.Rect(0, 0, 8, 8))
		for p := range m.Pix {
			m.Pix[p] = uint8(i*37 + p*(1+i%2*10))
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			return err
		}
		file := filepath.Join(dir, fmt.Sprint("class", i%2), fmt.Sprintf("%02d.png", i))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bitsOf writes numbers bit by bit, the lowest first.
type bitsOf struct {
	b []byte
	n int
}

func (w *bitsOf) put(v uint64, width int) {
	for i := range width {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

func riff(chunks ...[]byte) []byte {
	body := append([]byte("WEBP"), slices.Concat(chunks...)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func riffChunk(kind string, data []byte) []byte {
	b := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(data))), data...)
	if len(data)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

// oneColour is a lossless WebP of one colour, whose pixels take no bits.
func oneColour(side uint64) []byte {
	var w bitsOf
	w.put(0x2f, 8)
	w.put(side-1, 14)
	w.put(side-1, 14)
	w.put(0, 4)
	w.put(0, 3) // neither transforms, nor a cache of colours, nor codes by region
	for range 5 {
		w.put(1, 4) // a code of one symbol, 0
	}
	return riffChunk("VP8L", w.b)
}

// tiffOf is a TIFF of a directory of short entries (tag, type, count, value) before
// bytes; END in a value stands for their place.
func tiffOf(entries [][4]uint32, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("II*\x00"), 8)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, uint16(e[0])), uint16(e[1]))
		v := e[3]
		if v == tiffEnd {
			v = uint32(8 + 2 + 12*len(entries) + 4)
		}
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, e[2]), v)
	}
	return append(append(b, 0, 0, 0, 0), data...)
}

const tiffEnd = 0xE0D0E0D0

// deflated is zlib of so many zeros.
func deflated(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	block := make([]byte, 1<<20)
	for ; n > 0; n -= len(block) {
		if _, err := w.Write(block[:min(n, len(block))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngChunk(kind string, data []byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), append([]byte(kind), data...)...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func pngOf(w, h uint32, depth, colour byte, chunks ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	all := append([][]byte{[]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", append(head, depth, colour, 0, 0, 0))}, chunks...)
	return slices.Concat(append(all, pngChunk("IEND", nil))...)
}

func segment(marker byte, body []byte) []byte {
	return append(append([]byte{0xff, marker}, byte((len(body)+2)>>8), byte(len(body)+2)), body...)
}

// stuffed are bits, the highest first, as they stand in a JPEG.
func stuffed(bits []byte) []byte {
	var out []byte
	for i := 0; i < len(bits); i += 8 {
		v := byte(0)
		for k := range 8 {
			v <<= 1
			if i+k >= len(bits) || bits[i+k] == 1 {
				v |= 1
			}
		}
		if out = append(out, v); v == 0xff {
			out = append(out, 0)
		}
	}
	return out
}

// scansAgain is a grey progressive JPEG whose every scan after the first says in a few
// bytes that nothing is new in any block.
func scansAgain(side, scans int) []byte {
	table := func(class, symbol byte) []byte { return append([]byte{class, 1}, append(make([]byte, 15), symbol)...) }
	out := slices.Concat([]byte{0xff, 0xd8},
		segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)),
		segment(0xc2, []byte{8, byte(side >> 8), byte(side), byte(side >> 8), byte(side), 1, 1, 0x11, 0}),
		segment(0xc4, table(0, 0)), segment(0xc4, table(0x10, 0xe0)),
		segment(0xda, []byte{1, 1, 0, 0, 0, 0}), make([]byte, side/8*(side/8)/8))
	var nothing []byte
	for left := side / 8 * (side / 8); left > 0; left -= 1<<15 - 1 {
		nothing = append(nothing, 0) // the code of a run of blocks, of 14 more bits
		nothing = append(nothing, bytes.Repeat([]byte{1}, 14)...)
	}
	again := stuffed(nothing)
	out = append(append(out, segment(0xda, []byte{1, 1, 0, 1, 63, 1})...), again...)
	for range scans - 2 {
		out = append(append(out, segment(0xda, []byte{1, 1, 0, 1, 63, 0x10})...), again...)
	}
	return append(out, 0xff, 0xd9)
}

// hostilePhotos are pictures of any size, as the guard of some gets them.
func hostilePhotos(t *testing.T) []hostile {
	t.Helper()
	detect := func(name string, data []byte) met {
		return file(name, data, 1, "detect", "PHOTOS", "--data", name, "--quiet")
	}
	sample := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("../../picture", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	strip := func(side, compression, size, at uint32, data []byte, more ...[4]uint32) []byte {
		return tiffOf(append([][4]uint32{{256, 4, 1, side}, {257, 4, 1, side}, {258, 3, 1, 8}, {259, 3, 1, compression}, {262, 3, 1, 1},
			{273, 4, 1, at}, {277, 3, 1, 1}, {278, 4, 1, side}, {279, 4, 1, size}}, more...), data)
	}
	tile := func(w, h uint32) []byte {
		return tiffOf([][4]uint32{{256, 4, 1, 8}, {257, 4, 1, 8}, {258, 3, 1, 8}, {259, 3, 1, 1}, {262, 3, 1, 1}, {277, 3, 1, 1},
			{322, 4, 1, w}, {323, 4, 1, h}, {324, 4, 1, tiffEnd}, {325, 4, 1, 64}}, make([]byte, 64))
	}
	vp8x := func(flags byte, side uint32) []byte {
		b := append([]byte{flags, 0, 0, 0}, byte(side-1), byte((side-1)>>8), byte((side-1)>>16), byte(side-1), byte((side-1)>>8), byte((side-1)>>16))
		return riffChunk("VP8X", b)
	}
	var frames bytes.Buffer
	dot := image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.Black, color.White})
	many := &gif.GIF{Image: slices.Repeat([]*image.Paletted{dot}, 20_000), Delay: make([]int, 20_000)}
	if err := gif.EncodeAll(&frames, many); err != nil {
		t.Fatal(err)
	}
	still := frames.Bytes()
	screen := bytes.IndexByte(still, ',') // the first frame
	outside := bytes.Clone(still)
	binary.LittleEndian.PutUint16(outside[screen+5:], 60_000)
	var vast bytes.Buffer
	if err := png.Encode(&vast, image.NewGray(image.Rect(0, 0, 8000, 8000))); err != nil {
		t.Fatal(err)
	}
	photo := sample("jpeg/testdata/420.jpg")
	frame := bytes.Index(photo, []byte{0xff, 0xc0})
	edited := func(f func(b []byte)) []byte {
		b := bytes.Clone(photo)
		f(b)
		return b
	}
	exif := append([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00"), 0x69, 0x87, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0)
	bitmap := func(w, h, offset, colours, compression uint32) []byte {
		b := binary.LittleEndian.AppendUint32([]byte("BM"), 58)
		for _, v := range []uint32{0, offset, 40, w, h, 1 | 24<<16, compression, 0, 0, 0, colours, 0, 0} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return append(b, 0, 0, 0)
	}
	return []hostile{
		{"png", "1 GiB of pixels in a picture of 64", detect("a.png", pngOf(8, 8, 8, 0, pngChunk("IDAT", deflated(t, 1<<30)))), "png: invalid format: too much pixel data"},
		{"png", "chunk of 2 GiB", detect("a.png", append([]byte("\x89PNG\r\n\x1a\n"), "\x7f\xff\xff\xffIHDR"...)), "png: invalid format"},
		{"png", "pixels that another program compressed", detect("a.png", pngOf(8, 8, 8, 0, pngChunk("IDAT", bytes.Repeat([]byte{0xaa}, 1000)))), `row 0 ("a.png"): zlib: invalid header`},
		{"png", "colours without a palette", detect("a.png", pngOf(8, 8, 8, 3, pngChunk("IDAT", deflated(t, 72)))), "png: "},
		{"png", "64 million pixels in 62 kB", detect("a.png", vast.Bytes()).within(640, 15), ""},

		{"webp", "canvas of 900 million pixels", detect("a.webp", riff(vp8x(0, 30_000), oneColour(8))), "30000×30000 pixels, want at most"},
		{"webp", "picture larger than its canvas", detect("a.webp", riff(vp8x(0, 8), oneColour(1<<14))), "16384×16384 pixels, want at most"},
		{"webp", "animation", detect("a.webp", riff(vp8x(2, 8), riffChunk("ANIM", make([]byte, 6)), riffChunk("ANMF", make([]byte, 24)))), "animations are not read"},
		{"webp", "268 million pixels in 34 bytes", detect("a.webp", riff(oneColour(1<<14))), "16384×16384 pixels, want at most"},
		{"webp", "67 million pixels in 34 bytes", detect("a.webp", riff(oneColour(1<<13))).within(1400, 30), ""},
		{"webp", "67 million pixels among rows of one", files(map[string][]byte{"f/a.png": pngOf(1, 1, 8, 0, pngChunk("IDAT", deflated(t, 2))), "f/b.webp": riff(oneColour(1 << 13))}, 1, "read", "folder", "f"), "row 1: b.webp: 8192×8192×3, the rows are 1×1×3"},
		{"webp", "alpha of 67 million pixels that is not there", detect("a.webp", riff(vp8x(0x10, 1<<13), riffChunk("ALPH", []byte{0, 1, 2, 3}))), `row 0 ("a.webp"): `},
		{"webp", "code without an end", detect("a.webp", riff(riffChunk("VP8L", append(binary.LittleEndian.AppendUint32([]byte{0x2f}, 7|7<<14), bytes.Repeat([]byte{0xff}, 64)...)))), "vp8l: invalid"},
		{"webp", "a million chunks of nothing", detect("a.webp", riff(bytes.Repeat(riffChunk("JUNK", nil), 1<<20))), "a.webp"},

		{"tiff", "strip beyond the file", detect("a.tif", strip(8, 1, 64, 1<<30, nil)), `row 0 ("a.tif"): EOF`},
		{"tiff", "strip of 4 GiB", detect("a.tif", strip(8, 1, math.MaxUint32, tiffEnd, make([]byte, 64))), "tiff: invalid format: block data size too large"},
		{"tiff", "deflate bomb: 1 GiB in a picture of 64 pixels", detect("a.tif", strip(8, 8, 1<<20, tiffEnd, deflated(t, 1<<30))), ""},
		{"tiff", "LZW that is none", detect("a.tif", strip(8, 5, 64, tiffEnd, bytes.Repeat([]byte{0xfe}, 64))), "lzw: invalid code"},
		{"tiff", "tiles of no width", detect("a.tif", tile(0, 8)), "tiff: "},
		{"tiff", "tiles of 2^32 pixels", detect("a.tif", tile(1<<16, 1<<16)), "tiff: "},
		{"tiff", "directory of 65,535 entries in 100 bytes", detect("a.tif", append(binary.LittleEndian.AppendUint32([]byte("II*\x00"), 8), bytes.Repeat([]byte{0xff}, 92)...)), "a.tif: "},
		{"tiff", "directory beyond the file", detect("a.tif", binary.LittleEndian.AppendUint32([]byte("II*\x00"), math.MaxUint32)), "a.tif: "},
		{"tiff", "2^30 strips", detect("a.tif", tiffOf([][4]uint32{{256, 4, 1, 8}, {257, 4, 1, 8}, {258, 3, 1, 8}, {259, 3, 1, 1}, {262, 3, 1, 1}, {273, 4, 1 << 30, tiffEnd}, {277, 3, 1, 1}, {279, 4, 1 << 30, tiffEnd}}, make([]byte, 64))), "tiff: invalid format: IFD data too large"},
		{"tiff", "65,535 samples a pixel", detect("a.tif", tiffOf([][4]uint32{{256, 4, 1, 8}, {257, 4, 1, 8}, {258, 3, 65535, tiffEnd}, {259, 3, 1, 1}, {262, 3, 1, 2}, {273, 4, 1, tiffEnd}, {277, 3, 1, 65535}, {279, 4, 1, 64}}, make([]byte, 1<<17))), "a.tif: "},
		{"tiff", "16 million pixels a side", detect("a.tif", strip(1<<24, 8, 1<<10, tiffEnd, make([]byte, 1<<10))), "pixels, want at most"},

		{"gif", "screen of 4 billion pixels", detect("a.gif", append([]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"), still[13:]...)), "65535×65535 pixels, want at most"},
		{"gif", "frame larger than its screen", detect("a.gif", outside), "gif: frame bounds larger than image bounds"},
		{"gif", "code of 200 bits", detect("a.gif", append(bytes.Clone(still[:screen+10+6]), 200, 4, 1, 2, 3, 4, 0, ';')), "gif: "},
		{"gif", "20,000 frames after the first", detect("a.gif", still), ""},
		{"gif", "comments without an end", detect("a.gif", append(bytes.Clone(still[:screen]), bytes.Repeat([]byte("!\xfe\x01x\x00"), 1<<20)...)), "cut short or damaged before its first frame"},

		{"jpeg", "4 billion pixels", detect("a.jpg", edited(func(b []byte) { copy(b[frame+5:], "\xff\xff\xff\xff") })), "65535×65535 pixels, want at most"},
		{"jpeg", "64 million pixels in 3 kB", detect("a.jpg", edited(func(b []byte) { copy(b[frame+5:], "\x1f\x40\x1f\x40") })), "truncated"},
		{"jpeg", "400 scans of 67 million pixels", detect("a.jpg", scansAgain(8192, 400)), "jpeg: 33 scans of 8192×8192 pixels: more work than"},
		{"jpeg", "scans without an end", detect("a.jpg", scansAgain(64, 5000)), "jpeg: damaged data"},
		{"jpeg", "arithmetic coding", detect("a.jpg", edited(func(b []byte) { b[frame+1] = 0xc9 })), "marker 0xc9"},
		{"jpeg", "12 bits a sample", detect("a.jpg", edited(func(b []byte) { b[frame+4] = 12 })), "12 bits a sample"},
		{"jpeg", "restarts that never come", detect("a.jpg", slices.Concat(photo[:frame], segment(0xdd, []byte{0, 1}), photo[frame:])), "jpeg: damaged data"},
		{"jpeg", "table of more codes than there are", detect("a.jpg", slices.Concat(photo[:frame], segment(0xc4, append([]byte{0}, append(bytes.Repeat([]byte{255}, 1), make([]byte, 15+255)...)...)), photo[frame:])), "damaged"},
		{"jpeg", "Exif that points at itself", detect("a.jpg", slices.Concat(photo[:2], segment(0xe1, exif), photo[2:])), ""},

		{"bmp", "2^40 pixels", detect("a.bmp", bitmap(1<<20, 1<<20, 54, 0, 0)), "pixels, want at most"},
		{"bmp", "height of -2^31", detect("a.bmp", bitmap(1, 1<<31, 54, 0, 0)), "a.bmp: "},
		{"bmp", "pixels beyond the file", detect("a.bmp", bitmap(1, 1, math.MaxUint32, 0, 0)), "a.bmp: "},
		{"bmp", "runs", detect("a.bmp", bitmap(8, 8, 54, 0, 1)), "a.bmp: "},
		{"bmp", "more pixels than bytes", detect("a.bmp", bitmap(100, 100, 54, 0, 0)), "unexpected EOF"},
	}
}
