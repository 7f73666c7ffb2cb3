package jpeg

import (
	"os"
	"testing"
)

// BenchmarkDecode decodes a photograph with chroma at half the width and height;
// VAEGUARD_JPEG_PHOTO names another.
func BenchmarkDecode(b *testing.B) {
	file := "testdata/420.jpg"
	if other := os.Getenv("VAEGUARD_JPEG_PHOTO"); other != "" {
		file = other
	}
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	m, _, err := Decode(data)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(m.Pix)))
	for b.Loop() {
		if _, _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
