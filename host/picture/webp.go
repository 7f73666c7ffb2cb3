package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"

	"golang.org/x/image/webp"
)

// webpDecode checks the sizes in the chunks first: the header may say another.
func webpDecode(b []byte) (image.Image, error) {
	const riff = 12 // "RIFF", size, "WEBP"
	for at := riff; at+8 <= len(b); {
		kind, size := string(b[at:at+4]), uint64(binary.LittleEndian.Uint32(b[at+4:]))
		body := b[at+8:]
		var h, w int
		switch {
		case kind == "ANMF" || kind == "ANIM":
			return nil, errors.New("webp: animations are not read")
		case kind == "VP8 " && len(body) >= 10: // 14 bits each, after a tag and a start code
			w, h = int(binary.LittleEndian.Uint16(body[6:])&0x3fff), int(binary.LittleEndian.Uint16(body[8:])&0x3fff)
		case kind == "VP8L" && len(body) >= 5: // a signature, then 14 bits each, less one
			v := binary.LittleEndian.Uint32(body[1:])
			w, h = int(v&0x3fff)+1, int(v>>14&0x3fff)+1
		}
		if h > 0 && w > 0 {
			if err := checkSize(h, w); err != nil {
				return nil, err
			}
		}
		if size > uint64(len(body)) {
			break
		}
		at += 8 + int(size+size%2)
	}
	return webp.Decode(bytes.NewReader(b))
}

// yuvLights gives the colours of a lossy WebP, luma and chroma of limited range
// (VP8 of RFC 6386), as libwebp makes them: chroma mixed 9:3:3:1 of its four
// neighbours, in two rounded steps, and factors in 14 bits. alpha may be nil.
func yuvLights(m *image.YCbCr, alpha *image.NYCbCrA) func(x, y int) [3]float32 {
	box := m.Rect
	halfW, halfH := (box.Dx()+1)/2, (box.Dy()+1)/2
	return func(x, y int) [3]float32 {
		col, row := x-box.Min.X, y-box.Min.Y
		// The nearest sample of chroma, and those beside and above or below it.
		cx, cy := col/2, row/2
		nx, ny := min(max(cx-1+2*(col%2), 0), halfW-1), min(max(cy-1+2*(row%2), 0), halfH-1)
		edge := nx == cx
		mix := func(p []uint8) int {
			near, side := int(p[cy*m.CStride+cx]), int(p[cy*m.CStride+nx])
			across, corner := int(p[ny*m.CStride+cx]), int(p[ny*m.CStride+nx])
			if edge {
				return (3*near + across + 2) >> 2
			}
			diagonal := (near + side + across + corner + 8 + 2*(side+across)) >> 3
			return (diagonal + near) >> 1
		}
		luma := int(m.Y[row*m.YStride+col])
		r, g, b := limited(luma, mix(m.Cb), mix(m.Cr))
		if alpha == nil {
			return [3]float32{float32(r) / 255, float32(g) / 255, float32(b) / 255}
		}
		return onWhite8(color.NRGBA{r, g, b, alpha.NYCbCrAAt(x, y).A})
	}
}

// limited makes red, green and blue of a luma in 16 to 235 and chromas in 16 to
// 240: libwebp's VP8YUVToR and its like.
func limited(y, u, v int) (r, g, b uint8) {
	high := func(v, factor int) int { return v * factor >> 8 }
	clip := func(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }
	l := high(y, 19077)
	return clip(l + high(v, 26149) - 14234), clip(l - high(u, 6419) - high(v, 13320) + 8708), clip(l + high(u, 33050) - 17685)
}
