// Package jpeg decodes JPEG to the pixels that libjpeg-turbo gives by default,
// which are those of Pillow, OpenCV and torchvision: the accurate integer
// transform of Loeffler, Ligtenberg and Moschytz, triangular upsampling of
// chroma, and conversion of colours in 16-bit fixed point. image/jpeg of the
// standard library has another transform and repeats chroma; its pixels differ
// by up to tens of levels at edges of colour, and a classifier sees that.
//
// It reads baseline, extended and progressive files of 8 bits, coded by
// Huffman: ITU-T T.81. Arithmetic coding, 12 bits and lossless files are errors,
// and so is a file that is cut short or damaged: there are no guessed pixels.
package jpeg

import (
	"errors"
	"fmt"
)

// Image has 8-bit intensities, rows from the top: H×W×C with C 1 for grey, 3
// for red, green and blue.
type Image struct {
	H, W, C int
	Pix     []uint8
}

// Header is what a file says before its pixels.
type Header struct {
	H, W int // as stored, before Orientation
	C    int // 1 grey, 3 else
	// Orientation is that of Exif, 1 to 8; 1 where there is none.
	Orientation int
}

// MaxPixels bounds H×W.
const MaxPixels = 1 << 26

const (
	// maxScans and maxBlocks bound the work for few bytes. What is coded has at most a few
	// dozen scans; maxBlocks is twice what the usual ten take of the largest image.
	maxScans  = 500
	maxBlocks = 1 << 25
)

var (
	errTruncated = errors.New("jpeg: truncated")
	errDamaged   = errors.New("jpeg: damaged data")
)

// ReadHeader reads the bytes before the first scan; more need not be there.
func ReadHeader(b []byte) (Header, error) {
	d := &decoder{b: b, headerOnly: true}
	if err := d.run(); err != nil {
		return Header{}, err
	}
	return d.header(), nil
}

// Decode decodes a whole file, without turning it by its orientation.
func Decode(b []byte) (*Image, Header, error) { return new(Room).Decode(b) }

// Room is memory that Decode needs besides what it gives, to be used again. It is owned
// by one goroutine; the zero value is ready.
type Room struct {
	bytes []uint8
	used  int
}

// take is n bytes with whatever they held before.
func (r *Room) take(n int) []uint8 {
	if r.used+n > len(r.bytes) {
		r.bytes, r.used = make([]uint8, max(n, 2*len(r.bytes))), 0 // those taken before keep their own
	}
	out := r.bytes[r.used : r.used+n : r.used+n]
	r.used += n
	return out
}

// Decode is Decode with memory of r: the pixels are valid until the next call.
func (r *Room) Decode(b []byte) (*Image, Header, error) {
	const most = 1 << 22 // bytes kept from a call to the next
	if r.used = 0; len(r.bytes) > most {
		r.bytes = nil
	}
	d := &decoder{b: b, room: r}
	if err := d.run(); err != nil {
		return nil, Header{}, err
	}
	m, err := d.paint()
	return m, d.header(), err
}

func (d *decoder) header() Header {
	h := Header{H: d.height, W: d.width, C: 3, Orientation: max(d.orientation, 1)}
	if len(d.comps) == 1 {
		h.C = 1
	}
	return h
}

// decoder is the state of one file.
type decoder struct {
	b          []byte
	at         int
	headerOnly bool
	room       *Room

	height, width int
	progressive   bool
	comps         []*component
	hMax, vMax    int // largest sampling factors
	mcusX, mcusY  int

	quant    [4]*[64]uint16 // natural order
	dc, ac   [4]*huffman
	interval int // MCUs between restarts, 0: none
	scans    int
	done     int // blocks of all scans

	jfif        bool
	adobe       int // transform of Adobe's marker, -1: no marker
	orientation int
}

// component is one plane.
type component struct {
	id, h, v, tq int
	width        int // samples, without padding
	height       int
	blocksX      int // with padding to whole MCUs
	blocksY      int
	quant        *[64]uint16 // as it was at the first scan
	coefs        []int16     // of a progressive file: 64 a block, natural order
	plane        []uint8     // blocksY·8 × blocksX·8
	pred         int32       // DC of the block before
	dc, ac       *huffman    // of the scan
	seen         bool
}

// Markers.
const (
	markerSOF0, markerSOF1, markerSOF2 = 0xc0, 0xc1, 0xc2
	markerDHT, markerDAC, markerJPG    = 0xc4, 0xcc, 0xc8
	markerRST0, markerRST7             = 0xd0, 0xd7
	markerSOI, markerEOI, markerSOS    = 0xd8, 0xd9, 0xda
	markerDQT, markerDRI               = 0xdb, 0xdd
	markerAPP0, markerAPP1             = 0xe0, 0xe1
	markerAPP14                        = 0xee
)

func (d *decoder) run() error {
	if len(d.b) < 2 || d.b[0] != 0xff || d.b[1] != markerSOI {
		return errors.New("jpeg: not a JPEG file")
	}
	d.at, d.adobe = 2, -1
	for {
		m, err := d.marker()
		if err != nil {
			if d.whole() && !d.progressive { // all pixels are there, the end marker is not
				return nil
			}
			return err
		}
		switch {
		case m == markerEOI:
			if !d.whole() {
				return errTruncated
			}
			return nil
		case m >= markerRST0 && m <= markerRST7, m == 0x01:
			continue
		}
		body, err := d.segment()
		if err != nil {
			return err
		}
		if m == markerSOS && d.headerOnly && d.comps != nil {
			return nil
		}
		if err := d.apply(m, body); err != nil {
			return err
		}
	}
}

