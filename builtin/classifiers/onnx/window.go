package onnx

// window is how a convolution or pooling walks over up to three spatial
// dimensions: depth, height and width. Dimensions that are not there are 1.
type window struct {
	in, out, kernel, stride, dilation [3]int
	begin                             [3]int // padding before
	end                               [3]int // and after, as declared
}

// window reads the attributes of a convolution or pooling. spatial is the
// input's, kernel the window's shape.
func (c *call) window(spatial, kernel []int) window {
	k := len(spatial)
	if k < 1 || k > 3 || len(kernel) != k {
		c.fail("works on %d spatial dimensions with a window of %v: want one to three, and as many numbers", k, kernel)
	}
	w := window{in: [3]int{1, 1, 1}, kernel: [3]int{1, 1, 1}, stride: [3]int{1, 1, 1}, dilation: [3]int{1, 1, 1}}
	strides, dilations, pads := c.n.ints("strides"), c.n.ints("dilations"), c.n.ints("pads")
	if strides != nil && len(strides) != k || dilations != nil && len(dilations) != k || pads != nil && len(pads) != 2*k {
		c.fail("has strides %v, dilations %v and pads %v for %d spatial dimensions", strides, dilations, pads, k)
	}
	for i := range k {
		q := 3 - k + i
		w.in[q], w.kernel[q] = spatial[i], kernel[i]
		if strides != nil {
			w.stride[q] = strides[i]
		}
		if dilations != nil {
			w.dilation[q] = dilations[i]
		}
		if pads != nil {
			w.begin[q], w.end[q] = pads[i], pads[k+i]
		}
		const most = 1 << 20
		for _, v := range []int{w.kernel[q], w.stride[q], w.dilation[q], w.begin[q] + 1, w.end[q] + 1} {
			if v < 1 || v > most {
				c.fail("has window %v, strides %v, dilations %v and pads %v: want positive numbers, pads of at least 0", kernel, strides, dilations, pads)
			}
		}
	}
	return w
}

// reach is how far a window extends.
func (w *window) reach(i int) int { return (w.kernel[i]-1)*w.dilation[i] + 1 }

// place sets the output's size and, with auto_pad, the padding.
func (c *call) place(w *window) {
	auto, ceil := c.n.text("auto_pad", "NOTSET"), c.n.int("ceil_mode", 0) != 0
	for i := range w.in {
		switch auto {
		case "SAME_UPPER", "SAME_LOWER":
			w.out[i] = (w.in[i] + w.stride[i] - 1) / w.stride[i]
			total := max(0, (w.out[i]-1)*w.stride[i]+w.reach(i)-w.in[i])
			w.begin[i] = total / 2
			if auto == "SAME_LOWER" {
				w.begin[i] = total - total/2
			}
			w.end[i] = total - w.begin[i]
			continue
		case "VALID":
			w.begin[i], w.end[i] = 0, 0
		case "NOTSET", "":
		default:
			c.fail("auto_pad %q", auto)
		}
		room := w.in[i] + w.begin[i] + w.end[i] - w.reach(i)
		if room < 0 {
			c.fail("its window of %d does not fit into %d", w.reach(i), w.in[i]+w.begin[i]+w.end[i])
		}
		w.out[i] = room/w.stride[i] + 1
		if ceil && room%w.stride[i] != 0 && w.out[i]*w.stride[i] < w.in[i]+w.begin[i] {
			w.out[i]++ // a last window that reaches beyond, but begins inside
		}
	}
}

// shape is (n, channels, spatial…) with as many spatial dimensions as there are.
func (w *window) shape(n, channels, spatial int) []int {
	return append([]int{n, channels}, w.out[3-spatial:]...)
}

// flat reports that there is no depth: images.
func (w *window) flat() bool { return w.in[0] == 1 && w.kernel[0] == 1 && w.out[0] == 1 }
