package corruptions_test

import (
	"fmt"
	"log"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/builtin/corruptions"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The five severities of one corruption, on a flat grey image.
func ExampleBrightness() {
	x, dst := []float32{.5, .5, .5, .5}, make([]float32, 4)
	c := &corruptions.Brightness{}
	for _, severity := range c.Levels() {
		err := c.Corrupt(dst, x, tensor.Shape{2, 2, 1}, attack.Box{Lo: []float32{0}, Hi: []float32{1}}, severity, rand.New(rand.NewPCG(1, 2)))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %.2f\n", severity, dst[0])
	}
	// Output:
	// 1: 0.55
	// 2: 0.60
	// 3: 0.65
	// 4: 0.70
	// 5: 0.80
}

// The names that a spec's section corruptions may have.
func ExampleTable() {
	for _, name := range corruptions.Table().Names() {
		fmt.Println(name)
	}
	// Output:
	// gaussian_noise
	// shot_noise
	// impulse_noise
	// speckle_noise
	// blur
	// brightness
	// contrast
	// pixelate
	// jpeg
	// elastic
	// rotate
	// shear
	// translate
}
