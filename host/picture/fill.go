package picture

import (
	"image"
	"image/color"
)

// fill sets the pixels within the bounds of m.
func (out *Image) fill(m image.Image) {
	box := m.Bounds()
	light := lights(m)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		i := (y*out.W + box.Min.X) * out.C
		for x := box.Min.X; x < box.Max.X; x++ {
			rgb := light(x, y)
			copy(out.Pix[i:i+out.C], rgb[:])
			i += out.C
		}
	}
}

// lights gives the pixels of m on white.
func lights(m image.Image) func(x, y int) [3]float32 {
	switch m := m.(type) {
	case *image.Gray:
		return func(x, y int) [3]float32 {
			v := float32(m.GrayAt(x, y).Y) / 255
			return [3]float32{v, v, v}
		}
	case *image.Gray16:
		return func(x, y int) [3]float32 {
			v := float32(m.Gray16At(x, y).Y) / 65535
			return [3]float32{v, v, v}
		}
	case *image.Paletted:
		colours := make([][3]float32, max(256, len(m.Palette)))
		for i, c := range m.Palette {
			if wide, ok := c.(color.RGBA64); ok { // of a TIFF: 8 bits as v·256 or v·257
				c = color.RGBA{uint8(wide.R >> 8), uint8(wide.G >> 8), uint8(wide.B >> 8), 255}
			}
			colours[i] = onWhite(c)
		}
		return func(x, y int) [3]float32 { return colours[m.ColorIndexAt(x, y)] }
	case *image.NRGBA:
		return func(x, y int) [3]float32 { return onWhite8(m.NRGBAAt(x, y)) }
	case *image.YCbCr:
		return yuvLights(m, nil)
	case *image.NYCbCrA:
		return yuvLights(&m.YCbCr, m)
	}
	return func(x, y int) [3]float32 { return onWhite(m.At(x, y)) }
}

// onWhite is a colour laid on white.
func onWhite(c color.Color) [3]float32 {
	switch c := c.(type) {
	case color.NRGBA:
		return onWhite8(c)
	case color.NRGBA64:
		const most = 65535
		mix := func(v uint16) float32 {
			return float32(float64(uint64(v)*uint64(c.A)+most*uint64(most-c.A)) / (most * most))
		}
		return [3]float32{mix(c.R), mix(c.G), mix(c.B)}
	}
	const most = 65535 // RGBA gives 16 bits, multiplied by alpha
	r, g, b, a := c.RGBA()
	mix := func(v uint32) float32 { return float32(min(v+most-a, most)) / most }
	return [3]float32{mix(r), mix(g), mix(b)}
}

// onWhite8 rounds once: sums of two products of bytes are exact.
func onWhite8(c color.NRGBA) [3]float32 {
	const most = 255
	mix := func(v uint8) float32 {
		return float32(uint32(v)*uint32(c.A)+most*uint32(most-c.A)) / (most * most)
	}
	return [3]float32{mix(c.R), mix(c.G), mix(c.B)}
}
