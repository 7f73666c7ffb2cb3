package picture

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
)

func reader(decode func(io.Reader) (image.Image, error)) func([]byte) (image.Image, error) {
	return func(b []byte) (image.Image, error) { return decode(bytes.NewReader(b)) }
}

func configReader(decode func(io.Reader) (image.Config, error)) func([]byte) (image.Config, error) {
	return func(b []byte) (image.Config, error) { return decode(bytes.NewReader(b)) }
}

// pngHeader knows grey with alpha, which image/png calls a colour.
func pngHeader(b []byte) (image.Config, error) {
	config, err := png.DecodeConfig(bytes.NewReader(b))
	const colourType, greyAlpha = 25, 4 // place in the file, and value
	if err == nil && b[colourType] == greyAlpha {
		config.ColorModel = color.GrayModel
	}
	return config, err
}

var errGIF = errors.New("gif: cut short or damaged before its first frame")

// gifHeader knows the palette of the first frame: a GIF has no other way to be
// grey.
func gifHeader(b []byte) (image.Config, error) {
	config, err := gif.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return config, err
	}
	const screen = 13
	at := screen + table(b[10])
	for at < len(b) {
		switch b[at] {
		case '!': // an extension: its kind, then blocks
			for at += 2; at < len(b) && b[at] != 0; at += 1 + int(b[at]) {
			}
			at++
		case ',':
			if at+10 > len(b) {
				return config, errGIF
			}
			flags := b[at+9]
			if size := table(flags); size > 0 {
				if at+10+size > len(b) {
					return config, errGIF
				}
				var p color.Palette
				for rgb := b[at+10 : at+10+size]; len(rgb) > 0; rgb = rgb[3:] {
					p = append(p, color.RGBA{rgb[0], rgb[1], rgb[2], 255})
				}
				config.ColorModel = p
			}
			return config, nil
		default:
			return config, errGIF
		}
	}
	return config, errGIF
}

// table is the size of a table of colours in bytes, 0 for none.
func table(flags byte) int {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (1 + flags&7)
}