// whole reports whether every plane has been in a scan.
func (d *decoder) whole() bool {
	for _, c := range d.comps {
		if !c.seen {
			return false
		}
	}
	return d.comps != nil
}

// marker finds the next one.
func (d *decoder) marker() (byte, error) {
	for ; d.at+1 < len(d.b); d.at++ {
		if d.b[d.at] == 0xff && d.b[d.at+1] != 0 && d.b[d.at+1] != 0xff {
			m := d.b[d.at+1]
			d.at += 2
			return m, nil
		}
	}
	return 0, errTruncated
}

func (d *decoder) segment() ([]byte, error) {
	if d.at+2 > len(d.b) {
		return nil, errTruncated
	}
	n := int(d.b[d.at])<<8 | int(d.b[d.at+1])
	if n < 2 {
		return nil, errDamaged
	}
	if d.at+n > len(d.b) {
		return nil, errTruncated
	}
	body := d.b[d.at+2 : d.at+n]
	d.at += n
	return body, nil
}

func (d *decoder) apply(m byte, body []byte) error {
	switch {
	case m == markerSOF0, m == markerSOF1, m == markerSOF2:
		d.progressive = m == markerSOF2
		return d.frame(body)
	case m == markerDHT:
		return d.huffmanTables(body)
	case m == markerSOS:
		return d.scan(body)
	case m > markerSOF2 && m <= 0xcf && m != markerJPG:
		return fmt.Errorf("jpeg: marker %#x: only baseline and progressive files coded by Huffman are read", m)
	case m == markerDQT:
		return d.quantTables(body)
	case m == markerDRI:
		if len(body) != 2 {
			return errDamaged
		}
		d.interval = int(body[0])<<8 | int(body[1])
	case m == markerAPP0:
		d.jfif = d.jfif || len(body) >= 5 && string(body[:5]) == "JFIF\x00"
	case m == markerAPP1:
		if d.orientation == 0 && len(body) > 6 && string(body[:6]) == "Exif\x00\x00" {
			d.orientation = orientation(body[6:])
		}
	case m == markerAPP14:
		if len(body) >= 12 && string(body[:5]) == "Adobe" {
			d.adobe = int(body[11])
		}
	}
	return nil
}

// frame reads a frame header and makes room for its planes.
func (d *decoder) frame(body []byte) error {
	if d.comps != nil {
		return errors.New("jpeg: two frames")
	}
	if len(body) < 6 {
		return errDamaged
	}
	if body[0] != 8 {
		return fmt.Errorf("jpeg: %d bits a sample, want 8", body[0])
	}
	d.height, d.width = int(body[1])<<8|int(body[2]), int(body[3])<<8|int(body[4])
	n := int(body[5])
	if n != 1 && n != 3 && n != 4 {
		return fmt.Errorf("jpeg: %d components, want 1, 3 or 4", n)
	}
	if len(body) != 6+3*n {
		return errDamaged
	}
	if d.height < 1 || d.width < 1 || d.width > MaxPixels/d.height {
		return fmt.Errorf("jpeg: %d×%d pixels, want at most %d", d.height, d.width, MaxPixels)
	}
	for i := range n {
		p := body[6+3*i:]
		c := &component{id: int(p[0]), h: int(p[1] >> 4), v: int(p[1] & 15), tq: int(p[2])}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.tq > 3 {
			return errDamaged
		}
		for _, other := range d.comps {
			if other.id == c.id {
				return errDamaged
			}
		}
		d.comps = append(d.comps, c)
		d.hMax, d.vMax = max(d.hMax, c.h), max(d.vMax, c.v)
	}
	d.mcusX, d.mcusY = ceil(d.width, 8*d.hMax), ceil(d.height, 8*d.vMax)
	blocks := 0
	for _, c := range d.comps {
		if d.hMax%c.h != 0 || d.vMax%c.v != 0 {
			return fmt.Errorf("jpeg: sampling factors %d×%d beside %d×%d", c.h, c.v, d.hMax, d.vMax)
		}
		c.width, c.height = ceil(d.width*c.h, d.hMax), ceil(d.height*c.v, d.vMax)
		c.blocksX, c.blocksY = d.mcusX*c.h, d.mcusY*c.v
		blocks += ceil(c.width, 8) * ceil(c.height, 8)
	}
	if d.headerOnly {
		return nil
	}
	// Each block has a code for its DC, a bit or more.
	if blocks > 8*len(d.b) {
		return fmt.Errorf("jpeg: %d×%d pixels in %d bytes: %w", d.height, d.width, len(d.b), errTruncated)
	}
	for _, c := range d.comps {
		c.plane = d.room.take(64 * c.blocksX * c.blocksY) // all that is seen of it is written
		if d.progressive {
			c.coefs = make([]int16, 64*c.blocksX*c.blocksY)
		}
	}
	return nil
}

func (d *decoder) quantTables(body []byte) error {
	for len(body) > 0 {
		wide, to := body[0]>>4, body[0]&15
		size := 64 * (int(wide) + 1)
		if wide > 1 || to > 3 || len(body) < 1+size {
			return errDamaged
		}
		table := new([64]uint16)
		for i, z := range zigzag {
			if wide == 0 {
				table[z] = uint16(body[1+i])
			} else {
				table[z] = uint16(body[1+2*i])<<8 | uint16(body[2+2*i])
			}
		}
		d.quant[to] = table
		body = body[1+size:]
	}
	return nil
}

func ceil(a, b int) int { return (a + b - 1) / b }

// zigzag is the place of the i-th coefficient of a block.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}
