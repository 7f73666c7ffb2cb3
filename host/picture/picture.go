// Package picture makes arrays of image files: PNG, JPEG, WebP, GIF, BMP and
// TIFF, of any depth and colour, whoever wrote them. It resizes and greys as
// Pillow does, so that rows prepared here are those that a model was trained on
// in Python.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/vaeguard/vaeguard/host/picture/jpeg"
)

// Image is height × width × channels, rows from the top.
type Image struct {
	H, W int
	C    int       // 1 grey, 3 red, green and blue
	Pix  []float32 // H·W·C intensities in [0, 1]
}

const (
	// MaxPixels bounds H×W of what Measure and Decode accept.
	MaxPixels = jpeg.MaxPixels
	// MaxBytes bounds a file.
	MaxBytes = 256 << 20
	// maxPixelsPerByte bounds what a file may claim beside its size: beyond what
	// Deflate or LZW make of pixels of one bit. WebP has no such bound: its
	// images of one colour take no bytes.
	maxPixelsPerByte = 1 << 15
	// maxSide bounds H and W: to resize a picture of one column and 2²⁶ rows takes
	// minutes, for a file of 130 kB.
	maxSide = 1 << 20
)

// format is one of those that are read. header and decode get whole files;
// header gets by with the first bytes where it can.
type format struct {
	name   string
	magic  []string
	header func(b []byte) (image.Config, error)
	decode func(b []byte) (image.Image, error)
}

// formats are those besides JPEG.
func formats() []format {
	return []format{
		{"PNG", []string{"\x89PNG\r\n\x1a\n"}, pngHeader, reader(png.Decode)},
		{"GIF", []string{"GIF87a", "GIF89a"}, gifHeader, reader(gif.Decode)},
		{"WebP", []string{"RIFF"}, configReader(webp.DecodeConfig), webpDecode},
		{"BMP", []string{"BM"}, configReader(bmp.DecodeConfig), reader(bmp.Decode)},
		{"TIFF", []string{"II*\x00", "MM\x00*"}, configReader(tiff.DecodeConfig), reader(tiff.Decode)},
	}
}

const jpegMagic = "\xff\xd8\xff"

// Magic are the first bytes of which every file that Decode reads has one.
func Magic() []string {
	out := []string{jpegMagic}
	for _, f := range formats() {
		out = append(out, f.magic...)
	}
	return out
}

