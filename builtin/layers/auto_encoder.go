package layers

import (
	"math"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The sizes of AutoEncoder.
const (
	autoSide     = 7       // images are halved until no side is longer
	autoFilters  = 16      // of the first convolution; each further one has twice as many
	autoMost     = 64      // filters
	autoCode     = 128     // width of a code at most
	autoFlatCode = 64      // likewise, of rows that are no images
	autoWidth    = 256     // of a dense layer at most
	autoNumbers  = 1 << 21 // of a dense kernel, as long as its width allows
)

// AutoEncoder are the layers of vae: auto for examples of a shape; of the section
// only LatentDim, Encoder and Decoder are set. Images are halved by convolutions of
// stride 2, side by side, until no side is longer than 7, and the decoder mirrors
// them, with output paddings where a side was odd; images no larger than that, and
// rows of any other shape, have dense layers. unit says that numbers are from 0 to
// 1, as intensities are: the last activation is then a sigmoid.
//
// A code is 1.5·√n wide for n numbers, at most 128. No layer of an image has more
// than 64 filters, and a dense layer on n numbers is at most 256 and 2²¹/n wide, but
// 32 at least: so a kernel has 2 million numbers at most up to n = 65,536.
func AutoEncoder(in tensor.Shape, coding vae.Coding, unit bool) vae.Section {
	last := nn.Activation{Name: "linear"}
	if unit {
		last = nn.Activation{Name: "sigmoid"}
	}
	var s vae.Section
	if stages := halvings(in); len(stages) > 0 {
		s = autoImage(in, stages, last)
	} else {
		s = autoFlat(in, last)
	}
	if coding == vae.Plain { // no heads: the encoder ends in the code
		if len(halvings(in)) > 0 {
			s.Encoder = append(s.Encoder, Flatten{})
		}
		s.Encoder = append(s.Encoder, NewDense(s.LatentDim))
	}
	return s
}

// codeWidth is that for n numbers.
func codeWidth(n, most int) int {
	return max(1, min(n, most, int(math.Ceil(1.5*math.Sqrt(float64(n))))))
}

// halvings are the strides of the convolutions for images of a shape, none for
// small ones and for what is no image.
func halvings(in tensor.Shape) []nn.Pair {
	if len(in) != 3 {
		return nil
	}
	var out []nn.Pair
	for h, w := in[0], in[1]; h > autoSide || w > autoSide; {
		s := nn.Pair{1, 1}
		if h > autoSide {
			s[0] = 2
		}
		if w > autoSide {
			s[1] = 2
		}
		h, w = (h+s[0]-1)/s[0], (w+s[1]-1)/s[1]
		out = append(out, s)
	}
	return out
}

func autoImage(in tensor.Shape, stages []nn.Pair, last nn.Activation) vae.Section {
	relu := nn.Activation{Name: "relu"}
	s := vae.Section{LatentDim: codeWidth(in.Size(), autoCode)}
	sizes, filters := [][2]int{{in[0], in[1]}}, autoFilters
	var before []int // channels into each stage
	channels := in[2]
	for _, strides := range stages {
		c := NewConv2D(filters, 4)
		c.Strides, c.Padding, c.Activation = strides, "same", relu
		s.Encoder = append(s.Encoder, c)
		at := sizes[len(sizes)-1]
		sizes = append(sizes, [2]int{(at[0] + strides[0] - 1) / strides[0], (at[1] + strides[1] - 1) / strides[1]})
		before, channels, filters = append(before, channels), filters, min(2*filters, autoMost)
	}
	end := sizes[len(sizes)-1]
	wide := NewDense(end[0] * end[1] * channels)
	wide.Activation = relu
	s.Decoder = []nn.Maker{wide, Reshape{TargetShape: []int{end[0], end[1], channels}}}
	for i := len(stages) - 1; i >= 0; i-- {
		t := Conv2DTranspose{Filters: before[i], Window: newWindow(), Kernel: newKernel()}
		t.KernelSize, t.Strides, t.Padding, t.Activation = nn.Pair{3, 3}, stages[i], "same", relu
		t.OutputPadding = leadingBack(sizes[i+1], sizes[i], stages[i])
		if i == 0 {
			t.Activation = last
		}
		s.Decoder = append(s.Decoder, t)
	}
	return s
}

// leadingBack is the output padding with which a transposed convolution of an odd
// kernel makes sides to of sides from; none where it does so by itself.
func leadingBack(from, to [2]int, strides nn.Pair) OutputPadding {
	p := OutputPadding{}
	for i := range from {
		p.Given = p.Given || from[i]*strides[i] != to[i]
		p.Size[i] = to[i] - (from[i]-1)*strides[i] - 1
	}
	if !p.Given {
		return OutputPadding{}
	}
	return p
}

func autoFlat(in tensor.Shape, last nn.Activation) vae.Section {
	n := in.Size()
	width := 16
	for width < autoWidth && width < 2*n {
		width *= 2
	}
	for width > 32 && width*n > autoNumbers {
		width /= 2
	}
	dense := func(units int, a nn.Activation) Dense {
		d := NewDense(units)
		d.Activation = a
		return d
	}
	relu := nn.Activation{Name: "relu"}
	s := vae.Section{LatentDim: codeWidth(n, autoFlatCode)}
	if len(in) != 1 {
		s.Encoder = append(s.Encoder, Flatten{})
	}
	s.Encoder = append(s.Encoder, dense(width, relu))
	if width/2 > s.LatentDim {
		s.Encoder = append(s.Encoder, dense(width/2, relu))
		s.Decoder = append(s.Decoder, dense(width/2, relu))
	}
	s.Decoder = append(s.Decoder, dense(width, relu), dense(n, last))
	if len(in) != 1 {
		s.Decoder = append(s.Decoder, Reshape{TargetShape: in.Clone()})
	}
	return s
}
