package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"os"
)

const sound = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"

// npyOf is a .npy file of version 1.
func npyOf(header string, payload int) []byte {
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	return append(append(b, header...), make([]byte, payload)...)
}

// zipOf is a .zip of one stored member under a header of any content.
func zipOf(h zip.FileHeader, data []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if h.CRC32 == 0 {
		h.CRC32 = crc32.ChecksumIEEE(data)
	}
	if h.UncompressedSize64 == 0 {
		h.UncompressedSize64 = uint64(len(data))
	}
	h.CompressedSize64 = uint64(len(data))
	w, err := z.CreateRaw(&h)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// packed is data in gzip, followed by zeros that take little space.
func packed(data []byte, zeros int64) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(data)
	if err == nil {
		_, err = io.CopyN(z, nothing{}, zeros)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// members is a .zip of n empty files.
func members(n int) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range n {
		if _, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%d.npy", i)}); err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// zipped is a .zip of one array followed by zeros.
func zipped(data []byte, zeros int64) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("x.npy")
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		_, err = io.CopyN(w, nothing{}, zeros)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// nothing reads as zeros without end.
type nothing struct{}

func (nothing) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// hostileArrays are files of numbers.
func hostileArrays() []hostile {
	read := func(name string, data []byte) met { return file(name, data, 1, "read", "rows", name) }
	key := func(key string, data []byte, reader string) met {
		return file("adv.npz", data, 1, "read", reader, "adv.npz:"+key)
	}
	good := npyOf(sound, 16)
	nan := npyOf(sound, 16)
	binary.LittleEndian.PutUint32(nan[len(nan)-4:], 0x7fc00000)
	long := binary.LittleEndian.AppendUint32([]byte("\x93NUMPY\x02\x00"), 1<<32-1)
	x := func(h zip.FileHeader) zip.FileHeader { h.Name = "x.npy"; return h }
	idx := func(dims ...uint32) []byte {
		b := []byte{0, 0, 8, byte(len(dims))}
		for _, d := range dims {
			b = binary.BigEndian.AppendUint32(b, d)
		}
		return b
	}
	table, err := os.ReadFile("../../../builtin/formats/testdata/flat.parquet")
	if err != nil {
		panic(err)
	}
	footer := bytes.Clone(table)
	binary.LittleEndian.PutUint32(footer[len(footer)-8:], 1<<31)
	nulls, err := os.ReadFile("../../../builtin/formats/testdata/null.parquet")
	if err != nil {
		panic(err)
	}
	broken := bytes.Clone(table)
	clear(broken[len(broken)-40 : len(broken)-8])
	return []hostile{
		{"npy", "truncated", read("x.npy", npyOf(sound, 15)), "truncated"},
		{"npy", "trailing bytes", read("x.npy", npyOf(sound, 17)), "trailing bytes"},
		{"npy", "pickled objects", read("x.npy", npyOf("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", 16)), "element type"},
		{"npy", "shape whose size overflows", read("x.npy", npyOf("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0)), "shape 4294967296: more than 1073741824 elements"},
		{"npy", "negative shape", read("x.npy", npyOf("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2), }", 0)), `want at most 32 lengths at "-1`},
		{"npy", "a billion rows that are not there", read("x.npy", npyOf("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 1), }", 4)), "truncated"},
		{"npy", "header of 4 GiB", read("x.npy", long), "header claims 4294967295 bytes, want at most 65536"},
		{"npy", "header with code in it", read("x.npy", npyOf("__import__('os').system('id')", 16)), `want '{' at "__import__`},
		{"npy", "NaN", read("x.npy", nan), "row 1: column 1 is NaN, want finite"},
		{"npz", "not a zip", read("x.npz", good), "not a valid zip"},
		{"npz", "truncated", read("x.npz", zipOf(x(zip.FileHeader{}), good)[:60]), "not a valid zip"},
		{"npz", "bomb: 64 GiB in one byte", read("x.npz", zipOf(x(zip.FileHeader{Method: zip.Deflate, UncompressedSize64: 1 << 36}), []byte{0})), "claims to unpack 68719476736 bytes from 1: refused"},
		{"npz", "100,000 members", read("x.npz", members(100_000)), "x.npz"},
		{"npz", "bomb: 200 MB of a kilobyte", read("x.npz", zipped(npyOf("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 99), }", 99*8), 200<<20)), "x.npz"},
		{"npz", "checksum that does not fit", read("x.npz", zipOf(x(zip.FileHeader{CRC32: 1}), good)), "checksum"},
		{"npz", "member named ../../x.npy", key("x", zipOf(zip.FileHeader{Name: "../../x.npy"}, good), "rows"), `no array "x"; it has ../../x`},
		{"npz", "unknown compression", read("x.npz", zipOf(x(zip.FileHeader{Method: 12}), good)), "compression method 12"},
		{"npz", "member that is no array", read("x.npz", zipOf(x(zip.FileHeader{}), []byte("cos\nsystem\n(S'id'\ntR."))), "not a .npy"},
		{"npz", "key that is not there", key("x_advv", zipOf(x(zip.FileHeader{}), good), "rows"), `no array "x_advv"; it has x`},
		{"npz", "rows of another classifier", key("x", zipOf(x(zip.FileHeader{}), good), "digits"), "examples are 2, want 64"},
		{"parquet", "truncated", read("x.parquet", table[:len(table)-1]), "not a Parquet file"},
		{"parquet", "trailing bytes", read("x.parquet", append(bytes.Clone(table), 0)), "not a Parquet file"},
		{"parquet", "footer of 2 GiB", read("x.parquet", footer), "the footer claims 2147483648 bytes"},
		{"parquet", "footer overwritten", read("x.parquet", broken), "reading parquet file metadata"},
		{"parquet", "empty cell", read("x.parquet", nulls), `row 1: column "a": no value`},
		{"idx", "truncated", read("x.idx3-ubyte", append(idx(2, 2, 2), make([]byte, 7)...)), "truncated in row 1"},
		{"idx", "trailing bytes", read("x.idx3-ubyte", append(idx(2, 2, 2), make([]byte, 9)...)), "trailing bytes after row 2"},
		{"idx", "shape whose size overflows", read("x.idx3-ubyte", idx(1<<31, 1<<31, 1<<31)), "more than 1073741824 elements"},
		{"idx", "gzip bomb: 256 MiB after 8 pixels", read("x.idx3-ubyte.gz", packed(append(idx(2, 2, 2), make([]byte, 8)...), 256<<20)), "trailing bytes after row 2"},
		{"idx", "gzip cut short", read("x.idx3-ubyte.gz", packed(append(idx(2, 2, 2), make([]byte, 8)...), 0)[:20]), "truncated in row 0"},
	}
}

// hostileImages are folders of images.
func hostileImages() []hostile {
	read := func(all map[string][]byte) met {
		inside := map[string][]byte{}
		for name, data := range all {
			inside["images/"+name] = data
		}
		return files(inside, 1, "read", "folder", "images")
	}
	paint := func(width, height int) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
			panic(err)
		}
		return b.Bytes()
	}
	pixel := paint(1, 1)
	vast := bytes.Clone(pixel) // the first chunk: length, IHDR, width, height, five bytes, checksum
	binary.BigEndian.PutUint32(vast[16:], 1<<16)
	binary.BigEndian.PutUint32(vast[20:], 1<<16)
	binary.BigEndian.PutUint32(vast[29:], crc32.ChecksumIEEE(vast[12:29]))
	return []hostile{
		{"images", "PNG that claims 4 billion pixels", read(map[string][]byte{"a.png": vast}), "65536×65536 pixels, want at most 67108864"},
		{"images", "PNG cut short", read(map[string][]byte{"a.png": pixel, "b.png": pixel[:len(pixel)-20]}), "row 1: b.png: png: invalid format"},
		{"images", "text named .png", read(map[string][]byte{"a.png": []byte("hello")}), "a.png: not an image"},
		{"images", "program called an image", read(map[string][]byte{"a.png": pixel, "b.png": []byte("MZ\x90\x00")}), "row 1: b.png: not an image"},
		{"images", "two sizes", read(map[string][]byte{"a.png": pixel, "b.png": paint(2, 1)}), "row 1: b.png: 1×2×1, the rows are 1×1×1"},
		{"images", "SVG that loads a file", read(map[string][]byte{"a.svg": []byte(`<svg><image href="file:///etc/passwd"/></svg>`)}), "no images"},
		{"cifar10", "batch cut short", file("c/data_batch_1.bin", make([]byte, 3072), 1, "read", "rows", "c"), "3072 bytes is not a whole number of records of 3073"},
		{"cifar10", "class 11", files(map[string][]byte{"c/data_batch_1.bin": append([]byte{11}, make([]byte, 3072)...), "c/test_batch.bin": make([]byte, 3073)}, 1, "read", "rows", "c"), "class 11"},
		{"cifar10", "folder in the place of a batch", file("c/data_batch_1.bin/x", nil, 1, "read", "rows", "c"), "c"},
	}
}