// Extensions are those of files that Decode reads, in lower case.
func Extensions() []string {
	return []string{".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
}

var errUnknown = errors.New("not an image: want PNG, JPEG, WebP, GIF, BMP or TIFF")

// find is the format of b by its first bytes.
func find(b []byte) (format, error) {
	for _, f := range formats() {
		for _, magic := range f.magic {
			if strings.HasPrefix(string(b[:min(len(b), len(magic))]), magic) {
				return f, nil
			}
		}
	}
	return format{}, errUnknown
}

func isJPEG(b []byte) bool { return bytes.HasPrefix(b, []byte(jpegMagic)) }

// Measure tells what Decode would give by the header alone: height, width, and
// channels. b is a file or its first bytes, of which most formats need a few; an
// error may mean that they were too few.
func Measure(b []byte) (h, w, c int, err error) {
	if isJPEG(b) {
		header, err := jpeg.ReadHeader(b)
		h, w = header.H, header.W
		if header.Orientation > 4 {
			h, w = w, h
		}
		return h, w, header.C, err
	}
	f, err := find(b)
	if err != nil {
		return 0, 0, 0, err
	}
	return f.measure(b)
}

func (f format) measure(b []byte) (h, w, c int, err error) {
	config, err := f.header(b)
	if err != nil {
		return 0, 0, 0, err
	}
	if err := checkSize(config.Height, config.Width); err != nil {
		return 0, 0, 0, err
	}
	return config.Height, config.Width, channels(config.ColorModel), nil
}

func checkSize(h, w int) error {
	if h < 1 || w < 1 || w > MaxPixels/h {
		return fmt.Errorf("%d×%d pixels, want at most %d", h, w, MaxPixels)
	}
	if max(h, w) > maxSide {
		return fmt.Errorf("%d×%d pixels, want sides of at most %d", h, w, maxSide)
	}
	return nil
}

// Decode decodes a file to intensities in [0, 1]: a value v of 8 bits is
// float32(v)/255, one of 16 bits float32(v)/65535. Grey files, palettes of
// nothing but grey included, have one channel, others three. Where there is alpha
// the image lies on white. A JPEG has the pixels of libjpeg-turbo (package
// jpeg) and is turned as its Exif says, a lossy WebP those of libwebp; of a GIF
// it is the first frame on its canvas, of a TIFF the first page. Files that are
// cut short, claim more pixels than MaxPixels or than their bytes can hold are
// errors.
func Decode(b []byte) (*Image, error) { return new(Room).Decode(b, nil) }

// Room is memory that decoding needs besides the image, to be used again. It is owned
// by one goroutine; the zero value is ready.
type Room struct{ jpeg jpeg.Room }

// Decode is Decode with the memory of r, into pix where that is large enough.
func (r *Room) Decode(b []byte, pix []float32) (*Image, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%d bytes, want at most %d", len(b), MaxBytes)
	}
	if isJPEG(b) {
		return r.decodeJPEG(b, pix)
	}
	f, err := find(b)
	if err != nil {
		return nil, err
	}
	h, w, c, err := f.measure(b)
	if err != nil {
		return nil, err
	}
	if f.name != "WebP" && h*w > maxPixelsPerByte*len(b) {
		return nil, fmt.Errorf("%d×%d pixels in %d bytes of %s", h, w, len(b), f.name)
	}
	m, err := f.decode(b)
	if err != nil {
		return nil, err
	}
	out := &Image{H: h, W: w, C: c, Pix: sized(pix, h*w*c)}
	canvas := image.Rect(0, 0, w, h)
	if box := m.Bounds(); box != canvas && (f.name != "GIF" || !box.In(canvas)) {
		return nil, errors.New("the image is not of the size that its header gives")
	}
	if m.Bounds() != canvas { // white around the frame
		for i := range out.Pix {
			out.Pix[i] = 1
		}
	}
	out.fill(m)
	return out, nil
}

// channels are those of a colour model.
func channels(m color.Model) int {
	switch p := m.(type) {
	case color.Palette:
		for _, c := range p {
			if r, g, b, _ := c.RGBA(); r != g || g != b {
				return 3
			}
		}
		if len(p) > 0 {
			return 1
		}
	default:
		if m == color.GrayModel || m == color.Gray16Model {
			return 1
		}
	}
	return 3
}

// intensities are bytes divided by 255.
var intensities = func() (out [256]float32) {
	for i := range out {
		out[i] = float32(i) / 255
	}
	return out
}()

// sized is room for n numbers, pix where it is enough.
func sized(pix []float32, n int) []float32 {
	if cap(pix) < n {
		return make([]float32, n)
	}
	return pix[:n]
}

func (r *Room) decodeJPEG(b []byte, pix []float32) (*Image, error) {
	m, header, err := r.jpeg.Decode(b)
	if err != nil {
		return nil, err
	}
	out := &Image{H: m.H, W: m.W, C: m.C, Pix: sized(pix, len(m.Pix))}
	o := header.Orientation
	if o < 2 { // upright
		for i, v := range m.Pix[:len(out.Pix)] {
			out.Pix[i] = intensities[v]
		}
		return out, nil
	}
	if o > 4 {
		out.H, out.W = m.W, m.H
	}
	for i := range out.H * out.W {
		y, x := i/out.W, i%out.W
		if o > 4 { // transposed
			y, x = x, y
		}
		if o == 3 || o == 4 || o == 6 || o == 7 {
			y = m.H - 1 - y
		}
		if o == 2 || o == 3 || o == 7 || o == 8 {
			x = m.W - 1 - x
		}
		for k := range m.C {
			out.Pix[i*m.C+k] = intensities[m.Pix[(y*m.W+x)*m.C+k]]
		}
	}
	return out, nil
}
