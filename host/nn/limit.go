package nn

import (
	"fmt"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// MaxNumbers bounds what one network holds: its params, and one example at
// any layer. It is 1 GiB of float32, more than is trained on processors and
// less than a typing error in a spec asks for.
const MaxNumbers = 1 << 28

// MaxSide bounds what a layer takes as the height or width of a kernel, a
// stride, a factor or a margin.
const MaxSide = 1 << 16

// Fits is an error if a tensor of this shape holds more than MaxNumbers, to be
// checked before it is made. Layers whose shape comes from the user check it;
// Build does so for the results of all.
func Fits(shape ...int) error {
	size := 1
	for _, d := range shape {
		if d < 0 || d > MaxNumbers || size*d > MaxNumbers {
			return fmt.Errorf("%v is no shape of at most %d numbers", tensor.Shape(shape), MaxNumbers)
		}
		size *= d
	}
	return nil
}
